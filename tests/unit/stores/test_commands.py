"""What writes do, decided without a database: from rows to what is written, or to a refusal."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from perdure.errors import (
    CorruptBlob,
    Fenced,
    KeyReused,
    LeaseHeld,
    PerdureError,
    PositionConflict,
    RunFinished,
    RunNotFound,
    VersionConflict,
)
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change, Execution
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Claim,
    Command,
    Decision,
    Guard,
    Lease,
    Leased,
    Moment,
    Query,
    Renew,
    Retention,
    Settle,
    Unleased,
    encoded,
)
from perdure.stores.keys import step_key_values
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.stores.values import execution_values, run_values
from perdure.testing.store_samples import a_key, a_run, a_savepoint, a_step, an_entry, an_execution

NOW = Moment(now=100.0, clock=50.0, retention=Retention())
NUMBER = 7
ID = "run"
FIRST = Unleased(0)
COUNTED: dict[str, Any] = {"read_counter": [(41,)]}
RUN_COLUMNS = (
    *("id", "kind", "owner", "spec", "state", "outcome", "reason", "position", "version", "created"),
    *("updated", "parent", "parent_position", "number", "generation", "name"),
)


def found(
    *, state: RunStatus = RunStatus.STARTED, position: int = 3, generation: int = 0, lease: int | None = None
) -> dict[str, Any]:
    return {"find_run": [(NUMBER, state.value, position, 1, generation, lease, 0)]}


def recorded(position: int, key: str = "key", body: bytes = b"body") -> dict[str, Any]:
    *_, kept = step_key_values(NUMBER, a_key(key, body), position)
    step = a_step(position)
    return {"find_step_key": [(NUMBER, body, position, kept, step.inputs, step.outputs)]}


def executed(execution: Execution) -> dict[str, Any]:
    number, *columns, kept = execution_values(NUMBER, execution)
    row = (number, ID, "task", "ann", execution.fence, number, *columns, execution.needs, None, 0, kept)
    return {"find_execution": [(*row, None, None, None)]}


def decided(command: Command[Any], rows: dict[str, Any], at: Moment = NOW) -> Decision[Any]:
    return command.decide([rows.get(query.name, []) for query in command.reads()], at)


def written(decision: Decision[Any]) -> list[str]:
    return [write.name for write in decision.writes]


def claimable(
    *executions: Execution, state: RunStatus = RunStatus.CREATED, until: tuple[float, ...] = ()
) -> dict[str, Any]:
    """Return what is found of runs in the queue, in their turns, with the ends of their leases."""
    rows = []
    for number, execution in enumerate(executions):
        (*columns, kept, _, _, _) = executed(execution)["find_execution"][0]
        ends = until[number] if number < len(until) else 0.0
        of_run = (NUMBER, state.value, 0, 1, 0, execution.fence, 0)
        rows.append((NUMBER, ends, *of_run, *columns, kept, None, None, None))
    return {"find_claimable": rows} | COUNTED


def append(guard: Guard = FIRST, position: int = 3, key: str | None = None) -> Append:
    return Append(ID, guard, position, [an_entry(position + 1, None if key is None else a_key(key))])


def test_a_step_moves_the_run_on_and_is_added() -> None:
    decision = decided(append(), found())
    assert decision.result.steps == (a_step(4),)
    assert [(write.name, list(write.rows)) for write in decision.writes] == [
        ("advance_run", [(NUMBER, 4, 100.0)]),
        ("insert_step", [(NUMBER, 4, a_step(4).inputs, a_step(4).outputs)]),
    ]
    assert [(change.run_id, change.position) for change in decision.changes] == [(ID, 4)]


def test_a_savepoint_and_an_end_go_with_the_step() -> None:
    command = Append(
        ID, Unleased(0), 3, [an_entry(4)], encoded(a_savepoint(4)), Change(state=RunStatus.COMPLETED)
    )
    decision = decided(command, found())
    assert written(decision) == [
        "advance_run",
        "insert_step",
        "put_savepoint",
        "prune_savepoints",
        "change_run",
    ]
    assert decision.changes[0].state is RunStatus.COMPLETED


def test_an_upgrade_raises_the_generation_and_the_writers_own_change_of_state_does_not() -> None:
    upgrade = Append(ID, Unleased(0), 3, [], encoded(a_savepoint(3)), Change(spec=b"new"))
    assert "raise_generation" in written(decided(upgrade, found()))
    start = Append(ID, Unleased(0), 3, [an_entry(4)], change=Change(state=RunStatus.STARTED))
    assert "raise_generation" not in written(decided(start, found()))


def test_a_run_that_is_leased_gets_no_generation_since_nobody_is_guarded_by_it() -> None:
    rows = found(lease=0) | executed(an_execution(ID)) | COUNTED
    assert "raise_generation" not in written(decided(Lease(ID, "worker", 5.0), rows))
    upgrade = Append(ID, Leased(4), 3, [], encoded(a_savepoint(3)), Change(spec=b"new"))
    held = found(lease=4) | executed(an_execution(ID, holder="w", fence=4, lease_until=55.0))
    assert "raise_generation" not in written(decided(upgrade, held))
    changed = ChangeRun(ID, 1, Change(state=RunStatus.PAUSED))
    record = {
        "read_run": [
            (
                ID,
                "task",
                "ann",
                b"",
                "started",
                None,
                "",
                3,
                1,
                1.0,
                1.0,
                None,
                None,
                NUMBER,
                0,
                "",
                "[]",
                None,
            )
        ]
    }
    assert decided(changed, held | record).result.generation == 0
    assert decided(changed, found() | record).result.generation == 1


@pytest.mark.parametrize(
    ("rows", "command", "refusal"),
    [
        ({}, append(), RunNotFound),
        (found() | recorded(2, body=b"other"), append(key="key"), KeyReused),
        (found(generation=1), append(position=9), Fenced),
        (found(lease=4), append(), Fenced),
        (found(), append(Leased(4)), Fenced),
        (found(lease=4), append(Leased(3)), Fenced),
        (found(lease=0), append(Leased(0)), Fenced),
        (found(state=RunStatus.STOPPED), append(position=2), PositionConflict),
        (found(state=RunStatus.STOPPED), append(), RunFinished),
        (found(), ChangeRun(ID, 0, Change(reason="why")), VersionConflict),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_write_that_does_not_fit_is_refused_for_the_first_reason(
    rows: dict[str, Any], command: Command[Any], refusal: type[PerdureError]
) -> None:
    if isinstance(command, ChangeRun):
        values = run_values(a_run(ID))
        rows = rows | {"read_run": [values]}
    with pytest.raises(refusal):
        decided(command, rows)


@pytest.mark.parametrize("rows", [found(), found(generation=5), found(state=RunStatus.STOPPED, position=9)])
def test_a_known_key_is_answered_whatever_happened_since(rows: dict[str, Any]) -> None:
    decision = decided(append(key="key"), rows | recorded(2))
    assert (decision.result.steps, decision.result.replayed) == ((a_step(2),), True)
    assert (decision.writes, decision.changes) == ((), ())


def test_a_lease_is_taken_with_the_next_number_of_the_counter_as_its_token() -> None:
    rows = found(state=RunStatus.CREATED, lease=0) | executed(an_execution(ID, attempt=2))
    decision = decided(Lease(ID, "worker", 5.0), rows | COUNTED)
    leased = decision.result
    assert (leased.attempt, leased.fence, leased.holder, leased.lease_until) == (3, 42, "worker", 55.0)
    assert {"set_lease", "set_counter"} < set(written(decision))
    assert decision.changes[0].state is RunStatus.STARTED
    paused = found(state=RunStatus.CREATED, lease=0) | executed(an_execution(ID, desired=DesiredState.PAUSED))
    assert "change_run" not in written(decided(Lease(ID, "worker", 5.0), paused | COUNTED))


@pytest.mark.parametrize(("clock", "taken"), [(54.9, False), (55.0, True)])
def test_a_lease_ends_by_the_clock_of_the_store(clock: float, taken: bool) -> None:
    held = an_execution(ID, attempt=3, holder="one", fence=3, lease_until=55.0)
    rows, at = found(lease=3) | executed(held) | COUNTED, replace(NOW, clock=clock, now=1e12)
    if taken:
        assert decided(Lease(ID, "two", 5.0), rows, at).result.fence == 42
    else:
        with pytest.raises(LeaseHeld):
            decided(Lease(ID, "two", 5.0), rows, at)
    assert decided(Renew(ID, 3, 5.0), rows, at).result.lease_until == clock + 5.0


def test_a_decision_reads_nothing_but_what_it_names() -> None:
    queries: Sequence[Query] = append(key="key").reads()
    assert [query.name for query in queries] == ["find_run", "find_step_key"]


GROUP = QueueGroup(ANY_TAG, "task", DesiredState.STARTED, RunStatus.CREATED, False, "")
CLAIM = Claim("w", 9.0, [GROUP])


def test_a_claim_leases_the_first_whose_lease_has_ended_with_the_next_token() -> None:
    leased, waiting = an_execution(ID, attempt=3, fence=5, lease_until=NOW.clock + 1.0), an_execution(ID)
    decision = decided(CLAIM, claimable(leased, waiting, until=(NOW.clock + 1.0,)))
    assert decision.result == replace(waiting, attempt=1, holder="w", fence=42, lease_until=NOW.clock + 9.0)
    assert written(decision) == ["set_counter", "change_execution", "set_lease", "change_run"]
    ended = replace(leased, lease_until=NOW.clock)
    decision = decided(CLAIM, claimable(ended, waiting, until=(NOW.clock,)))
    assert (decision.result.attempt, decision.result.fence) == (4, 42)


def test_a_claim_of_nothing_writes_nothing() -> None:
    leased = an_execution(ID, fence=5, lease_until=NOW.clock + 1.0)
    for rows in (claimable(), claimable(leased, until=(NOW.clock + 1.0,))):
        decision = decided(CLAIM, rows)
        assert (decision.result, decision.writes, decision.changes) == (None, (), ())


@pytest.mark.parametrize(
    "execution",
    [
        an_execution(ID, desired=DesiredState.STOPPED),
        an_execution(ID, needs="numpy"),
        an_execution(ID, fence=5, lease_until=NOW.clock + 1.0),
    ],
)
def test_a_claim_never_leases_a_run_that_stands_elsewhere_than_the_queue_says(execution: Execution) -> None:
    decision = decided(CLAIM, claimable(execution))
    assert isinstance(decision.result, CorruptBlob)
    assert "set_lease" not in written(decision)
    assert written(decision)


@pytest.mark.parametrize(
    ("desired", "state", "interrupted", "becomes"),
    [
        (DesiredState.STOPPED, RunStatus.CREATED, False, RunStatus.STOPPED),
        (DesiredState.COMPLETED, RunStatus.STARTED, False, RunStatus.COMPLETED),
        (DesiredState.FAILED, RunStatus.PAUSED, False, RunStatus.FAILED),
        (DesiredState.PAUSED, RunStatus.STARTED, False, RunStatus.PAUSED),
        (DesiredState.STARTED, RunStatus.STARTED, True, RunStatus.PAUSED),
        (DesiredState.PAUSED, RunStatus.CREATED, True, None),
        (DesiredState.STARTED, RunStatus.PAUSED, True, None),
        (DesiredState.STARTED, RunStatus.STARTED, False, None),
        (DesiredState.STOPPED, RunStatus.COMPLETED, False, None),
    ],
)
def test_a_run_that_nobody_works_on_is_settled(
    desired: DesiredState, state: RunStatus, interrupted: bool, becomes: RunStatus | None
) -> None:
    for lease_until in (0.0, NOW.clock, NOW.clock + 1.0):
        fence = 5 if lease_until else 0
        holder = "w" if fence else ""
        execution = an_execution(ID, desired=desired, fence=fence, holder=holder, lease_until=lease_until)
        made = a_run(ID, kind="task", state=state, number=NUMBER)
        row = (*(getattr(made, name) for name in RUN_COLUMNS), "[]", None)
        rows = found(state=state, lease=fence) | executed(execution) | {"read_run": [row]}
        decision = decided(Settle(ID, interrupted), rows)
        if becomes is None or lease_until > NOW.clock:
            assert (decision.result, decision.writes) == (None, ())
        else:
            assert decision.result.state is becomes
            assert "change_run" in written(decision)
