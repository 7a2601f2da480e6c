"""Models in files: how a name in a scenario file or on the command line becomes a model."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.engines.system_dynamics import Model
from perdure.errors import InvalidScenario

__all__ = ["load_attribute", "load_model"]

MODEL_NAMES = ("simulation_model", "model")


def load_model(name: str, folder: Path | None = None) -> Model:
    """Return the model that a name stands for.

    Parameters
    ----------
    name
        ``package.module.attribute``, or ``folder/file`` (with or without ``.py``), whose ``simulation_model``
        or ``model`` is taken. What is found may be a model, or a class or function that makes one.
    folder
        Where ``folder/file`` begins; by default the working folder.
    """
    path = (folder or Path()) / (name if name.endswith(".py") else f"{name}.py")
    if path.is_file():
        module = _import_file(path)
        found = next((getattr(module, known) for known in MODEL_NAMES if hasattr(module, known)), None)
        if found is None:
            raise InvalidScenario(reason=f"{path} defines neither {' nor '.join(MODEL_NAMES)}")
    else:
        module_name, _, attribute = name.rpartition(".")
        if not module_name:
            raise InvalidScenario(reason=f"there is no model {name!r}: neither the file {path} nor a module")
        found = load_attribute(module_name, attribute)
    made = found if isinstance(found, Model) else found() if callable(found) else found
    if not isinstance(made, Model):
        raise InvalidScenario(reason=f"{name!r} is a {type(made).__name__}, not a Model")
    return made


def load_attribute(module_name: str, attribute: str) -> Any:
    """Import a module, also from the working folder, and return one of its attributes."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.split(".")[0] != error.name.split(".")[0]:
            raise
        raise InvalidScenario(
            reason=f"there is no module {module_name!r}; call it from its folder"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise InvalidScenario(reason=f"the module {module_name!r} has no {attribute!r}") from None


def _import_file(path: Path) -> ModuleType:
    name = f"perdure_model_{path.stem}_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidScenario(reason=f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # A model's functions are looked up in their module when the model's hash is made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
