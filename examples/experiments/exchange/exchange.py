"""Tells each of the two what the other has."""

from nrp_core import *
from nrp_core.data.nrp_json import *


@EngineDataPack(keyword="position", id=DataPackIdentifier("position", "walker"))
@TransceiverFunction("observer")
def to_observer(position):
    seen = JsonDataPack("position", "observer")
    seen.data["x"] = position.data["x"]
    return [seen]


@EngineDataPack(keyword="belief", id=DataPackIdentifier("belief", "observer"))
@TransceiverFunction("walker")
def to_walker(belief):
    told = JsonDataPack("belief", "walker")
    told.data["x"] = belief.data["x"]
    return [told] if belief.isUpdated() else []
