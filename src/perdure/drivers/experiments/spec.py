"""The spec of an experiment's run: which files it is made of, and its seed. It never changes."""

import msgspec

from perdure.errors import CorruptBlob
from perdure.state.codec import decode, encode

__all__ = ["ExperimentSpec"]

SCHEMA = 1


class ExperimentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that a simulation server needs to begin an experiment.

    Attributes
    ----------
    experiment, version
        The experiment's name, and its version, which is pinned for the run.
    configuration
        The path of its simulation configuration.
    script
        The path of its main script; None is none: it runs to its time-out, or until it is done.
    seed
        What all generators of the run are seeded from.
    sim_id
        What its script reads as ``nrp.sim_id``, and what its log is called by; a fork keeps its parent's.
    """

    experiment: str
    version: int
    configuration: str
    script: str | None
    seed: int
    sim_id: int | str

    def to_blob(self) -> bytes:
        """Encode it as a run's spec."""
        return encode(msgspec.to_builtins(self), schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "ExperimentSpec":
        """Decode what `to_blob` made; raise `CorruptBlob` or `NewerSchema` if that can't be done."""
        try:
            return msgspec.convert(decode(blob, schema=SCHEMA), cls)
        except msgspec.ValidationError as error:
            raise CorruptBlob(reason=f"it is no spec of an experiment ({error})") from error
