"""What a child may do, what it is given, and what becomes of a run whose child misbehaves."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from tests.support.processes import exists, marked, state

from perdure.errors import ExperimentNotFound, Fenced, StoreUnavailable
from perdure.execution.body import Body, Provision
from perdure.execution.child_limits import ChildLimits
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import FINAL, DesiredState, Outcome, RunStatus
from perdure.run import Change, Execution, Run
from perdure.stores.chain import Chain
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Command,
    CreateRun,
    DeleteRun,
    Lease,
    Leased,
    Release,
    Renew,
    Report,
    SetDesiredState,
)
from perdure.stores.memory import MemoryStore
from perdure.testing.bodies import spec
from perdure.testing.executors import WAIT, Trial

BODY = "tests.support.bodies:run"
MEBIBYTE = 1 << 20


def tried(
    work: Callable[[Trial], Awaitable[None]],
    *,
    body: str = BODY,
    limits: ChildLimits | None = None,
    slots: int = 1,
) -> None:
    """Do a test's work with an executor of its own, and see to it that it leaves nothing."""
    identity = secrets.token_hex(8)

    async def work_in_trial() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=body, slots=slots, limits=limits or ChildLimits())}
        async with LocalExecutor(store, bodies, identity=identity) as executor:
            await work(Trial(store, executor))

    asyncio.run(work_in_trial())
    assert not marked(identity)


def end_of(do: str, *, limits: ChildLimits | None = None, **given: object) -> tuple[Run, Trial]:
    """Return a run that has ended, and the trial that it ended in."""
    found: list[tuple[Run, Trial]] = []

    async def work(trial: Trial) -> None:
        await trial.submit(do=do, **given)
        run, _ = await trial.until_final()
        found.append((run, trial))

    tried(work, limits=limits)
    return found[0]


# Children that misbehave ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("garble", "it sent data that is no message"),
        ("announce", "it announced a message of 4294967295 bytes"),
        ("flood", "messages in a second"),
        ("flood_with_arrivals", "messages in a second"),
        ("hang_up", "lost the pipe"),
        ("hang_up_and_spin", "lost the pipe"),
        ("wrong", "returned dict, not bytes or None"),
        ("oversized", "may have at most 67108864 bytes"),
    ],
)
def test_a_child_that_breaks_the_rules_is_ended_and_the_run_says_why(
    do: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.attempt.FLOOD", 1000)  # more than a busy machine lets through
    monkeypatch.setattr("perdure.execution.attempt.HANGING_UP", 2.0)
    run, trial = end_of(do)
    assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.FAILED)
    assert reason in run.reason
    assert trial.store.execution("run").attempt == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells how much memory a process holds")
def test_running_out_of_memory_fails_the_run_and_says_so() -> None:
    run, trial = end_of("grow", limits=ChildLimits(memory=200 * MEBIBYTE))
    assert run.outcome is Outcome.FAILED
    assert "ran out of memory" in run.reason
    assert trial.store.execution("run").attempt == 1


def test_the_places_limit_of_time_binds_runs_that_ask_for_none() -> None:
    run, _ = end_of("family", limits=ChildLimits(seconds=0.5))
    assert run.outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize("do", ["crash_late", "linger"])
def test_a_result_that_arrived_whole_counts_however_the_process_ends(do: str) -> None:
    run, trial = end_of(do)
    assert run.outcome is Outcome.SUCCEEDED
    assert trial.value() == "whole"


# What a child says and is given -----------------------------------------------------------------------------


def test_what_a_child_prints_and_writes_becomes_log_lines() -> None:
    _, trial = end_of("speak", lines=3)
    lines = trial.store.log_lines("run")
    by_level = {level: [line.text for line in lines if line.level == level] for level in ("info", "debug")}
    assert by_level["info"][:3] == ["printed 0", "printed 1", "printed 2"]
    assert "".join(by_level["info"][3:-2]) == "x" * 20000  # a line that is too long becomes several
    assert by_level["info"][-2:] == ["by another", "without an end"]
    assert by_level["debug"] == ["written", "twice"]
    assert [line.text for line in lines if line.level == "error"] == ["warned"]


def test_a_child_that_prints_much_waits_and_loses_nothing() -> None:
    run, trial = end_of("speak", lines=2500)
    assert run.outcome is Outcome.SUCCEEDED
    assert [line.number for line in trial.store.log_lines("run", after=2499, limit=2)] == [2500, 2501]


def test_a_child_reports_as_often_as_it_likes_and_the_latest_stays() -> None:
    _, trial = end_of("report_much", times=200_000)
    progress = trial.store.execution("run").progress
    assert msgspec.msgpack.decode(progress or b"") == {"number": 199_999}


def test_a_report_that_is_none_is_left_out() -> None:
    run, trial = end_of("scribble")
    assert run.outcome is Outcome.SUCCEEDED
    assert trial.store.execution("run").progress is None


@pytest.mark.skipif(sys.platform != "linux", reason="it counts files in /proc")
def test_a_child_inherits_nothing_but_its_pipes_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TOKENS", "ann:secret")
    _, trial = end_of("show")
    shown = trial.value()
    assert "PERDURE_TOKENS" not in shown["environment"]
    assert shown["files"] == 7  # three streams, the pipe to the server, the slot twice, the folder listed
    assert int(shown["inherited"]) == 4
    assert shown["session"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a guard ends what it reaches by its group only"
)
def test_temporary_files_count_against_the_limit_of_folders() -> None:
    run, _ = end_of("hoard", size=20 * MEBIBYTE, ends=False, limits=ChildLimits(folder_bytes=10 * MEBIBYTE))
    assert run.outcome is Outcome.FAILED
    assert "its folder reached the limit of bytes" in run.reason


def test_each_attempt_has_an_empty_folder_for_temporary_files_that_is_removed_with_it() -> None:
    run, trial = end_of("hoard", size=1000, dies=True)
    assert run.outcome is Outcome.SUCCEEDED
    assert trial.store.execution("run").attempt == 2
    folder, before, mode = trial.value()
    assert Path(folder).parent == Path(tempfile.gettempdir())
    assert (before, mode) == ([], 0o700)
    assert not Path(folder).exists()


class PausedStates(MemoryStore):
    """A store that looks at the processes of a `family` when it is to put down that the run is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []

    def submit(self, command: Command[Any], chain: Chain | None = None) -> Future[Any]:
        if isinstance(command, ChangeRun) and command.change.state is RunStatus.PAUSED:
            child, _, other = msgspec.msgpack.decode(self.execution(command.run_id).progress or b"")["pids"]
            self.states += [state(child), state(other)]
        return super().submit(command, chain)


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes in /proc")
def test_who_sees_that_a_run_is_paused_sees_it_stand_still() -> None:
    store = PausedStates()

    async def work() -> None:
        async with LocalExecutor(store, {"task": Body(path=BODY)}, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="family")
            await trial.until_reported()
            await trial.want(DesiredState.PAUSED)
            await trial.until(lambda: store.run("run").state is RunStatus.PAUSED)
            await trial.want(DesiredState.STOPPED)
            await trial.until_final()

    asyncio.run(work())
    assert store.states == ["T", "T"]


# Guards, writers and slots ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere")
def test_the_death_of_a_guard_leaves_nothing_and_counts_for_nothing() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="family")
        seen: set[int] = set()

        def reported() -> list[int]:
            progress = trial.store.execution("run").progress
            return [] if progress is None else list(msgspec.msgpack.decode(progress)["pids"])

        for _ in range(4):
            await trial.until(lambda: not seen.issuperset(reported()))
            seen.update(reported())
            os.kill(reported()[1], signal.SIGKILL)  # the child's parent
        await trial.until(lambda: not seen.issuperset(reported()))
        assert not any(map(exists, seen))
        execution = trial.store.execution("run")
        assert (execution.attempt, execution.crashes) == (5, 0)
        await trial.want(DesiredState.STOPPED)
        await trial.until_final()

    tried(work)


def test_whoever_loses_the_lease_ends_its_child_and_writes_nothing_more() -> None:
    async def work(trial: Trial) -> None:
        store = trial.store
        await trial.submit(do="count", to=10**9)
        await trial.until(lambda: store.run("run").position > 3)
        stale = store.execution("run").fence
        store.submit(Release("run", stale)).result(WAIT)
        taken = store.submit(Lease("run", "another", 600.0)).result(WAIT)
        position = store.run("run").position
        await trial.executor.submit("run")
        await trial.submit("next", do="echo", value=1)  # there is one slot: it begins when that is free
        await trial.until_final("next")
        assert store.run("run").position == position
        assert store.execution("run").fence == taken.fence
        with pytest.raises(Fenced):
            store.submit(Append("run", Leased(stale), position, [])).result(WAIT)

    tried(work, body="perdure.testing.bodies:run")


def test_a_run_that_is_ended_or_deleted_by_another_ends_its_child() -> None:
    async def work(trial: Trial) -> None:
        store = trial.store
        for id in ("ended", "deleted"):
            await trial.submit(id, do="spin")
            await trial.until_reported(id)
        run = store.run("ended")
        expired = Change(state=RunStatus.STOPPED, outcome=Outcome.EXPIRED)
        store.submit(ChangeRun("ended", run.version, expired)).result(WAIT)
        store.submit(DeleteRun("deleted")).result(WAIT)
        await trial.submit("next", do="spin")
        await trial.submit("after", do="spin")
        await trial.until_reported("next")
        await trial.until_reported("after")
        assert store.run("ended").outcome is Outcome.EXPIRED

    tried(work, body="perdure.testing.bodies:run", slots=2)


def test_a_store_that_cant_be_written_ends_the_child_and_loses_nothing() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="spin")
        await trial.until_reported()
        trial.store.close()

    tried(work, body="perdure.testing.bodies:run")


def test_a_run_whose_work_was_broken_off_is_paused_where_that_is_asked_for() -> None:
    async def work() -> None:
        store = MemoryStore()
        body = Body(path="perdure.testing.bodies:run", resumes=False)
        async with LocalExecutor(store, {"task": body}, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            trial.create("broken-off", do="echo", value=1)
            lease = store.submit(Lease("broken-off", "a worker before", 600.0)).result(WAIT)
            store.submit(Release("broken-off", lease.fence)).result(WAIT)
            await trial.submit("new", do="echo", value=2)
            await trial.until_final("new")
            await trial.until(lambda: store.run("broken-off").state is RunStatus.PAUSED, "broken-off")
            assert store.execution("broken-off").desired is DesiredState.PAUSED
            await trial.want(DesiredState.STARTED, "broken-off")
            run, execution = await trial.until_final("broken-off")
            assert (run.outcome, execution.attempt) == (Outcome.SUCCEEDED, 2)

    asyncio.run(work())


class FullOnce(MemoryStore):
    """A store that can't be written once, after the third step."""

    failed = False

    def submit(self, command: Command[Any], chain: Chain | None = None) -> Future[Any]:
        if not isinstance(command, Append) or self.failed or self.run("run").position < 3:
            return super().submit(command, chain)
        self.failed = True
        future: Future[Any] = Future()
        future.set_exception(StoreUnavailable(reason="a test wants it so"))
        return future


def test_a_run_goes_on_when_the_store_can_be_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.execution.local.LEASE", 1.0)

    async def work() -> None:
        store, identity = FullOnce(), secrets.token_hex(8)
        bodies = {"task": Body(path="perdure.testing.bodies:run")}
        async with LocalExecutor(store, bodies, identity=identity) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="count", to=6)
            _, execution = await trial.until_final()
            assert trial.value() == [6, [0, 3]]
            assert (execution.attempt, execution.crashes) == (2, 0)

    asyncio.run(work())


def test_a_child_that_gives_no_sign_of_life_is_noted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.execution.attempt.SILENT", 0.5)
    noted = threading.Event()

    def note(*given: object) -> None:
        if "child_silent" in str(given):
            noted.set()
        raise structlog.DropEvent

    async def work(trial: Trial) -> None:
        await trial.submit(do="spin")
        assert await asyncio.to_thread(noted.wait, WAIT)
        assert trial.store.run("run").state is RunStatus.STARTED
        await trial.want(DesiredState.STOPPED)
        await trial.until_final()

    structlog.configure(processors=[note])
    try:
        tried(work, body="perdure.testing.bodies:run")
    finally:
        structlog.reset_defaults()


def test_short_runs_do_not_wait_behind_long_ones() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit("long", do="spin")
        await trial.submit("longer", do="spin")
        await trial.submit("short", do="echo", value=1, timeout=10.0)
        await trial.until_reported("long")
        run, _ = await trial.until_final("short")
        assert run.outcome is Outcome.SUCCEEDED
        assert trial.store.run("long").state not in FINAL
        assert trial.store.execution("longer").attempt == 0

    tried(work, body="perdure.testing.bodies:run")


def test_owners_take_turns() -> None:
    async def work(trial: Trial) -> None:
        started: list[str] = []
        trial.store.watch(
            lambda change: started.append(change.run_id) if change.run_id not in started else None
        )
        for id, owner in [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("c1", "cy")]:
            trial.create(id, owner=owner, do="echo", value=id)
        started.clear()
        for id in ("a1", "a2", "a3", "b1", "c1"):
            await trial.executor.submit(id)
        for id in ("a1", "a2", "a3", "b1", "c1"):
            await trial.until_final(id)
        assert started == ["a1", "b1", "c1", "a2", "a3"]

    tried(work, body="perdure.testing.bodies:run")


def test_other_slots_go_on_while_one_computes_in_c() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit("spins", do="spin")
        await trial.until_reported("spins")
        for number in range(3):
            await trial.submit(f"run-{number}", do="echo", value=number)
            await trial.until_final(f"run-{number}")
            assert trial.value(f"run-{number}") == number
        assert trial.store.run("spins").state not in FINAL

    tried(work, body="perdure.testing.bodies:run", slots=2)


def test_kinds_have_slots_of_their_own_and_each_attempt_is_provided_for() -> None:
    attempts: list[int] = []

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        attempts.append(execution.attempt)
        return Provision(environment={"PROVIDED": run.id}, given={"attempt": str(execution.attempt)})

    async def work() -> None:
        store, identity = MemoryStore(), secrets.token_hex(8)
        bodies = {
            "task": Body(path="perdure.testing.bodies:run", slots=1),
            "experiment": Body(path=BODY, slots=1, provide=provide),
        }
        async with LocalExecutor(store, bodies, identity=identity) as executor:
            trial = Trial(store, executor)
            await trial.submit("long", do="spin")
            await trial.until_reported("long")
            for id, times in (("twice", 2), ("thrice", 3)):
                now = time.time()
                given = spec(do="interrupt", times=times)
                run = Run(id=id, kind="experiment", owner="ann", spec=given, created=now, updated=now)
                execution = Execution(run_id=id, kind="experiment", owner="ann")
                store.submit(CreateRun(run, execution=execution)).result(WAIT)
                await executor.submit(id)
            await trial.until_final("twice")
            assert trial.value("twice") == [3, {"attempt": "3"}, "twice"]
            ended, _ = await trial.until_final("thrice")
            assert ended.state is RunStatus.FAILED
            assert ended.reason == (
                "interrupted in attempt 3; the third time in a row without a new savepoint."
            )
            assert attempts == [1, 2, 3, 1, 2, 3]
            assert store.run("long").state is RunStatus.STARTED
        assert not marked(identity)

    asyncio.run(work())


def test_what_cannot_be_provided_for_fails_the_run() -> None:
    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        raise ExperimentNotFound(experiment="gone")

    async def work() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=BODY, provide=provide)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="interrupt", times=0)
            ended, execution = await trial.until_final()
            assert (ended.state, execution.attempt) == (RunStatus.FAILED, 0)
            assert ended.reason.startswith("experiment_not_found: ")

    asyncio.run(work())


class RenewedStore(MemoryStore):
    """A store that says when a lease was renewed."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed = threading.Event()

    def submit(self, command: Command[Any], chain: Chain | None = None) -> Future[Any]:
        if isinstance(command, Renew):
            self.renewed.set()
        return super().submit(command, chain)


def test_a_run_is_leased_while_it_is_prepared_for_as_long_as_that_takes() -> None:
    store = RenewedStore()
    leases: list[tuple[str, int]] = []

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        assert store.renewed.wait(WAIT)
        leased = store.execution(run.id)
        leases.append((leased.holder, leased.fence))
        return Provision(given={"token": str(execution.fence)})

    async def work() -> None:
        bodies = {"task": Body(path=BODY, provide=provide)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="interrupt", times=0)
            await trial.until_final()
            (holder, token) = leases[0]
            assert (bool(holder), trial.value()[1]) == (True, {"token": str(token)})

    asyncio.run(work())


class SlowReports(MemoryStore):
    """A store that makes no report durable before a lease was renewed twice."""

    def __init__(self) -> None:
        super().__init__()
        self._renewals = 0
        self._held: list[tuple[Report, Future[None]]] = []

    def submit(self, command: Command[Any], chain: Chain | None = None) -> Future[Any]:
        if isinstance(command, Report) and self._renewals < 2:
            future: Future[None] = Future()
            self._held.append((command, future))
            return future
        if isinstance(command, Renew):
            self._renewals += 1
            while self._renewals > 1 and self._held:
                report, held = self._held.pop(0)
                held.set_result(super().submit(report).result(WAIT))
        return super().submit(command, chain)


def test_a_lease_is_renewed_whatever_else_is_slow() -> None:
    async def work() -> None:
        store, identity = SlowReports(), secrets.token_hex(8)
        bodies = {"task": Body(path="perdure.testing.bodies:run")}
        async with LocalExecutor(store, bodies, identity=identity) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="spin")
            await trial.until_reported()
            await trial.want(DesiredState.STOPPED)
            await trial.until_final()

    asyncio.run(work())


def test_a_run_that_can_never_be_prepared_fails_under_its_lease_and_counts_no_attempt() -> None:
    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        raise ValueError("it can't be read")

    async def work() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=BODY, provide=provide)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="echo", value=1)
            run, execution = await trial.until_final()
            assert (run.reason, execution.attempt) == ("ValueError: it can't be read", 0)

    asyncio.run(work())


def test_a_run_that_cannot_be_prepared_now_is_stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.execution.local.LEASE", 600.0)

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        raise OSError("the storage is away")

    async def work() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=BODY, provide=provide, resumes=False)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="echo", value=1)
            await trial.until(lambda: store.execution("run").fence > 0 and not store.execution("run").holder)
            await executor.look()
            assert (store.run("run").state, store.execution("run").desired) == (
                RunStatus.CREATED,
                DesiredState.STARTED,
            )
            store.submit(SetDesiredState("run", DesiredState.STOPPED)).result(WAIT)
            await executor.cancel("run")
            assert store.run("run").state is RunStatus.STOPPED

    asyncio.run(work())


@pytest.mark.parametrize("ends", [False, True])
def test_a_run_that_cannot_be_prepared_now_is_left_for_as_long_as_its_lease_lasts(
    ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.local.LEASE", 600.0)
    provided, refused = 0, threading.Event()

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        nonlocal provided
        provided += 1
        if provided == 1 or ends:
            refused.set()
            raise OSError("the storage is away")
        return Provision()

    async def work() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=BODY, provide=provide, slots=1)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="interrupt", times=0)
            assert await asyncio.to_thread(refused.wait, WAIT)
            for _ in range(3):
                await executor.look()
            await trial.until(lambda: (provided, store.execution("run").attempt) == (1, 0))
            if ends:
                await trial.want(DesiredState.STOPPED)
            else:
                ran_out = Renew("run", store.execution("run").fence, -1.0)
                store.submit(ran_out).result(WAIT)
                await executor.submit("run")
            run, execution = await trial.until_final()
            assert run.outcome is (Outcome.TERMINATED if ends else Outcome.SUCCEEDED)
            assert (provided, execution.attempt) == ((1, 0) if ends else (2, 1))

    asyncio.run(work())


@pytest.mark.parametrize("desired", [DesiredState.STOPPED, DesiredState.PAUSED])
def test_nobody_waits_for_a_preparation_that_is_not_wanted_any_more(desired: DesiredState) -> None:
    preparing, go, over = threading.Event(), threading.Event(), threading.Event()
    answers: list[bool] = []

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        if not answers:
            answers.append(called_off())
            preparing.set()
            go.wait(WAIT)
            answers.append(called_off())
            over.set()
        return Provision()

    async def work() -> None:
        store, identity = MemoryStore(), secrets.token_hex(8)
        bodies = {"task": Body(path=BODY, slots=1, provide=provide)}
        async with LocalExecutor(store, bodies, identity=identity) as executor:
            trial = Trial(store, executor)
            trial.create(do="interrupt", times=0)
            token = store.submit(Lease("run", "another", 600.0)).result(WAIT).fence
            store.submit(Release("run", token)).result(WAIT)  # its work was broken off
            await executor.submit("run")
            assert await asyncio.to_thread(preparing.wait, WAIT)
            await trial.want(desired)
            await trial.until(lambda: store.run("run").state.value == desired.value)
            # Its slot is free, though the thread is still at it.
            await trial.submit("other", do="interrupt", times=0)
            await trial.until_final("other")
            assert answers == [False]
            go.set()
            assert await asyncio.to_thread(over.wait, WAIT)
            assert answers == [False, True]
            if desired is DesiredState.PAUSED:
                await trial.want(DesiredState.STARTED)
                await trial.until_final()
            assert store.execution("run").attempt == 1 + (desired is DesiredState.PAUSED)
        assert not marked(identity)

    asyncio.run(work())


def test_a_preparation_that_is_cancelled_leaves_no_task() -> None:
    preparing, over = threading.Event(), threading.Event()

    def provide(run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        preparing.set()
        over.wait(WAIT)
        return Provision()

    async def work() -> None:
        store, bodies = MemoryStore(), {"task": Body(path=BODY, provide=provide)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            await trial.submit(do="interrupt", times=0)
            assert await asyncio.to_thread(preparing.wait, WAIT)
        over.set()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())


def test_a_pause_that_nobody_had_heard_of_holds_after_a_restart() -> None:
    async def work() -> None:
        store = MemoryStore()
        async with LocalExecutor(store, {"task": Body(path=BODY)}, identity=secrets.token_hex(8)) as executor:
            trial = Trial(store, executor)
            trial.create(do="interrupt", times=0)
            run = store.run("run")
            store.submit(ChangeRun("run", run.version, Change(state=RunStatus.STARTED))).result(WAIT)
            store.submit(SetDesiredState("run", DesiredState.PAUSED)).result(WAIT)
            await executor.submit("run")
            assert store.run("run").state is RunStatus.PAUSED
            await trial.want(DesiredState.STARTED)
            await trial.until_final()

    asyncio.run(work())
