"""The model file: a model of an XMILE, a Vensim or a JSON file, by the ending of the file's name."""

import json
from pathlib import Path

from perdure.engines.system_dynamics.json_model import model_of
from perdure.engines.system_dynamics.model import Model
from perdure.engines.system_dynamics.sources.limits import MAX_BYTES, MAX_OPERATIONS
from perdure.engines.system_dynamics.sources.names import NamingStyle
from perdure.errors import Invalid, InvalidScenario, UnservableModel

__all__ = ["model_of_file"]


def model_of_file(path: Path, *, naming: NamingStyle = "file") -> Model:
    """Return the model of a file that ends in .stmx, .itmx, .xmile, .xml, .mdl or .json.

    Parameters
    ----------
    path
        The file; a JSON file holds a JSON model, as `json_writing.document_of` returns it.
    naming
        For XMILE and Vensim files as in `Model.from_xmile`. A JSON model has the names that programs of
        BPTK-Py use anyway.

    Raises
    ------
    InvalidScenario
        If the file can't be read, or its ending is that of no model file.
    UnservableModel
        If it holds what can't be served.
    MissingExtra
        If it is a Vensim file, and PySD isn't installed.
    """
    if path.suffix.lower() != ".json":
        return Model.from_file(path, naming=naming)
    content = _content(path)
    if len(content) > MAX_BYTES:
        raise _unservable(path, f"it is larger than {MAX_BYTES} bytes")
    try:
        model = model_of(json.loads(content), max_nodes=MAX_OPERATIONS)
    except json.JSONDecodeError as error:
        raise _unservable(path, f"it is no JSON: {error.msg}", error.lineno) from error
    except (UnicodeError, RecursionError) as error:
        raise _unservable(path, f"it is no JSON: {error}") from error
    except Invalid as error:
        raise _unservable(path, str(error)) from error
    model.all_overridable = True
    return model


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidScenario(reason=f"{path} can't be read: {error.strerror}") from error


def _unservable(path: Path, reason: str, line: int = 0) -> UnservableModel:
    shown = f"line {line}: {reason}" if line else reason
    return UnservableModel(name=path.name, problems=shown, found=[[line, "", reason]])
