"""The transcript of a run, as it is read and stored: every row and line, to the bit, whatever is damaged."""

import json
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.drivers.experiments.journal import RUN_LOOP, Journal, Looped, Record
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.transcript import LINES, ROWS, log_text, rows_text, transcribe
from perdure.errors import CorruptBlob
from perdure.run import Entry, Execution, LogLine, Run
from perdure.stores.commands import Append, CreateRun, Lease, Leased, Report
from perdure.stores.memory import MemoryStore

SPEC = ExperimentSpec(
    experiment="walk",
    version=1,
    configuration="simulation_config.json",
    script="in/main.py",
    seed=1,
    sim_id=3,
)


def pages(*rows_of_pages: list[Any]) -> list[Entry]:
    """Return a page of the journal for each list of rows."""
    journal, found = Journal(), []
    for rows in rows_of_pages:
        journal.add(Record(name=RUN_LOOP, arguments=[5, []], answer=Looped(rows=rows, steps=5)))
        journal.add(Record(name="time.time", arguments=[], answer=1.5))
        found += journal.take()
    return found


def run_with(
    entries: Sequence[Entry] = (),
    lines: int = 0,
    keep_lines: int = 10_000,
    **spec: Any,
) -> tuple[MemoryStore, Run]:
    """Return a store with a run in it."""
    store = MemoryStore(keep_lines=keep_lines)
    blob = ExperimentSpec(**({name: getattr(SPEC, name) for name in SPEC.__struct_fields__} | spec)).to_blob()
    run = Run(id="r", kind="experiment", owner="ada", spec=blob, created=0.0, updated=0.0)
    execution = Execution(run_id="r", kind="experiment", owner="ada")
    store.submit(CreateRun(run, execution=execution)).result()
    fence = store.submit(Lease("r", "me", 60.0)).result().fence
    written = [LogLine(text=f"line {n} ü", level="info", time=n / 8) for n in range(1, lines + 1)]
    store.submit(Report("r", fence, lines=written)).result()
    store.submit(Append("r", Leased(fence), 0, entries)).result()
    return store, store.run("r")


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.none()
data = st.recursive(
    numbers | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(data, max_size=4), max_size=4))
def test_every_row_comes_back_as_it_was(rows: list[list[Any]]) -> None:
    text = b"".join(rows_text(*run_with(pages(*rows)))).decode()
    read = [json.loads(line) for line in text.split("\n")[:-1]]
    assert repr(read) == repr([row for page in rows for row in page])


def test_numbers_have_their_bits_and_those_that_are_not_finite_are_null() -> None:
    rows = [[0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308], [math.nan, math.inf, -math.inf]]
    (text,) = rows_text(*run_with(pages(rows)))
    first, second = (json.loads(line) for line in text.splitlines())
    assert struct.pack("4d", *first) == struct.pack("4d", *rows[0])
    assert second == [None, None, None]


def test_rows_come_a_part_at_a_time() -> None:
    found = list(rows_text(*run_with(pages(list(range(ROWS + 5)), [], [7]))))
    assert [text.count(b"\n") for text in found if text] == [ROWS, 5, 1]


def test_lines_have_time_and_level_and_say_which_are_gone() -> None:
    count = 2 * LINES + 3
    text = b"".join(log_text(*run_with(lines=count))).decode()
    assert text.splitlines()[:2] == [
        "1970-01-01T00:00:00.125+00:00 info    line 1 ü",
        "1970-01-01T00:00:00.250+00:00 info    line 2 ü",
    ]
    assert [int(number) for number in re.findall(r"line (\d+)", text)] == [*range(1, count + 1)]
    kept = b"".join(log_text(*run_with(lines=count, keep_lines=3))).decode().splitlines()
    assert kept[0] == "2000 older lines aren't kept; PERDURE_MAX_LOG_LINES says how many of a run are."
    assert [line[-6:] for line in kept[1:]] == [f"{number} ü" for number in range(count - 2, count + 1)]


@pytest.mark.parametrize(("script", "stem"), [("in/main.py", "main"), (None, "perdure")])
def test_what_there_is_becomes_files_and_the_same_ones_again(
    tmp_path: Path, script: str | None, stem: str
) -> None:
    store, run = run_with(pages([1], [2]), lines=1, script=script)
    for _ in range(2):
        transcribe(store, run, tmp_path / "transcript")
        found = {path.name: path.read_bytes() for path in (tmp_path / "transcript").iterdir()}
        assert found == {
            f"{stem}_3.trajectory.jsonl": b"1\n2\n",
            "simulation_3.log": b"".join(log_text(store, run)),
        }


def test_of_what_there_is_nothing_there_is_no_file(tmp_path: Path) -> None:
    transcribe(*run_with(), tmp_path / "transcript")
    assert list((tmp_path / "transcript").iterdir()) == []


def test_what_can_be_read_of_damaged_pages_is_written(tmp_path: Path) -> None:
    first, second = pages([1], [2])
    damaged = Entry(inputs=second.inputs, outputs=second.outputs[:-1] + b"x")
    store, run = run_with([first, damaged], lines=1)
    with pytest.raises(CorruptBlob):
        transcribe(store, run, tmp_path / "transcript")
    assert (tmp_path / "transcript" / "main_3.trajectory.jsonl").read_bytes() == b"1\n"
    assert (tmp_path / "transcript" / "simulation_3.log").read_bytes()
