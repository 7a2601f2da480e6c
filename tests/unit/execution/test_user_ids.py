"""Each owner has one user id, out of the range, that no other owner ever had; the store keeps it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import CorruptBlob, UserIdsExhausted
from perdure.execution.user_ids import RECORDS, UserIds
from perdure.stores.commands import PutDocument
from perdure.stores.memory import MemoryStore

OWNERS = st.lists(st.text(min_size=1, max_size=20), max_size=30)


@given(OWNERS, OWNERS)
def test_owners_keep_their_ids_over_openings_and_share_none(first: list[str], second: list[str]) -> None:
    store = MemoryStore()
    ids = range(200_000, 200_100)
    given = {owner: UserIds(store, ids).of(owner) for owner in first}
    opened = UserIds(store, ids)
    given |= {owner: opened.of(owner) for owner in second}
    assert {owner: opened.of(owner) for owner in first} == {owner: given[owner] for owner in first}
    assert len(set(given.values())) == len(given)
    assert set(given.values()) <= set(ids)


def test_who_asks_at_once_gets_the_same() -> None:
    users = UserIds(MemoryStore(), range(5000, 5010))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(users.of, ["ada", "bob"] * 40))
    assert len(set(found)) == 2
    assert found[0::2] == [found[0]] * 40


def test_there_are_no_more_owners_than_ids() -> None:
    users = UserIds(MemoryStore(), range(5000, 5002))
    assert {users.of("ada"), users.of("bob")} == {5000, 5001}
    with pytest.raises(UserIdsExhausted, match="all 2 of PERDURE_RUN_AS"):
        users.of("eve")
    assert users.of("ada") == 5000


def test_another_range_gives_other_ids_and_none_a_second_time() -> None:
    store = MemoryStore()
    first = UserIds(store, range(5000, 5002))
    assert (first.of("ada"), first.of("bob")) == (5000, 5001)
    moved = UserIds(store, range(5001, 5004))
    assert (moved.of("bob"), moved.of("ada"), moved.of("eve")) == (5001, 5002, 5003)


def test_a_damaged_record_is_said_rather_than_shared() -> None:
    store = MemoryStore()
    store.submit(PutDocument(RECORDS, "ada", b"\xff", None)).result()
    with pytest.raises(CorruptBlob, match="user id"):
        UserIds(store, range(5000, 5002)).of("bob")
