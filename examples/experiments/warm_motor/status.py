"""Writes down the pendulum's angle and the motor's temperature."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@SimulationTime(keyword="time")
@EngineDataPack(keyword="motor", id=DataPackIdentifier("motor", "plant"))
@EngineDataPack(keyword="temperature", id=DataPackIdentifier("temperature", "warmth"))
@StatusFunction()
def status(time, motor, temperature):
    row = JsonRawData()
    row.data = {"t": time / 1e9, "angle": motor.data["angle"], "temperature": temperature.data}
    return False, [row]
