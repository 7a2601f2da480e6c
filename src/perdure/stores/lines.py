"""The output lines of runs as rows. A line with a wrong checksum is never used."""

from perdure.errors import CorruptBlob
from perdure.run import LogLine
from perdure.stores.ask import Ask
from perdure.stores.checksums import checksum

__all__ = ["read_lines"]


def read_lines(ask: Ask, run_id: str, after: int, limit: int) -> list[LogLine]:
    """Return the lines of a run after a number, ascending; raise `CorruptBlob` if one is damaged or missing.

    Retention deletes the oldest lines, so that a page may begin anywhere; from there on no number may be
    missing up to the last line. A run may have no lines at all: retention deleted the old ones, and the later
    ones were cut.
    """
    found = ask("list_log_lines", run_id, after, limit)
    lines: list[LogLine] = []
    last = after
    for run, written, number, time, level, text, size, kept in found:
        if number is None:
            if after < written and ask("find_last_log_line", run_id):
                raise _lost(run_id, after + 1)
            return []
        if lines and number != last + 1:
            raise _lost(run_id, last + 1)
        if kept is not None and kept != checksum(run, number, time, level, text, size):
            raise CorruptBlob(reason=f"the checksum of line {number} of the run {run_id!r} is wrong")
        lines.append(LogLine(number=number, time=time, level=level, text=text))
        last = number
    if lines and len(lines) < limit and last != written:
        raise _lost(run_id, last + 1)
    return lines


def _lost(run_id: str, number: int) -> CorruptBlob:
    return CorruptBlob(reason=f"line {number} isn't in the log of the run {run_id!r}")
