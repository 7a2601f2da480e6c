"""Program code: which classes and functions are the program's own, and which a saved state may name."""

import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from perdure.engines.derived_types import DERIVED

__all__ = ["ClassName", "class_name", "imported", "is_authors", "raised_at"]

_OWN = "perdure.engines.agents"
_PACKAGES = tuple(f"{sysconfig.get_path(kind)}{os.sep}" for kind in ("purelib", "platlib"))
_LIBRARIES = (
    *_PACKAGES,
    f"{sysconfig.get_path('stdlib')}{os.sep}",
    f"{Path(__file__).parents[2]}{os.sep}",
    "<",
)

ClassName = tuple[str, str]
"""Module and qualified name of a class or function."""


def class_name(kind: Any) -> ClassName:
    """Return the module and the qualified name of a class or function."""
    return kind.__module__ or "", kind.__qualname__


_LIBRARY = {*map(class_name, (*DERIVED.values(), bool)), ("collections", "Counter"), ("random", "Random")}
"""Classes of Python's library that a state may name: making their objects does nothing else."""


def imported(name: ClassName) -> Any:
    """Return the class or function of that name in an imported module; None if it may not be used.

    Functions of installed packages may not, as a saved state could name any of them as a handler.
    """
    module, path = name
    top = module.partition(".")[0]
    library = top in ("perdure", *sys.stdlib_module_names) and top != "__main__"
    own = module == _OWN or module.startswith(f"{_OWN}.")
    if module not in sys.modules or (library and not own and name not in _LIBRARY):
        return None
    installed = str(getattr(sys.modules[module], "__file__", None) or "").startswith(_PACKAGES)
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) or not installed else None


def is_authors(kind: Any) -> bool:
    """Return whether a class, function or module is the author's: neither a library's nor Perdure's own."""
    module = str(getattr(kind, "__module__", None) or kind.__name__)
    if module.partition(".")[0] in ("perdure", *sys.stdlib_module_names) and module != "__main__":
        return False
    return not str(getattr(sys.modules.get(module), "__file__", None) or "").startswith(_PACKAGES)


def raised_at(error: BaseException) -> str:
    """Return the last line of the program's own that an error came by, in words; empty if there is none."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for file, line in reversed(lines):
        if not file.startswith(_LIBRARIES):
            return f"{Path(file).name}, line {line}"
    return ""
