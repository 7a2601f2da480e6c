"""What is noted of a file's zeros brings them back."""

from itertools import pairwise
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from perdure.artifacts import holes as module
from perdure.artifacts.holes import Hole, filled, without_holes

pieces = st.lists(
    st.binary(min_size=1, max_size=9) | st.builds(bytes, st.integers(min_value=0, max_value=20)), max_size=12
)


@given(pieces, st.integers(min_value=1, max_value=7))
def test_a_file_has_its_bytes_back_however_storage_cuts_what_was_stored(
    chunks: list[bytes], cut: int
) -> None:
    holes: list[Hole] = []
    with (
        patch.object(module, "SHORTEST", 4),
        patch.object(module, "MOST", 3),
        patch.object(module, "CHUNK", 8),
    ):
        stored = b"".join(without_holes(chunks, holes))
        parts = [stored[at : at + cut] for at in range(0, len(stored), cut)]
        found = list(filled(parts, holes))
    whole = b"".join(chunks)
    assert b"".join(found) == whole
    assert all(0 < len(part) <= 8 for part in found)
    assert len(stored) + sum(length for _, length in holes) == len(whole)
    assert len(holes) <= 3
    assert all(start + length < following for (start, length), (following, _) in pairwise(holes))


def test_zeros_are_noted_as_one_hole_however_many_chunks_they_come_in() -> None:
    holes: list[Hole] = []
    stored = list(without_holes([b"begin", bytes(100_000), bytes(5), bytes(1_000_000), b"end"], holes))
    assert (stored, holes) == ([b"begin", b"end"], [(5, 1_100_005)])


def test_zeros_that_a_note_would_not_shorten_are_stored() -> None:
    holes: list[Hole] = []
    assert list(without_holes([bytes(10), b"end", bytes(65_535)], holes)) == [
        bytes(10),
        b"end",
        bytes(65_535),
    ]
    assert holes == []
