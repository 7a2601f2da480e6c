"""The session's spec: all that is needed to start a session from nothing, as plain data."""

from typing import Any
from urllib.parse import quote

import msgspec

from perdure.state.codec import decode, encode

__all__ = ["ScenarioSpec", "SessionSpec"]

SCHEMA = 1


class ScenarioSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of a session, with the hash of the model it was made with."""

    manager: str
    scenario: str
    model: str
    fingerprint: str
    config: dict[str, Any]

    @property
    def entity(self) -> str:
        """Its id in the run state; unambiguous for any names."""
        return f"{quote(self.manager, safe='')}/{quote(self.scenario, safe='')}"

    @property
    def outputs(self) -> list[str]:
        """What it answers at each step, in this order."""
        outputs: list[str] = self.config["outputs"]
        return outputs


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A session: its scenarios, and how often it is saved.

    Attributes
    ----------
    scenarios
        In the order in which they are stepped and logged.
    seed
        Of all random draws.
    every
        Steps between savepoints.
    milestone
        Every so many savepoints, one is kept for good.
    base
        The first position that can be restored: 0, or where the session was last upgraded.
    """

    scenarios: list[ScenarioSpec]
    seed: int
    every: int
    milestone: int
    base: int = 0

    def to_blob(self) -> bytes:
        """Encode it as a checked blob."""
        return encode(msgspec.to_builtins(self), schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "SessionSpec":
        """Decode what `to_blob` made; raise `CorruptBlob` or `NewerSchema` if that can't be done."""
        return msgspec.convert(decode(blob, schema=SCHEMA), cls)
