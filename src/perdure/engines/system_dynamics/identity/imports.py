"""Imports within the body of a user function: the module and the value that they refer to."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from perdure.engines.system_dynamics.identity.libraries import top_level
from perdure.engines.system_dynamics.identity.syntax import Import
from perdure.errors import ModelError

__all__ = ["resolved", "unidentified"]


def resolved(imported: Import, namespace: Mapping[str, Any], function: str) -> tuple[ModuleType, Any]:
    """Return the module that a body imports, and the value that the imported name refers to.

    Parameters
    ----------
    imported
        The import.
    namespace
        The globals of the body.
    function
        The user function, for the error.

    Raises
    ------
    ModelError
        If it can't be imported.
    """
    written = f"{'.' * imported.level}{imported.module}"
    try:
        package = namespace.get("__package__") or str(namespace.get("__name__")).rpartition(".")[0]
        module = import_module(written, package)
        if imported.whole:
            module = import_module(top_level(written))
        value: Any = module
        if imported.attribute:
            if not hasattr(module, imported.attribute):
                import_module(f"{module.__name__}.{imported.attribute}")
            value = getattr(module, imported.attribute)
    except Exception as error:
        raise unidentified(
            function,
            f"imports {imported.attribute or written!r}, which can't be resolved "
            f"({type(error).__name__}: {error}). Make it importable where the model is identified, or "
            "import it at the top of the file.",
        ) from None
    return module, value


def unidentified(function: str, reason: str) -> ModelError:
    """Return the error for a model that has no fingerprint because of a user function."""
    return ModelError(f"The model can't be identified: its function {function!r} {reason}")
