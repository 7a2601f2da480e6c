"""Writes down the height of the tip."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@SimulationTime(keyword="time")
@EngineDataPack(keyword="pole", id=DataPackIdentifier("pole", "plant"))
@StatusFunction()
def status(time, pole):
    row = JsonRawData()
    row.data = {"t": time / 1e9, "height": pole.data["tip"][2], "angle": pole.data["angle"]}
    return False, [row]
