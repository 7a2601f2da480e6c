"""Model files: models of XMILE, Vensim and JSON files by their path, and what scenarios may set in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.engines.system_dynamics import Model
from perdure.scenarios.model import ServedModel, Settings, overridden
from perdure.scenarios.system_dynamics import SystemDynamicsModel

__all__ = ["MODEL_FILES", "adapted_to", "is_model_file", "load_model_file"]

MODEL_FILES = (".itmx", ".json", ".mdl", ".stmx", ".xmile")
"""The endings of model files."""


def is_model_file(name: str) -> bool:
    """Return whether a name is that of a model file."""
    return name.lower().endswith(MODEL_FILES)


def load_model_file(path: Path, *, naming: Any = None) -> Model:
    """Return the model of a file.

    Parameters
    ----------
    path
        The file.
    naming
        ``"bptk"`` gives elements the names that BPTK-Py does, which scenario files use; ``"file"`` keeps
        those of the file. By default ``"bptk"`` for XMILE files, and ``"file"`` for others, which BPTK-Py
        doesn't read.

    Raises
    ------
    InvalidModelFile
        If the file can't be read.
    UnservableModel
        If it holds what can't be served.
    MissingExtra
        If it is a Vensim file, and PySD isn't installed.
    """
    naming = naming or ("file" if path.suffix.lower() in (".mdl", ".json") else "bptk")
    return Model.from_file(path, naming=naming)


def adapted_to(
    model: ServedModel, base: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]]
) -> tuple[ServedModel, Settings]:
    """Return the model that a scenario runs, and its settings: its own ones, and else those of its manager.

    In a model from a file a scenario may make a constant of any element, as in BPTK-Py, and write a constant
    as an equation of numbers. A fork of the model then has these constants.

    Raises
    ------
    InvalidOverride
        If the manager or the scenario sets a name twice, in two spellings.
    """
    settings: Settings = {
        kind: overridden(model, kind, overridden(model, kind, {}, base.get(kind, {})), given)
        for kind, given in own.items()
    }
    if not isinstance(model, SystemDynamicsModel) or not model.model.all_overridable:
        return model, settings
    constants = {name: _number(value) for name, value in settings["constants"].items()}
    elements = model.model.elements
    replaced = {
        name: value
        for name, value in constants.items()
        if name in elements and not elements[name].overridable
    }
    if replaced:
        model = SystemDynamicsModel(model.model.with_constants(replaced))
    return model, {**settings, "constants": constants}


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    from perdure.engines.system_dynamics.sources.constants import constant_of

    return constant_of(value)
