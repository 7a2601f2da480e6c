"""Copies of scenes: what a simulation shows to those who watch it, and what is sent to be drawn."""

from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.errors import CorruptBlob, message_of
from perdure.state.codec import decode, encode

__all__ = ["LARGEST_PICTURE", "PICTURE", "REFUSED", "PictureRequest", "Scene", "SceneView"]

PICTURE, REFUSED = (
    "picture",
    "refused",
)  # what the process that draws answers: a PNG file, or why there is none
LARGEST_PICTURE = 16 << 20  # bytes
SCHEMA = 1
LARGEST = 4 << 20  # bytes of all scenes of a view


class Scene(msgspec.Struct, frozen=True):
    """A copy of what a picture of an engine shows, encoded; None if there is none, and why."""

    state: bytes | None
    reason: str = ""


class SceneView(msgspec.Struct, frozen=True):
    """The scenes of a simulation's engines, by name, at a simulation time in nanoseconds."""

    timestamp: int
    scenes: dict[str, Scene]

    @classmethod
    def of(cls, timestamp: int, scenes: Mapping[str, Any]) -> "SceneView":
        """Return a view of what `CoSimulated.scenes` returned; what is too large is left out."""
        taken, left = {}, LARGEST
        for name, (state, reason) in scenes.items():
            try:
                blob = None if state is None else encode(state)
            except Exception as error:  # whatever it is: a viewer must not end a run
                reason, blob = message_of(error), None
            if blob is not None and len(blob) > left:
                reason, blob = f"it has {len(blob)} bytes, and there is room for {left}", None
            left -= len(blob or b"")
            taken[name] = Scene(blob, reason)
        return cls(timestamp, taken)

    def to_blob(self) -> bytes:
        """Encode it."""
        return encode(msgspec.to_builtins(self, builtin_types=(bytes,)), schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "SceneView":
        """Decode what `to_blob` made; raise `CorruptBlob` if that can't be done."""
        try:
            return msgspec.convert(decode(blob, schema=SCHEMA), cls)
        except msgspec.ValidationError as error:
            raise CorruptBlob(reason=f"it is no view of a simulation ({error})") from error


class PictureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: the engine, what its simulator was made of, the encoded scene, and the size in pixels."""

    engine: str
    simulator: str
    world: str
    script: str
    seed: int
    folder: str
    scene: bytes
    width: int
    height: int
