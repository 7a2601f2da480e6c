"""The examination of a session: nothing that doesn't follow from the inputs passes, whatever its checksum."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.models import NAMES, OUTPUTS, settings_of
from tests.support.models import catalogue as everything
from tests.support.small import NEW, bath, catalogue_of, sessions_on, settings

from perdure.drivers.examination import Finding
from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.run import Key
from perdure.scenarios import Catalogue
from perdure.state.codec import decode, encode
from perdure.stores.commands import PutSavepoint, Unleased, encoded
from perdure.stores.sqlite import SqliteStore

EVERY = 5
STEPS = 33


class Bench:
    """A store with one session of 33 steps, closed while it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = ""

    def make(self, steps: int = STEPS) -> None:
        async def work(store: SqliteStore) -> None:
            sessions = sessions_on(store, savepoint_every=EVERY)
            self.run_id = (await sessions.create("me", NEW)).run.id
            for number in range(1, steps + 1):
                given = settings(tap=number / 7.0) if number % 9 == 2 else {}
                await sessions.step("me", self.run_id, StepRequest(settings=given), Key(str(number), b"x"))
            await sessions.aclose()

        self.with_store(work)

    def with_store(self, work: Callable[[SqliteStore], Any]) -> Any:
        with closing(SqliteStore(self.path, keep=99)) as store:
            return asyncio.run(work(store))

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with closing(apsw.Connection(str(self.path))) as connection:
            return connection.execute(sql, values).fetchall()

    def examine(self, *, repair: bool = False, models: Catalogue | None = None) -> list[Finding]:
        async def work(store: SqliteStore) -> list[Finding]:
            sessions = sessions_on(store, models, savepoint_every=EVERY)
            return await sessions.examine("me", self.run_id, repair=repair)

        found: list[Finding] = self.with_store(work)
        return found

    def rows(self) -> list[Any]:
        async def work(store: SqliteStore) -> Any:
            return [step.outputs for step in store.steps(self.run_id)]

        rows: list[Any] = self.with_store(work)
        return rows


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "s.db")
    made.make()
    yield made


def told(findings: list[Finding]) -> list[tuple[str, bool]]:
    return [(finding.place, finding.repaired) for finding in findings]


def copy_step(bench: Bench, source: int, target: int, column: str = "outputs") -> None:
    query = f"UPDATE steps SET {column} = (SELECT {column} FROM steps WHERE position = ?) WHERE position = ?"
    bench.execute(query, (source, target))


def test_a_sound_session_is_sound_whatever_happened_to_it(tmp_path: Path) -> None:
    async def work() -> None:
        with closing(SqliteStore(tmp_path / "s.db", keep=99)) as store:
            request = NewSession(scenarios=NAMES, outputs=OUTPUTS, seed=11, dt=0.25)
            run_id = (await sessions_on(store, everything(), savepoint_every=7).create("me", request)).run.id
            forks = []
            for number in range(1, 122):
                # Restored before every step, from savepoints that restored sessions wrote.
                sessions = sessions_on(store, everything(), savepoint_every=7)
                await sessions.step("me", run_id, StepRequest(settings=settings_of(number)))
                if number % 40 == 0:
                    await sessions.take_savepoint("me", run_id, None, True)
                    forks.append((await sessions.fork("me", run_id, number - 3)).run.id)
            for one in [run_id, *forks]:
                examined = sessions_on(store, everything(), savepoint_every=7)
                assert len(store.savepoints(one)) > 1
                assert await examined.examine("me", one, repair=True) == []

    asyncio.run(work())


def test_outputs_in_the_wrong_place_are_found_and_never_overwritten(bench: Bench) -> None:
    copy_step(bench, 7, 8)
    before = bench.rows()
    for repair in (False, True):
        (finding,) = bench.examine(repair=repair)
        assert (finding.place, finding.repaired) == ("step 8, outputs", False)
        assert "don't follow from the inputs" in finding.problem
    assert bench.rows() == before


def test_outputs_that_differ_in_one_bit_are_found(bench: Bench) -> None:
    ((blob,),) = bench.execute("SELECT outputs FROM steps WHERE position = 31")
    rows = decode(blob)
    rows[0][1] = math.nextafter(rows[0][1], math.inf)
    bench.execute("UPDATE steps SET outputs = ? WHERE position = 31", (encode(rows),))
    assert told(bench.examine(repair=True)) == [("step 31, outputs", False)]


def test_a_savepoint_in_the_wrong_place_is_found_and_rewritten(bench: Bench) -> None:
    async def swap(store: SqliteStore) -> None:
        wrong = store.savepoint(bench.run_id, 10)
        right = store.savepoint(bench.run_id, 20)
        moved = type(right)(timestamp=20, position=right.position, entities=wrong.entities)
        store.submit(PutSavepoint(bench.run_id, Unleased(0), encoded(moved))).result()

    bench.with_store(swap)
    assert told(bench.examine()) == [("savepoint 20", False)]
    assert told(bench.examine(repair=True)) == [("savepoint 20", True)]
    assert bench.examine() == []


def test_inputs_in_the_wrong_place_spoil_no_intact_savepoint(bench: Bench) -> None:
    before = bench.execute("SELECT timestamp, blob FROM savepoints ORDER BY timestamp")
    rows = bench.rows()
    copy_step(bench, 2, 16, "inputs")
    found = bench.examine(repair=True)
    assert not any(finding.repaired for finding in found)
    assert [finding.place for finding in found] == ["steps 16 to 19, outputs", "savepoint 20"]
    assert bench.execute("SELECT timestamp, blob FROM savepoints ORDER BY timestamp") == before
    assert bench.rows() == rows


def test_inputs_that_are_no_inputs_are_found_and_the_rest_is_examined(bench: Bench) -> None:
    bench.execute("UPDATE steps SET inputs = outputs WHERE position = 16")
    copy_step(bench, 30, 31)
    places = [finding.place for finding in bench.examine(repair=True)]
    assert places == ["step 16", "step 31, outputs"]


def test_behind_damaged_inputs_replay_goes_on_from_the_next_savepoint(bench: Bench) -> None:
    bench.execute("UPDATE steps SET inputs = zeroblob(30) WHERE position = 11")
    bench.execute("UPDATE steps SET outputs = zeroblob(30) WHERE position IN (12, 25)")
    found = bench.examine(repair=True)
    assert told(found) == [
        ("step 11, inputs", False),
        ("step 12, outputs", False),
        ("step 25, outputs", True),
    ]
    assert "can't be repaired: the inputs of step 11 are damaged" in found[1].problem


def test_what_is_missing_from_the_log_is_told_in_one_finding(bench: Bench) -> None:
    bench.execute("DELETE FROM steps WHERE position BETWEEN 12 AND 17")
    bench.execute("UPDATE runs SET position = 40")
    assert [finding.place for finding in bench.examine()] == ["steps 12 to 17", "log"]


def test_without_its_model_only_checksums_are_checked_and_that_is_told(bench: Bench) -> None:
    copy_step(bench, 7, 8)
    (finding,) = bench.examine(models=catalogue_of(bath(drain=0.2)))
    assert (finding.place, finding.checked) == ("replay", False)
    bench.execute("UPDATE steps SET outputs = zeroblob(30) WHERE position = 20")
    unchecked, damaged = bench.examine(models=catalogue_of(bath(drain=0.2)), repair=True)
    assert not unchecked.checked
    assert (damaged.place, damaged.repaired, damaged.checked) == ("step 20, outputs", False, True)
    assert "can't be repaired" in damaged.problem


def test_a_damaged_spec_hides_no_other_damage(bench: Bench) -> None:
    bench.execute("UPDATE specs SET spec = zeroblob(40)")
    bench.execute("UPDATE steps SET outputs = zeroblob(30) WHERE position = 20")
    assert told(bench.examine(repair=True)) == [("spec", False), ("step 20, outputs", False)]


def test_an_upgraded_session_is_replayed_from_its_upgrade_on(bench: Bench) -> None:
    model = bath(drain=0.2)
    model.upgrade = lambda state, former: state
    upgraded = catalogue_of(model)

    async def upgrade(store: SqliteStore) -> None:
        sessions = sessions_on(store, upgraded, savepoint_every=EVERY)
        await sessions.upgrade("me", bench.run_id)
        await sessions.step("me", bench.run_id, StepRequest(steps=20))
        await sessions.aclose()

    bench.with_store(upgrade)
    assert bench.examine(models=upgraded) == []
    copy_step(bench, 39, 40)
    bench.execute("UPDATE steps SET outputs = zeroblob(30) WHERE position IN (8, 36)")
    found = bench.examine(models=upgraded, repair=True)
    assert told(found) == [
        ("step 8, outputs", False),
        ("step 36, outputs", True),
        ("step 40, outputs", False),
    ]
    assert f"upgraded at step {STEPS}" in found[0].problem


def test_a_long_log_with_an_unreadable_page_is_examined_around_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "s.db")
    bench.make(steps=900)
    ((page,),) = bench.execute(
        "SELECT pageno FROM dbstat WHERE name = 'steps' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 3"
    )
    with bench.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    (finding,) = bench.examine(repair=True)
    assert finding.place.startswith("steps ")
    assert "can't be read" in finding.problem
