"""Whose turn it is: owners alternate, short runs can be had alone, nothing is lost or claimed twice."""

from collections import Counter
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.run import Execution
from perdure.stores.commands import CreateRun
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, a_run, claimed

queues = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20)
some = settings(max_examples=25, deadline=None)


def filled(store: MemoryStore, queue: list[tuple[str, bool]]) -> None:
    """Queue runs of owners, short or long, that are called by their numbers."""
    made = []
    for number, (owner, short) in enumerate(queue):
        run = a_run(str(number), owner=owner, kind="task")
        execution = Execution(run_id=run.id, kind="task", owner=owner, timeout=1.0 if short else 60.0)
        made.append(store.submit(CreateRun(run, execution=execution)))
    for future in made:
        future.result(WAIT)


def order(queue: list[tuple[str, bool]], *, short: bool = False) -> list[int]:
    """Return the numbers of all runs that are claimed, or of the short ones, in their turns."""
    with closing(MemoryStore()) as store:
        filled(store, queue)
        groups = [group for group in store.waiting_groups() if group.short or not short]
        found = []
        while (id := claimed(store, groups)) is not None:
            found.append(int(id))
        return found


@some
@given(queues)
def test_every_run_gets_its_turn_once_and_those_of_an_owner_in_the_order_they_came(
    queue: list[tuple[str, bool]],
) -> None:
    found = order(queue)
    assert sorted(found) == list(range(len(queue)))
    for owner in "abc":
        own = [number for number in found if queue[number][0] == owner]
        assert own == sorted(own)


@some
@given(queues)
def test_no_owner_has_a_turn_too_many_while_another_waits(queue: list[tuple[str, bool]]) -> None:
    owners = [queue[number][0] for number in order(queue)]
    for at in range(len(owners)):
        turns = {owner: owners[:at].count(owner) for owner in owners[at:]}
        assert max(turns.values(), default=0) - min(turns.values(), default=0) <= 1


@some
@given(queues)
def test_short_runs_can_be_claimed_alone(queue: list[tuple[str, bool]]) -> None:
    found = order(queue, short=True)
    assert sorted(found) == [number for number, (_, short) in enumerate(queue) if short]


@some
@given(st.lists(st.sampled_from(["ann", "bob", "cid", None]), max_size=30))
def test_an_owners_next_run_is_passed_at_most_once_by_those_of_another_that_came_later(
    steps: list[str | None],
) -> None:
    with closing(MemoryStore()) as store:
        waiting: dict[str, list[int]] = {}  # of each owner, in the order they came
        passed: Counter[tuple[int, str]] = Counter()  # how often each run was, by whose
        for number, owner in enumerate(steps):
            if owner is not None:
                execution = Execution(run_id=str(number), kind="task", owner=owner)
                run = a_run(str(number), owner=owner, kind="task")
                store.submit(CreateRun(run, execution=execution)).result(WAIT)
                waiting.setdefault(owner, []).append(number)
            elif (id := claimed(store)) is not None:
                owner = store.run(id).owner
                waiting[owner].remove(int(id))
                passed.update((runs[0], owner) for runs in waiting.values() if runs and runs[0] < int(id))
        assert max(passed.values(), default=0) <= 1
