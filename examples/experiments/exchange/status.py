"""Writes down where the walker is and is believed to be; ends when it has gone far."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@SimulationTime(keyword="time")
@EngineDataPack(keyword="position", id=DataPackIdentifier("position", "walker"))
@EngineDataPack(keyword="belief", id=DataPackIdentifier("belief", "observer"))
@StatusFunction()
def status(time, position, belief):
    row = JsonRawData()
    row.data = {"t": time / 1e9, "position": position.data["x"], "belief": belief.data["x"]}
    return abs(position.data["x"]) > 10.0, [row]
