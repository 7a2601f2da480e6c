"""Spare processes are kept while somebody needs them, and no more of them than the limit."""

import gc
from typing import Any

from perdure.execution.spare_processes import SpareProcesses


class Handle:
    """A process, which may have died."""

    def __init__(self, *, idle: bool = True) -> None:
        self.idle = idle
        self.ended = False

    def end(self, *, kill: bool) -> None:
        assert kill
        self.ended = True


class User:
    """Somebody who needs spare processes."""


ONE = User()


def kept(spares: SpareProcesses, key: bytes, **given: bool) -> Any:
    handle: Any = Handle(**given)
    spares.put(key, handle)
    return handle


def test_the_first_of_too_many_ends_and_one_is_taken_by_its_key() -> None:
    spares = SpareProcesses(2)
    spares.open(ONE)
    first, second, third = (kept(spares, key) for key in (b"a", b"b", b"b"))
    assert [each.ended for each in (first, second, third)] == [True, False, False]
    assert spares.take(b"a") is None
    assert {spares.take(b"b"), spares.take(b"b")} == {second, third}
    assert spares.take(b"b") is None
    assert not second.ended and not third.ended


def test_one_that_has_died_is_not_handed_over() -> None:
    spares = SpareProcesses(2)
    spares.open(ONE)
    dead, well = kept(spares, b"a", idle=False), kept(spares, b"a")
    assert spares.take(b"a") is well
    assert dead.ended


def test_all_end_with_the_last_who_needs_them_and_none_is_kept_for_nobody() -> None:
    spares = SpareProcesses(2)
    assert kept(spares, b"a").ended
    spares.open(ONE)
    other = User()
    spares.open(other)
    handle = kept(spares, b"a")
    spares.close(ONE)
    assert not handle.ended and spares.needed
    spares.close(other)
    assert handle.ended and not spares.needed
    assert spares.take(b"a") is None


def test_a_user_that_is_gone_needs_none() -> None:
    spares, user = SpareProcesses(2), User()
    spares.open(user)
    assert spares.needed
    del user
    gc.collect()
    assert not spares.needed
