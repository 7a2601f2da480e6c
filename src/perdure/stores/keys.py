"""Idempotency keys as rows, each with a checksum over all its values.

A key with a wrong checksum is never used: its step isn't returned, and it isn't taken for a new key either.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from perdure.errors import CorruptBlob, KeyReused
from perdure.run import Key, Run, Step
from perdure.stores.ask import Each
from perdure.stores.checksums import checksum
from perdure.stores.values import to_run

__all__ = [
    "damaged_keys",
    "run_key_values",
    "step_key_values",
    "to_creation_key",
    "to_made_run",
    "to_recorded_step",
    "to_step_keys",
]


def step_key_values(number: int, key: Key, position: int) -> tuple[Any, ...]:
    """Return the row of the key with which a step of the run with this number was made."""
    kept = checksum(number, key.text.encode(), key.ordinal, key.body_hash, position)
    return (number, key.text, key.ordinal, key.body_hash, position, kept)


def run_key_values(number: int, owner: str, key: Key) -> tuple[Any, ...]:
    """Return the row of the key with which an owner created the run with this number."""
    kept = checksum(number, owner.encode(), key.text.encode(), key.ordinal, key.body_hash)
    return (owner, key.text, key.ordinal, key.body_hash, number, kept)


def to_recorded_step(rows: Sequence[tuple[Any, ...]], key: Key) -> Step | None:
    """Return the step that was made with a key, from the rows of ``find_step_key``, or None.

    Raises
    ------
    KeyReused
        If the key was used with another body hash.
    CorruptBlob
        If the key is damaged, or the step is missing.
    """
    if not rows:
        return None
    number, body_hash, position, kept, inputs, outputs = rows[0]
    if kept != checksum(number, key.text.encode(), key.ordinal, body_hash, position):
        raise CorruptBlob(reason=f"the checksum of the key {key.text!r} of a step is wrong")
    if body_hash != key.body_hash:
        raise KeyReused(key=key.text)
    if outputs is None:
        raise CorruptBlob(reason=f"step {position}, which the key {key.text!r} was used for, isn't there")
    return Step(position=position, inputs=inputs, outputs=outputs)


def to_made_run(rows: Sequence[tuple[Any, ...]], owner: str, key: Key) -> Run | None:
    """Return the run that was created with an owner's key, from the rows of ``find_run_key``, or None.

    Raises as `to_recorded_step` does.
    """
    if not rows:
        return None
    body_hash, number, kept, *run = rows[0]
    if kept != checksum(number, owner.encode(), key.text.encode(), key.ordinal, body_hash):
        raise CorruptBlob(reason=f"the checksum of the key {key.text!r} of a run is wrong")
    if body_hash != key.body_hash:
        raise KeyReused(key=key.text)
    if run[0] is None:
        raise CorruptBlob(reason=f"the run that the key {key.text!r} was used for isn't there")
    return to_run(tuple(run))


def to_step_keys(rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[int, Key]]:
    """Return the keys in the rows of ``list_step_keys_of_run``, each with the position of its step."""
    keys = []
    for number, text, ordinal, body_hash, position, kept in rows:
        if kept != checksum(number, text.encode(), ordinal, body_hash, position):
            raise CorruptBlob(reason=f"the checksum of the key {text!r} of step {position} is wrong")
        keys.append((position, Key(text, body_hash, ordinal)))
    return keys


def to_creation_key(rows: Sequence[tuple[Any, ...]]) -> Key | None:
    """Return the key in the rows of ``find_creation_key``, or None; raise `CorruptBlob` if it is damaged."""
    if not rows:
        return None
    number, owner, text, ordinal, body_hash, kept = rows[0]
    if kept != checksum(number, owner.encode(), text.encode(), ordinal, body_hash):
        raise CorruptBlob(reason=f"the checksum of the key {text!r} of a run is wrong")
    return Key(text, body_hash, ordinal)


def damaged_keys(each: Each) -> Iterator[tuple[int, str]]:
    """Yield the run's number and a sentence for every key with a wrong checksum; reads all keys."""
    for number, text, ordinal, body_hash, position, kept in each("list_step_keys"):
        if kept != checksum(number, _encoded(text), ordinal, body_hash, position):
            yield number, f"the checksum of the key {_shown(text)} of step {position} is wrong"
    for number, owner, text, ordinal, body_hash, kept in each("list_run_keys"):
        if kept != checksum(number, _encoded(owner), _encoded(text), ordinal, body_hash):
            yield number, f"the checksum of the key {_shown(text)} it was made under is wrong"


def _encoded(text: bytes | str) -> bytes:
    """Return the bytes of a text, which isn't decoded where it may be damaged."""
    return text.encode() if isinstance(text, str) else text


def _shown(text: bytes | str) -> str:
    return repr(text if isinstance(text, str) else text.decode(errors="backslashreplace"))
