"""The transcript of a run: its trajectory and its log lines, read from the store a page at a time, as text.

It can be read at any time, up to what is durable; when the run has ended it is stored among its files. A
number in the trajectory has the fewest digits that read back as the same bits; JSON has none for one that
isn't finite, which is null there.
"""

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from perdure.drivers.experiments.journal import trajectory
from perdure.drivers.experiments.script_log import log_name
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.run import LogLine, Run
from perdure.stores.base import Store

__all__ = ["log_text", "rows_text", "transcribe"]

ROWS = 1000  # of the trajectory that are put into JSON at a time
LINES = 1000  # of the log that are read at a time

_encoder = msgspec.json.Encoder()


def rows_text(store: Store, run: Run) -> Generator[bytes, None, None]:
    """Yield what the status function answered up to the newest savepoint, a line of JSON for each row.

    Raises
    ------
    CorruptBlob, NewerSchema
        If a page of the journal can't be read; what came before has been yielded.
    """
    position = 0
    while position < run.position and (steps := store.steps(run.id, position, 1)):
        position = steps[-1].position
        part: list[bytes] = []
        for row in trajectory(steps):
            part += (_encoder.encode(row), b"\n")
            if len(part) == 2 * ROWS:
                yield b"".join(part)
                part.clear()
        yield b"".join(part)


def log_text(store: Store, run: Run) -> Generator[bytes, None, None]:
    """Yield the lines that a run wrote, with time and level; the first says if older ones are gone."""
    after = 0
    while lines := store.log_lines(run.id, after, LINES):
        if not after and (gone := lines[0].number - 1):
            yield b"%d older lines aren't kept; PERDURE_MAX_LOG_LINES says how many of a run are.\n" % gone
        after = lines[-1].number
        yield "".join(map(_line, lines)).encode(errors="replace")


def transcribe(store: Store, run: Run, folder: Path) -> None:
    """Write the transcript of a run that has ended into a folder; there is no file of what there is nothing.

    Raises
    ------
    CorruptBlob, NewerSchema
        If a part can't be read; what can be is written.
    """
    folder.mkdir(exist_ok=True)
    spec = ExperimentSpec.from_blob(run.spec)
    _write(log_text(store, run), folder / f"simulation_{spec.sim_id}.log")
    named = Path(log_name(spec.script, spec.sim_id))
    _write(rows_text(store, run), folder / named.with_suffix(".trajectory.jsonl"))


def _line(line: LogLine) -> str:
    moment = datetime.fromtimestamp(line.time, UTC).isoformat(timespec="milliseconds")
    return f"{moment} {line.level:7} {line.text}\n"


def _write(chunks: Iterable[bytes], path: Path) -> None:
    with path.open("wb") as file:
        try:
            file.writelines(chunks)
        finally:
            if not file.tell():
                path.unlink()
