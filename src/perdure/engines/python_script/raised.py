"""Errors of users' code: their tracebacks, reduced to the lines of a folder.

Only frames in files of the folder are shown, with paths relative to it; the others belong to Perdure and
libraries. So the text doesn't depend on the place of the folder, and a resumed run produces it again.
"""

import inspect
import linecache
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from perdure.errors import message_of, writable

__all__ = ["NOWHERE", "Place", "Raised", "caller", "definition", "path_within", "raised"]

FIRST, LAST = 20, 60  # lines kept of a longer traceback


class Place(NamedTuple):
    """A line of a file: its path, its number from 1, and its function; empty and 0 if there is none."""

    file: str = ""
    line: int = 0
    function: str = ""


NOWHERE = Place()


def caller(depth: int) -> Place:
    """Return the line that called the caller of this function, or a line further up the stack."""
    frame = sys._getframe(depth + 1)
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def definition(function: Any) -> Place:
    """Return the line where the definition of a function begins; an empty place if it isn't in Python."""
    if hasattr(function, "__wrapped__"):  # most aren't wrapped, and this is asked at each step
        function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    return NOWHERE if code is None else Place(code.co_filename, code.co_firstlineno, code.co_name)


class Raised(NamedTuple):
    """An error of users' code.

    Attributes
    ----------
    kind, message
        The class and the message of the error.
    place
        The last line in the folder that the traceback has, with its path in the folder.
    text
        The text of that line.
    traceback
        All its lines in the folder, including those of its causes; empty if there are none.
    """

    kind: str
    message: str
    place: Place
    text: str
    traceback: str


def raised(error: BaseException, folder: Path, place: Place | None = None) -> Raised:
    """Return an error with its lines in the files of a folder.

    Parameters
    ----------
    error
        The error.
    folder
        The folder of users' code.
    place
        The place to report if the traceback has no line in the folder; its path may be absolute.
    """
    shown = traceback.TracebackException.from_exception(error)
    kind, message = type(error).__name__, message_of(error)
    _leave_out(shown, folder)
    if isinstance(error, SyntaxError) and error.filename:
        shown.filename = path_within(error.filename, folder)
        where, text = Place(shown.filename, error.lineno or 0), (error.text or "").strip()
        return Raised(kind, error.msg, where, text, _text(shown))
    if not shown.stack and place is not None and place.file:
        text = linecache.getline(place.file, place.line).strip()
        place = place._replace(file=path_within(place.file, folder))
        shown.stack = traceback.StackSummary.from_list(
            [traceback.FrameSummary(place.file, place.line, place.function, lookup_line=False, line=text)]
        )
    if not shown.stack:
        return Raised(kind, message, NOWHERE, "", "")
    last = shown.stack[-1]
    return Raised(
        kind, message, Place(last.filename, last.lineno or 0, last.name), last.line or "", _text(shown)
    )


def _leave_out(shown: traceback.TracebackException, folder: Path) -> bool:
    """Remove lines outside the folder, and causes without other lines; return whether any lines remain."""
    frames = shown.stack
    within = [_within(frame, folder) for frame in frames if Path(frame.filename).is_relative_to(folder)]
    shown.stack = traceback.StackSummary.from_list(within)
    if shown.__cause__ is not None and not _leave_out(shown.__cause__, folder):
        shown.__cause__ = None
    if shown.__context__ is not None and not _leave_out(shown.__context__, folder):
        shown.__context__ = None
    for one in shown.exceptions or ():
        _leave_out(one, folder)
    return bool(within) or not frames


def _within(frame: traceback.FrameSummary, folder: Path) -> traceback.FrameSummary:
    """Return a frame with the path in the folder, and with its line, which that path wouldn't find."""
    return traceback.FrameSummary(
        path_within(frame.filename, folder),
        frame.lineno,
        frame.name,
        lookup_line=False,
        line=frame.line or "",
    )


def path_within(file: str, folder: Path) -> str:
    """Return the path of a file within a folder; only its name if it is elsewhere."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _text(shown: traceback.TracebackException) -> str:
    lines = writable("".join(shown.format())).splitlines()
    if len(lines) > FIRST + LAST:
        lines[FIRST:-LAST] = [f"  … {len(lines) - FIRST - LAST} more lines …"]
    return "\n".join(lines)
