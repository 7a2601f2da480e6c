"""Connects the environment with its controller."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@EngineDataPack(keyword="observation", id=DataPackIdentifier("observation", "environment"))
@TransceiverFunction("controller")
def to_controller(observation):
    seen = JsonDataPack("observation", "controller")
    seen.data["values"] = observation.data["values"]
    return [seen]


@EngineDataPack(keyword="action", id=DataPackIdentifier("action", "controller"))
@TransceiverFunction("environment")
def to_environment(action):
    told = JsonDataPack("action", "environment")
    told.data["value"] = action.data["value"]
    return [told]
