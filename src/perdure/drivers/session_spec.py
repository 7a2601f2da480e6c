"""The session's spec: all that is needed to start a session from nothing, as plain data."""

from typing import Any
from urllib.parse import quote

import msgspec

from perdure.engines.run_specs import RunSpecs, decimals
from perdure.errors import CorruptBlob
from perdure.state.codec import decode, encode

__all__ = ["KIND", "ScenarioSpec", "SessionSpec"]

KIND = "session"
"""The kind of the runs of sessions."""

SCHEMA = 1

_RUN_SPECS = ("starttime", "stoptime", "dt", "timestep", "method")


class ScenarioSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of a session.

    Attributes
    ----------
    manager, scenario
        What it is known by.
    model, fingerprint
        The name of its model, and the hash of the one it was made with.
    outputs
        What its rows hold after the time, in this order.
    config
        What its engine is initialised with. The engine answers ``config["outputs"]``: all of `outputs`,
        unless an upgrade of the model did away with some.
    """

    manager: str
    scenario: str
    model: str
    fingerprint: str
    outputs: list[str]
    config: dict[str, Any]

    @property
    def entity(self) -> str:
        """Its id in the run state; unambiguous for any names."""
        return f"{quote(self.manager, safe='')}/{quote(self.scenario, safe='')}"

    @property
    def decimals(self) -> int:
        """How many decimals the times of its answers are shown with."""
        return decimals(self.config["starttime"], self.config.get("timestep") or self.config["dt"])

    @property
    def run_specs(self) -> RunSpecs:
        """The grid of its times; `InvalidRunSpecs` if there is none."""
        given = {name: self.config[name] for name in _RUN_SPECS if name in self.config}
        return RunSpecs(**given, name=self.model)


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
        The first position that can be restored: 0, or where the session was last upgraded, was taken over by
        a host with other numerics, or was forked with another seed or stop time.
    numerics
        The numeric fingerprint of the host that computes it; empty for any.
    earlier_numerics
        Those of hosts that computed it before.
    """

    scenarios: list[ScenarioSpec]
    seed: int
    every: int
    milestone: int
    base: int = 0
    numerics: str = ""
    earlier_numerics: list[str] = []

    def taken_over(self, numerics: str, position: int) -> "SessionSpec":
        """Return the spec of a session that goes on from a position with another numeric fingerprint."""
        before = self.earlier_numerics + [self.numerics] * bool(self.numerics)
        earlier = [*dict.fromkeys(before)]
        return msgspec.structs.replace(self, numerics=numerics, earlier_numerics=earlier, base=position)

    def to_blob(self) -> bytes:
        """Encode it as a checked blob."""
        return encode(msgspec.to_builtins(self), schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "SessionSpec":
        """Decode what `to_blob` made; raise `CorruptBlob` or `NewerSchema` if that can't be done."""
        try:
            return msgspec.convert(decode(blob, schema=SCHEMA), cls)
        except msgspec.ValidationError as error:
            raise CorruptBlob(reason=f"it is no session's spec: {error}") from error
