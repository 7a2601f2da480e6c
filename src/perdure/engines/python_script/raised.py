"""What users' code raised: the lines of a folder that an error came by, as Python shows a traceback.

Of the frames only those in files of the folder are shown, by their paths in it: the others are Perdure's and
libraries'. So a text says the same wherever the folder is, and a run that is resumed says it again.
"""

import inspect
import linecache
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from perdure.errors import message_of, writable

__all__ = ["NOWHERE", "Place", "Raised", "caller", "definition", "path_within", "raised"]

FIRST, LAST = 20, 60  # lines of a traceback that are kept of a longer one


class Place(NamedTuple):
    """A line of a file: its path, its number from 1, and the function that it is in; empty and 0 for none."""

    file: str = ""
    line: int = 0
    function: str = ""


NOWHERE = Place()


def caller(depth: int) -> Place:
    """Return the line that called the caller of this, or at a greater depth who called that."""
    frame = sys._getframe(depth + 1)
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def definition(function: Any) -> Place:
    """Return the line where the definition of a function begins; no place of what isn't written in Python."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return NOWHERE if code is None else Place(code.co_filename, code.co_firstlineno, code.co_name)


class Raised(NamedTuple):
    """An error of users' code.

    Attributes
    ----------
    kind, message
        The error's class, and what it says.
    place
        The last line of the folder's that it came by, by the path in the folder.
    text
        That line.
    traceback
        All of them, with those of the errors that caused it; empty if it came by none.
    """

    kind: str
    message: str
    place: Place
    text: str
    traceback: str


def raised(error: BaseException, folder: Path, place: Place | None = None) -> Raised:
    """Return what an error says of a folder's files.

    Parameters
    ----------
    error
        What was raised.
    folder
        Where users' code is.
    place
        Where the fault is if the error came by no line of the folder's: the path may be absolute.
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
    """Leave out the lines of elsewhere, and causes that came by these alone; return whether it didn't."""
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
    """Return a frame with the path in the folder, and its line, which that path couldn't be read by."""
    return traceback.FrameSummary(
        path_within(frame.filename, folder),
        frame.lineno,
        frame.name,
        lookup_line=False,
        line=frame.line or "",
    )


def path_within(file: str, folder: Path) -> str:
    """Return the path of a file in a folder; its name alone if it is elsewhere."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _text(shown: traceback.TracebackException) -> str:
    lines = writable("".join(shown.format())).splitlines()
    if len(lines) > FIRST + LAST:
        lines[FIRST:-LAST] = [f"  … {len(lines) - FIRST - LAST} more lines …"]
    return "\n".join(lines)
