"""The place of a savepoint in a script: how far the script had come, and what goes with that."""

from typing import Any

import msgspec

from perdure.engines.warned import of_another_script
from perdure.errors import CorruptBlob, HashSeedChanged
from perdure.state.codec import State, decode, encode
from perdure.state.savepoint import Savepoint

__all__ = ["FILES", "POSITION", "SCRIPT", "WARNED", "ScriptPosition", "restarted"]

POSITION = "experiment/place"
WARNED = "experiment/warnings"  # what the simulation's process has warned of
SCRIPT = "script"  # whose the script's modules are, there
FILES = "experiment/files"
"""The run's files. ``files``: what was written, as `Files.snapshot` lists and `SavedFiles` keeps it; ``log``:
the name of the script's log; ``scripts``: which ones the script wrote itself; ``modules``: which ones it had
imported; ``beginning``: what a fork's script found at its top, None but after a fork to another script."""

EMPTY: dict[str, State] = {"size": 0, "mode": None, "pieces": [], "tail": b""}
"""What a savepoint says of an empty file, whichever mode it is made with."""


class ScriptPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where in its script a simulation stands; kept in savepoints as the entity `POSITION`.

    Which calls the script had made isn't in it: those are in the pages of the journal up to the savepoint's
    position.

    Attributes
    ----------
    base
        Entries of the step log before the script began: 0 but after a fork to another script.
    begun, ended
        Whether the script had begun, and had come to its end.
    every
        Distance of savepoints in nanoseconds; None until it is measured.
    seconds
        Time spent in steps.
    hash_sample
        How this process hashes a text; another one may walk sets in another order.
    """

    base: int = 0
    begun: bool = False
    ended: bool = False
    every: int | None = None
    seconds: float = 0.0
    hash_sample: int = msgspec.field(default_factory=lambda: hash("perdure"))

    @classmethod
    def read(cls, savepoint: Savepoint) -> "ScriptPosition":
        """Return the place that a savepoint holds."""
        try:
            return msgspec.convert(decode(savepoint.entities[POSITION]), cls)
        except (KeyError, msgspec.ValidationError) as error:
            raise CorruptBlob(reason=f"it is no savepoint of an experiment ({error})") from error

    def to_state(self) -> State:
        """Return the place as a state."""
        state: State = msgspec.to_builtins(self)
        return state

    def check_hash_seed(self) -> None:
        """Raise `HashSeedChanged` if this process hashes texts otherwise than the savepoint's did."""
        if self.hash_sample != hash("perdure"):
            raise HashSeedChanged()


def restarted(savepoint: Savepoint, log: str) -> Savepoint:
    """Return the savepoint as one from which a script starts at its top, on the same engines and files.

    It is what a fork with another script begins with. That one's log, of the name given, is empty, and the
    former one's isn't there.
    """
    place = ScriptPosition.read(savepoint)
    again = ScriptPosition(
        base=savepoint.position,
        every=place.every,
        seconds=place.seconds,
        hash_sample=place.hash_sample,
    )
    entities = {
        **savepoint.entities,
        POSITION: encode(again.to_state()),
        FILES: _of_no_script(savepoint, log),
    }
    if WARNED in entities:
        entities[WARNED] = encode(of_another_script(decode(entities[WARNED]), SCRIPT))
    return msgspec.structs.replace(savepoint, entities=entities)


def _of_no_script(savepoint: Savepoint, log: str) -> bytes:
    """Return the files of a savepoint, with none that its script wrote or read, and an empty log.

    Another script begins a log of its own, and won't write again what the former one had written.
    """
    kept: Any = decode(savepoint.entities[FILES])
    changed = kept["files"]
    written = {name: was for name, was in changed["written"].items() if name != kept["log"]}
    found: dict[str, Any] = {"log": log, "files": {**changed, "written": {**written, log: EMPTY}}}
    return encode({**kept, **found, "scripts": [], "modules": [], "beginning": found})
