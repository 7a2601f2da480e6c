"""Idempotency keys in the SQLite file: each is recorded with a checksum over all that it says.

A key whose checksum doesn't fit is never believed: neither is its step answered, nor is it taken for new.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import msgspec

from perdure.errors import CorruptBlob, KeyReused, RunNotFound
from perdure.run import Key, Run, Step
from perdure.stores.database import row, rows
from perdure.stores.queries import QUERIES
from perdure.stores.values import to_run

__all__ = [
    "creation_key",
    "damaged_keys",
    "find_made",
    "find_step",
    "record_run_key",
    "record_step_key",
    "step_keys",
]

_SQL = {name: query.sql for name, query in QUERIES.items()}
_INSERT_STEP_KEY = _SQL["insert_step_key"]

_encoder = msgspec.msgpack.Encoder()


def record_step_key(connection: apsw.Connection, number: int, key: Key, position: int) -> None:
    """Record the key under which a step of the run with this number was made."""
    checksum = _checksum(number, key.text.encode(), key.ordinal, key.body_hash, position)
    values = (number, key.text, key.ordinal, key.body_hash, position, checksum)
    connection.execute(_INSERT_STEP_KEY, values)


def record_run_key(connection: apsw.Connection, owner: str, key: Key, number: int) -> None:
    """Record the key under which an owner made the run with this number."""
    checksum = _checksum(number, owner.encode(), key.text.encode(), key.ordinal, key.body_hash)
    values = (owner, key.text, key.ordinal, key.body_hash, number, checksum)
    connection.execute(_SQL["insert_run_key"], values)


def find_step(connection: apsw.Connection, number: int, key: Key) -> Step | None:
    """Return the step that a key of the run with this number was used for, or None."""
    found = row(connection, _SQL["find_step_key"], (number, key.text, key.ordinal))
    if found is None:
        return None
    body_hash, position, checksum, inputs, outputs = found
    if checksum != _checksum(number, key.text.encode(), key.ordinal, body_hash, position):
        raise CorruptBlob(reason=f"the checksum of the key {key.text!r} of a step is wrong")
    if body_hash != key.body_hash:
        raise KeyReused(key=key.text)
    if outputs is None:
        raise CorruptBlob(reason=f"step {position}, which the key {key.text!r} was used for, isn't there")
    return Step(position=position, inputs=inputs, outputs=outputs)


def find_made(connection: apsw.Connection, owner: str, key: Key | None) -> Run | None:
    """Return the run that an owner's key was used for, or None."""
    if key is None:
        return None
    found = row(connection, _SQL["find_run_key"], (owner, key.text, key.ordinal))
    if found is None:
        return None
    body_hash, number, checksum = found
    if checksum != _checksum(number, owner.encode(), key.text.encode(), key.ordinal, body_hash):
        raise CorruptBlob(reason=f"the checksum of the key {key.text!r} of a run is wrong")
    if body_hash != key.body_hash:
        raise KeyReused(key=key.text)
    values = row(connection, _SQL["read_run_by_number"], (number,))
    if values is None:
        raise CorruptBlob(reason=f"the run that the key {key.text!r} was used for isn't there")
    return to_run(values)


def step_keys(connection: apsw.Connection, run_id: str, after: int) -> Sequence[tuple[int, Key]]:
    """Return the keys of a run's steps after a position, ascending, each with its step's position."""
    found = rows(connection, _SQL["list_step_keys_of_run"], (run_id, after))
    if not found and row(connection, _SQL["find_run"], (run_id,)) is None:
        raise RunNotFound(run=run_id)
    keys = []
    for number, text, ordinal, body_hash, position, checksum in found:
        if checksum != _checksum(number, text.encode(), ordinal, body_hash, position):
            raise CorruptBlob(reason=f"the checksum of the key {text!r} of step {position} is wrong")
        keys.append((position, Key(text, body_hash, ordinal)))
    return keys


def creation_key(connection: apsw.Connection, run_id: str) -> Key | None:
    """Return the key that a run was made under, or None."""
    found = row(connection, _SQL["find_creation_key"], (run_id,))
    if found is None:
        return None
    number, owner, text, ordinal, body_hash, checksum = found
    if checksum != _checksum(number, owner.encode(), text.encode(), ordinal, body_hash):
        raise CorruptBlob(reason=f"the checksum of the key {text!r} of a run is wrong")
    return Key(text, body_hash, ordinal)


def damaged_keys(connection: apsw.Connection) -> Iterator[tuple[int, str]]:
    """Yield the run's number and words for every key whose checksum is wrong; reads all keys."""
    for number, text, ordinal, body_hash, position, checksum in connection.execute(_SQL["list_step_keys"]):
        if checksum != _checksum(number, text, ordinal, body_hash, position):
            yield number, f"the checksum of the key {_shown(text)} of step {position} is wrong"
    for number, owner, text, ordinal, body_hash, checksum in connection.execute(_SQL["list_run_keys"]):
        if checksum != _checksum(number, owner, text, ordinal, body_hash):
            yield number, f"the checksum of the key {_shown(text)} it was made under is wrong"


def _checksum(*parts: Any) -> bytes:
    return hashlib.blake2b(_encoder.encode(parts), digest_size=8).digest()


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="backslashreplace"))
