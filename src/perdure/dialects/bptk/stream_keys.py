"""Stream keys: how the steps of a stream are recorded with its one idempotency key.

A stream's steps are taken in chunks, each of which is a request to the driver, with ordinals from 0. The
first chunk uses the client's key; a later one the key, a separator that no client's key contains, and the
ordinal of its first step in the stream. So the steps are found again whatever the chunks were.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from perdure.run import Key, Step
from perdure.stores.base import Store

SEPARATOR = "\x1f"

__all__ = ["chunk_key", "is_streamed", "ordinal_in_stream", "recorded_steps"]


def chunk_key(key: Key, first: int) -> Key:
    """Return the key of the chunk that begins with an ordinal of the stream.

    >>> chunk_key(Key("monday", b""), 16).text
    'monday\\x1f16'
    """
    return replace(key, text=f"{key.text}{SEPARATOR}{first}" if first else key.text, ordinal=0)


def is_streamed(key: Key) -> bool:
    """Return whether a key belongs to a later chunk of a stream."""
    return SEPARATOR in key.text


def ordinal_in_stream(key: Key) -> tuple[str, int]:
    """Return the client's text, and the ordinal in the stream, for a step's key.

    >>> ordinal_in_stream(chunk_key(Key("monday", b""), 16))
    ('monday', 16)
    """
    text, _, first = key.text.partition(SEPARATOR)
    return text, int(first or 0) + key.ordinal


def recorded_steps(store: Store, run_id: str, key: Key) -> Iterator[Step]:
    """Yield the steps that were recorded with a stream's key, up to the first missing one; blocking.

    Raises
    ------
    KeyReused
        If another request had the key.
    """
    first = ordinal = 0
    while True:
        step = store.step_by_key(run_id, replace(chunk_key(key, first), ordinal=ordinal - first))
        if step is not None:
            yield step
            ordinal += 1
        elif first < ordinal:
            first = ordinal
        else:
            return
