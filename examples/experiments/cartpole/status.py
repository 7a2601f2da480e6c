"""Writes down the pole's angle and how many episodes have ended; counts what it has seen."""

from nrp_core import *
from nrp_core.data.nrp_json import *

seen = {"rows": 0, "largest": 0.0}


@EngineDataPack(keyword="observation", id=DataPackIdentifier("observation", "environment"))
@StatusFunction()
def status(observation):
    angle = observation.data["values"][2]
    seen["rows"] += 1
    seen["largest"] = max(seen["largest"], abs(angle))
    row = JsonRawData()
    row.data = {"angle": angle, "episodes": observation.data["episodes"], **seen}
    return False, [row]
