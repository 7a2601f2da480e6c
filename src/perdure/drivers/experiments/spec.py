"""The spec of an experiment's run: its files, its seed and the kind of its times. It never changes."""

from typing import Final

import msgspec

from perdure.drivers.experiments.configuration import Times
from perdure.errors import CorruptBlob
from perdure.state.codec import decode, encode
from perdure.times import exact, whole_nanoseconds

__all__ = ["KIND", "ExperimentSpec"]

KIND: Final = "experiment"
"""The kind of the runs of experiments."""

SCHEMA = 3  # 1 had no `exact_times`, 2 none of what follows it


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
    exact_times
        Whether its times are exact fractions; those of runs begun by earlier versions are whole nanoseconds,
        and so are those of their forks.
    sha256
        The hash of all files of the experiment.
    sources
        The hashes of the script, the modules, the configuration and the files that it names, by their paths.
    engines
        The kinds of its engines that other packages bring.
    packages
        The packages that its engines' numbers depend on.
    """

    experiment: str
    version: int
    configuration: str
    script: str | None
    seed: int
    sim_id: int | str
    exact_times: bool = False
    sha256: str = ""
    sources: dict[str, str] = {}
    engines: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def times(self) -> Times:
        """How the seconds of its configuration are understood."""
        return exact if self.exact_times else whole_nanoseconds

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
