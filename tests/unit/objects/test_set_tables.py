"""A set that is restored with its table can't be told from the former one, whatever happens to both."""

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.objects.set_tables import Table, arrange, has_fixed_hash, table_of


class Color(enum.Enum):
    RED = 1


ELEMENTS = st.one_of(
    st.integers(0, 200), st.tuples(st.integers(0, 9), st.integers(0, 9)), st.text("ab", max_size=3)
)
CHANGES = st.lists(st.tuples(st.sampled_from(["add", "add", "discard", "pop"]), ELEMENTS), max_size=150)


def change(values: set[Any], changes: list[tuple[str, Any]]) -> None:
    for how, element in changes:
        if how == "add":
            values.add(element)
        elif how == "discard":
            values.discard(element)
        elif values:
            values.pop()


@given(CHANGES, CHANGES)
def test_a_restored_set_is_walked_like_the_former_one_after_any_changes(
    before: list[tuple[str, Any]], after: list[tuple[str, Any]]
) -> None:
    values: set[Any] = set()
    change(values, before)
    table = table_of(values)
    assert table is not None
    restored: set[Any] = set()
    arrange(restored, [*values], table)
    assert (restored, [*restored], table_of(restored)) == (values, [*values], table)
    change(values, after)
    change(restored, after)
    assert (restored, [*restored], table_of(restored)) == (values, [*values], table_of(values))


def test_a_large_set_keeps_the_slots_of_removed_elements() -> None:
    values = {(x, y) for x in range(60) for y in range(60)}
    values -= {(x, x) for x in range(60)}
    table = table_of(values)
    assert table is not None
    assert -2 in table.slots
    restored: set[Any] = set()
    arrange(restored, [*values], table)
    assert [*restored] == [*values]
    assert table_of(restored) == table


def test_elements_that_do_not_fit_their_slots_are_refused() -> None:
    for slots in ([-1] * 16, [0, 0, 1, *[-1] * 5], [*range(2), *[-1] * 3]):
        with pytest.raises(ValueError, match="don't fit"):
            arrange(set(), [1, 2], Table(slots, 0))
    with pytest.raises(ValueError, match="don't fit"):
        arrange(set(), [1, 1], Table([0, 1, *[-1] * 6], 0))
    with pytest.raises(ValueError, match="another hash"):
        arrange(set(), [3], Table([0, -1, -1, -1, -1, -1, -1, -1], 0))


def test_addresses_are_no_fixed_hashes() -> None:
    assert has_fixed_hash((1, "a", 2.5, frozenset({b"b"})), texts=True)
    assert not has_fixed_hash((1, object()), texts=True)
    assert not has_fixed_hash(float("nan"), texts=True)


def test_hashes_of_texts_are_fixed_by_the_hash_seed_only() -> None:
    assert has_fixed_hash((1, 2.5, frozenset({3})), texts=False)
    for element in ("a", b"b", (1, "a"), Color.RED):
        assert not has_fixed_hash(element, texts=False)
        assert has_fixed_hash(element, texts=True)
