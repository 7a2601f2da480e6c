"""What a run says is there once, as if nothing had died; and who floods its lines obeys as others do."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.stores.base import Store
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Report
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.testing.executors import Trial

BODY = "tests.support.bodies:run"


class RecordingStore(MemoryStore):
    """A store in memory that remembers the lines of each report, also those that are taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[list[str]] = []

    @property
    def shown(self) -> list[str]:
        """All lines that anyone may have seen."""
        return [text for texts in self.reports for text in texts]

    def submit(self, command: Command[Any], chain: Chain | None = None) -> Future[Any]:
        if isinstance(command, Report):
            self.reports.append([line.text for line in command.lines])
        return super().submit(command, chain)


def tried(
    store: Store, *works: Callable[[Trial], Awaitable[None]], replays: bool = False, slots: int = 1
) -> None:
    """Do the parts of a test, each with an executor of its own."""

    async def work_in_trials() -> None:
        for work in works:
            bodies = {"task": Body(path=BODY, replays=replays, slots=slots)}
            async with LocalExecutor(store, bodies, identity=secrets.token_hex(8)) as executor:
                await work(Trial(store, executor))

    asyncio.run(work_in_trials())


def lines_of(store: Store) -> dict[str, list[str]]:
    """Return the texts of a run's lines by where they came from; their numbers have no gap."""
    lines = store.log_lines("run", limit=100_000)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.level, []).append(line.text)
    return found


def said(to: int, lines: int) -> dict[str, list[str]]:
    """Return what is said by `recite`, undisturbed."""
    each = [f"{number}.{line}" for number in range(1, to + 1) for line in range(lines)]
    printed = [f"{how} {it}" for it in each for how in ("printed", "written")]
    return {
        "info": [*printed, "without an end"],
        "error": [f"warned {it}" for it in each],
        "debug": [f"logged {it}" for it in each],
    }


@pytest.mark.parametrize("lines", [1, 600])
@pytest.mark.parametrize("how", ["killed", "unguarded"])
def test_lines_are_those_of_an_undisturbed_run(tmp_path: Path, how: str, lines: int) -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="recite", to=5, lines=lines, falls_at={2: how, 4: how})
        run, execution = await trial.until_final()
        assert (run.outcome, execution.attempt) == (Outcome.SUCCEEDED, 3)

    store = SqliteStore(tmp_path, keep_lines=100_000)
    try:
        tried(store, work)
        assert lines_of(store) == said(5, lines)
    finally:
        store.close()


def test_lines_are_those_of_an_undisturbed_run_after_the_server_has_ended(tmp_path: Path) -> None:
    async def begin(trial: Trial) -> None:
        await trial.submit(do="recite", to=5, lines=9, falls_at={3: "waits"})
        await trial.until(lambda: len(trial.store.log_lines("run")) == 4 * 9 * 3)

    async def go_on(trial: Trial) -> None:
        run, _ = await trial.until_final()
        assert run.outcome is Outcome.SUCCEEDED

    store = MemoryStore()
    tried(store, begin, go_on)
    assert lines_of(store) == said(5, 9)


def test_without_a_savepoint_all_is_said_again() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="interrupt", times=1)
        _, execution = await trial.until_final()
        assert execution.attempt == 2

    store = RecordingStore()
    tried(store, work)
    assert lines_of(store) == {}
    assert store.shown == []  # whoever reads on by number never saw the traceback of the first attempt


def test_the_beginning_of_a_line_that_is_said_again_is_never_shown() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="fall_silent")
        _, execution = await trial.until_final()
        assert execution.attempt == 2

    store = RecordingStore()
    tried(store, work)
    assert lines_of(store) == {"info": ["a line", "half a line, and the rest"]}
    assert set(store.shown) == {"a line", "half a line, and the rest"}


@pytest.mark.parametrize("dies_at", [0, 3])
def test_what_a_replay_prints_again_is_dropped_but_the_beginning_of_a_line(dies_at: int) -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="rehearse", to=5, dies_at=dies_at)
        run, execution = await trial.until_final()
        assert (run.outcome, execution.attempt) == (Outcome.SUCCEEDED, 2)

    store = MemoryStore(keep_lines=100_000)
    tried(store, work, replays=True)
    found = lines_of(store)["info"]
    assert found.count("said") == 5 * 9000
    assert [text for text in found if text != "said"] == [
        "begun",
        *(f"the line {n} ends in {n}" for n in range(5)),
    ]


def test_what_a_replay_dies_of_is_told() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="die_again")
        run, _ = await trial.until_final()
        assert run.outcome is Outcome.FAILED

    store = RecordingStore()
    tried(store, work, replays=True)
    assert lines_of(store) == {"error": ["dying in attempt 3"]}
    assert store.shown == ["dying in attempt 1", "dying in attempt 3"]  # the first was no replay


@pytest.mark.parametrize("ends", ["returns", "exits", "raises"])
def test_what_a_replay_said_again_is_not_there_twice_when_its_end_is_explained(ends: str) -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="rehearse_in_vain", ends=ends)
        await trial.until_reported()
        if ends != "raises":
            await trial.want(DesiredState.STOPPED)
        run, execution = await trial.until_final()
        assert run.outcome is (Outcome.FAILED if ends == "raises" else Outcome.TERMINATED)
        assert execution.attempt == 2

    store = MemoryStore()
    tried(store, work, replays=True)
    found = lines_of(store)
    assert found["info"] == ["said"]
    assert found.get("error", ["nothing"])[-1] == (
        "ValueError: it goes another way" if ends == "raises" else "nothing"
    )


@pytest.mark.parametrize("way", ["print", "write", "log"])
def test_who_floods_its_lines_is_paused_and_stopped_and_all_it_said_is_there(way: str) -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="babble", way=way)
        await trial.until(lambda: len(trial.store.log_lines("run", limit=5000)) == 5000)
        for desired, state in (
            (DesiredState.PAUSED, RunStatus.PAUSED),
            (DesiredState.STARTED, RunStatus.STARTED),
        ):
            await trial.want(desired)
            await trial.until(lambda state=state: trial.store.run("run").state is state)
        await trial.want(DesiredState.STOPPED)
        run, execution = await trial.until_final()
        assert run.outcome is Outcome.TERMINATED
        reported = msgspec.msgpack.decode(execution.progress or b"")["number"]
        lines = trial.store.log_lines("run", limit=100_000)
        assert [int(line.text) for line in lines] == [line.number for line in lines]
        assert lines[-1].number in (reported, reported + 1)

    store = RecordingStore()
    tried(store, work)
    if way == "log":  # of what is printed, more than is taken at a time is in no pipe
        assert max(map(len, store.reports)) > 1000  # what came last was written at once


def test_a_flood_does_not_keep_savepoints_waiting() -> None:
    async def work(trial: Trial) -> None:
        await trial.submit(do="save_beside_babble", to=20)
        run, _ = await trial.until_final()
        assert (run.outcome, trial.value()) == (Outcome.SUCCEEDED, "saved")

    tried(MemoryStore(), work)


def test_others_go_on_beside_floods() -> None:
    async def work(trial: Trial) -> None:
        for way in ("print", "log"):
            await trial.submit(way, do="babble", way=way)
            await trial.until_reported(way)
        await trial.submit("calm", do="recite", to=3, lines=2)
        run, _ = await trial.until_final("calm")
        assert run.outcome is Outcome.SUCCEEDED

    tried(MemoryStore(), work, slots=3)
