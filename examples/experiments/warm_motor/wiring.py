"""Tells the model what the motor loses, and the motor how strong it may be."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@EngineDataPack(keyword="motor", id=DataPackIdentifier("motor", "plant"))
@TransceiverFunction("warmth")
def to_warmth(motor):
    constants = JsonDataPack("constants", "warmth")
    constants.data["losses"] = motor.data["losses"]
    return [constants]


@EngineDataPack(keyword="limit", id=DataPackIdentifier("torque_limit", "warmth"))
@TransceiverFunction("plant")
def to_plant(limit):
    told = JsonDataPack("limit", "plant")
    told.data["torque"] = limit.data
    return [told]
