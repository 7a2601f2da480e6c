"""Connects the pendulum with its controller."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@EngineDataPack(keyword="pole", id=DataPackIdentifier("pole", "plant"))
@TransceiverFunction("controller")
def to_controller(pole):
    seen = JsonDataPack("pole", "controller")
    seen.data = pole.data
    return [seen]


@EngineDataPack(keyword="torque", id=DataPackIdentifier("torque", "controller"))
@TransceiverFunction("plant")
def to_plant(torque):
    told = JsonDataPack("torque", "plant")
    told.data["value"] = torque.data["value"]
    return [told]
