"""What a session answered is written a piece at a time, and reads as if it had been written as a whole."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.dialects.bptk import session_json, session_log
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.session_json import session_results, state_entry
from perdure.dialects.bptk.session_log import SessionLog
from perdure.dialects.bptk.timeouts import DEFAULT
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.errors import RunNotFound
from perdure.lifecycle import RunStatus
from perdure.run import Entry, Run, Step
from perdure.state.codec import encode
from perdure.stores.commands import Append, CreateRun, DeleteRun, Unleased
from perdure.stores.memory import MemoryStore

INSTANCE = Instance(id="i", owner="ada", timeout=dict(DEFAULT), accessed=1_800_000_000.0, run="r")


def spec_of(parts: Sequence[tuple[str, str, list[str], float]]) -> SessionSpec:
    return SessionSpec(
        scenarios=[
            ScenarioSpec(
                manager=manager,
                scenario=scenario,
                model="m",
                fingerprint="f",
                outputs=outputs,
                config={"starttime": start, "stoptime": 99.0, "dt": 0.25, "timestep": 0.5},
            )
            for manager, scenario, outputs, start in parts
        ],
        seed=1,
        every=10,
        milestone=10,
    )


def rows_of(spec: SessionSpec, count: int, lasts: Sequence[int]) -> list[list[Any]]:
    """Return some steps; each scenario lasts for so many of them, the longest for all."""
    return [
        [
            [
                part.config["starttime"] + number * 0.5,
                *(number + index / 3 for index, _ in enumerate(part.outputs)),
            ]
            if number < max(1, last) or last == max(lasts)
            else None
            for part, last in zip(spec.scenarios, lasts, strict=True)
        ]
        for number in range(count)
    ]


def log_of(spec: SessionSpec, rows: list[list[Any]], *, lasting: bool) -> tuple[MemoryStore, SessionLog]:
    store = MemoryStore()
    run = Run(id="r", kind="session", owner="ada", spec=spec.to_blob(), created=0.0, updated=0.0)
    store.submit(CreateRun(run)).result()
    inputs = [None if at % 3 else encode([[0, {"constants": {"tap": float(at)}}]]) for at in range(len(rows))]
    entries = [Entry(inputs=given, outputs=encode(row)) for given, row in zip(inputs, rows, strict=True)]
    if entries:
        store.submit(Append("r", Unleased(0), 0, entries)).result()
    return store, SessionLog(store, store.run("r"), lasting=lasting)


def whole(spec: SessionSpec, rows: list[list[Any]], flat: bool) -> bytes:
    """Return the results as they are put together at once."""
    results: dict[str, Any] = {}
    for step in rows:
        for part, row in zip(spec.scenarios, step, strict=True):
            if row is not None:
                found = results.setdefault(part.manager, {}).setdefault(part.scenario, {"equations": {}})
                for name, value in zip(part.outputs, row[1:], strict=True):
                    if flat:
                        found["equations"].setdefault(name, []).append(value)
                    else:
                        found["equations"].setdefault(name, {})[str(row[0])] = value
    return msgspec.json.encode(results)


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(['m"1', "m2"]),
            st.sampled_from(["s1", "s2", "ü"]),
            st.lists(st.sampled_from(["a", "b", "c,\n", "d"]), unique=True, max_size=4),
            st.sampled_from([0.0, 3.25]),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda part: part[:2],
    ),
    count=st.integers(0, 30),
    page=st.integers(1, 12),
    held=st.integers(1, 80),
    flat=st.booleans(),
    lasting=st.booleans(),
    data=st.data(),
)
def test_results_in_pieces_are_the_results(
    parts: Any, count: int, page: int, held: int, flat: bool, lasting: bool, data: st.DataObject
) -> None:
    spec = spec_of(parts)
    lasts = data.draw(st.lists(st.integers(0, 30), min_size=len(parts), max_size=len(parts)))
    rows = rows_of(spec, count, lasts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_log, "PAGE", page)
        patch.setattr(session_json, "HELD", held)
        _, log = log_of(spec, rows, lasting=lasting)
        assert b"".join(session_results(log, flat=flat)) == whole(spec, rows, flat)
        (entry,) = json.loads(b"[" + b"".join(state_entry(INSTANCE, log)) + b"]")
        assert len(entry["state"]["results_log"]) == count
        assert entry["step"] == entry["state"]["step"] == entry["state"]["starttime"] + count * 0.5


def test_a_state_has_what_each_step_was_given_and_answered() -> None:
    spec = spec_of([("m", "s", ["a"], 0.0), ("m", "t", ["a"], 0.0)])
    _, log = log_of(spec, rows_of(spec, 2, [1, 2]), lasting=True)
    entry = json.loads(b"".join(state_entry(INSTANCE, log)))
    assert entry["state"] == {
        "scenario_managers": ["m"],
        "scenarios": ["s", "t"],
        "equations": ["a"],
        "step": 1.0,
        "starttime": 0.0,
        "stoptime": 99.0,
        "dt": 0.5,
        "settings_log": {"0.0": {"m": {"s": {"constants": {"tap": 0.0}}}}, "0.5": {}},
        "results_log": {
            "0.0": {"m": {"s": {"a": {"0.0": 0.0}}, "t": {"a": {"0.0": 0.0}}}},
            "0.5": {"m": {"t": {"a": {"0.5": 1.0}}}},
        },
    }
    assert entry.keys() == {"state", "instance_id", "time", "timeout", "step"}
    assert json.loads(b"".join(state_entry(INSTANCE, None)))["state"] is None


def test_numbers_that_json_has_not_are_null() -> None:
    spec = spec_of([("m", "s", ["a"], 0.0)])
    _, log = log_of(spec, [[[0.0, float("nan")]], [[0.5, float("inf")]]], lasting=True)
    assert b"".join(session_results(log, flat=True)) == b'{"m":{"s":{"equations":{"a":[null,null]}}}}'


def test_it_is_written_while_it_is_read_and_holds_few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of([("m", "s", ["a", "b", "c", "d"], 0.0)])
    monkeypatch.setattr(session_log, "PAGE", 10)
    monkeypatch.setattr(session_json, "HELD", 100)
    store, log = log_of(spec, rows_of(spec, 100, [100]), lasting=True)
    asked: list[int] = []
    read = store.steps

    def steps(run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        asked.append(after)
        return read(run_id, after, limit)

    monkeypatch.setattr(store, "steps", steps)
    pieces: Iterator[bytes] = session_results(log, flat=False)
    written = b"".join(next(pieces) for _ in range(3))
    assert asked == [0, 10]
    assert b'"9.5":' in written
    assert max(map(len, pieces)) < 3_000  # one equation
    assert len(asked) == 20  # two passes, of two equations each


@pytest.mark.parametrize("lasting", [False, True])
def test_a_run_that_is_forgotten_meanwhile(lasting: bool) -> None:
    spec = spec_of([("m", "s", ["a"], 0.0)])
    store, log = log_of(spec, rows_of(spec, 10, [10]), lasting=lasting)
    assert store.run("r").state is RunStatus.CREATED
    store.submit(DeleteRun("r")).result()
    if lasting:
        with pytest.raises(RunNotFound):
            list(session_results(log, flat=True))
    else:  # it was forgotten with its session, and is answered as it stood
        assert b"".join(session_results(log, flat=True)).count(b",") == 9
