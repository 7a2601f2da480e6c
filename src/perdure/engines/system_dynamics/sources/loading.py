"""Loading: a model's file, read and built into a model."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from perdure.engines.system_dynamics.compiling.program import Program
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.sources.building import build
from perdure.engines.system_dynamics.sources.circles import note_circles
from perdure.engines.system_dynamics.sources.equations import Functions
from perdure.engines.system_dynamics.sources.form import Form
from perdure.engines.system_dynamics.sources.json_model import fill
from perdure.engines.system_dynamics.sources.limits import MAX_BYTES, MAX_OPERATIONS
from perdure.engines.system_dynamics.sources.names import NAMINGS, NamingStyle
from perdure.engines.system_dynamics.sources.problems import Known, Problems, TooLarge, Unservable
from perdure.engines.system_dynamics.sources.specs import Times
from perdure.engines.system_dynamics.sources.vensim.builtins import VENSIM
from perdure.engines.system_dynamics.sources.vensim.reader import form_of as form_of_vensim
from perdure.engines.system_dynamics.sources.xmile.converted import XMILE_FILES, XMILE_FILES_OF_BPTK
from perdure.engines.system_dynamics.sources.xmile.reading import form_of as form_of_xmile
from perdure.errors import Invalid, InvalidModelFile

__all__ = ["Reader", "json_of", "load_into", "read_vensim", "read_xmile", "reader_of"]

Reader = Callable[[Path, Problems], tuple[Form, Functions]]
"""Reads a file; it adds what can't be served to the problems and refuses what is no file of its kind."""


def read_xmile(path: Path, problems: Problems) -> tuple[Form, Functions]:
    """Return the form of an XMILE file with the functions of its language."""
    return form_of_xmile(_content(path), path, problems), XMILE_FILES


def read_vensim(path: Path, problems: Problems, *, data: Sequence[Path] = ()) -> tuple[Form, Functions]:
    """Return the form of a Vensim file with the functions of its language; `data` as for `from_vensim`."""
    return form_of_vensim(_content(path), path, problems, data), VENSIM


_READERS: Mapping[str, Reader] = {
    **dict.fromkeys((".itmx", ".stmx", ".xmile", ".xml"), read_xmile),
    ".mdl": read_vensim,
}


def reader_of(path: Path) -> Reader:
    """Return what reads a file, by the ending of its name; raise `InvalidModelFile` if nothing does."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidModelFile(
            path=str(path), reason=f"the names of model files end in {', '.join((*_READERS, '.json'))}"
        )
    return reader


def load_into(
    model: ModelElements,
    path: Path,
    read: Reader,
    naming: NamingStyle = "file",
    *,
    program: Callable[[], Program],
) -> tuple[Form, Functions, Times]:
    """Build the model of a file into an empty model, of which `program` returns the program.

    Returns
    -------
    tuple
        The form of the file, the functions of its language, and its run specs.

    Raises
    ------
    InvalidModelFile
        If the file can't be read.
    UnservableModel
        If it holds what can't be served; the error lists all with line and element.
    """
    if naming not in NAMINGS:
        raise Invalid(f"naming must be 'file' or 'bptk', not {naming!r:.80}")
    problems = Problems()
    try:
        form, functions = read(path, problems)
        if naming == "bptk" and functions is XMILE_FILES:
            functions = XMILE_FILES_OF_BPTK
        times, lines = build(form, model, functions, problems, NAMINGS[naming])
        note_circles(program(), lines, problems)
    except Unservable as refused:
        if not (isinstance(refused, Known) or (isinstance(refused, TooLarge) and refused.noted)):
            problems.add(0, "", str(refused))
        problems.check(path.name)
        raise
    problems.check(path.name)
    return form, functions, times


def json_of(model: ModelElements, path: Path) -> Times:
    """Add what a JSON model in a file says to an empty model, and return its run specs.

    Raises
    ------
    InvalidModelFile
        If the file can't be read.
    UnservableModel
        If it is no JSON model.
    """
    line = 0
    try:
        return fill(model, json.loads(_content(path)), max_nodes=MAX_OPERATIONS)
    except json.JSONDecodeError as error:
        line, reason = error.lineno, f"it is no JSON: {error.msg}"
    except (UnicodeError, RecursionError) as error:
        reason = f"it is no JSON: {error}"
    except InvalidModelFile:
        raise
    except (Invalid, Unservable) as error:
        reason = str(error)
    except ValueError:
        # Python reads no integers of thousands of digits.
        reason = "it holds a number that is too long"
    problems = Problems()
    problems.add(line, "", reason)
    raise problems.error(path.name)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidModelFile(path=str(path), reason=str(error.strerror)) from error
    if len(content) > MAX_BYTES:
        raise Unservable(f"it is larger than {MAX_BYTES} bytes")
    return content
