"""The object graph of a model as data: what agents and models hold, with shared objects and circles.

Plain values stay as they are. Everything else is a list that begins with a tag: `encoding` makes these lists,
`decoding` reads them. A container or object is numbered where it first occurs, so that what was one object is
one object again. Agents, elements and the model are referred to. An object of another class consists of its
attributes; reading data calls no constructor, and makes only objects whose classes the program has imported.
Nothing else can be saved: the caller says where it is.
"""

import os
import sys
import sysconfig
from collections import Counter, OrderedDict
from typing import Any

__all__ = ["ATOMS", "DICTS", "FACTORIES", "ClassName", "class_name", "imported", "is_authors"]

ATOMS = frozenset((type(None), bool, int, float, str, bytes))
FACTORIES = {kind.__name__: kind for kind in (int, float, str, list, dict, bool)}
"""Built-in types that make values in dicts."""

DICTS: dict[str, type] = {"Counter": Counter, "OrderedDict": OrderedDict}

_OWN = "perdure.engines.agents"
_PACKAGES = tuple(f"{sysconfig.get_path(kind)}{os.sep}" for kind in ("purelib", "platlib"))

ClassName = tuple[str, str]
"""Module and qualified name of a class or function."""


def class_name(kind: Any) -> ClassName:
    """Return the module and the qualified name of a class or function."""
    return kind.__module__ or "", kind.__qualname__


def imported(name: ClassName) -> Any:
    """Return the class or function of that name in an imported module; None if it may not be used.

    Functions of installed packages may not, as a saved state could name any of them as a handler.
    """
    module, path = name
    top = module.partition(".")[0]
    library = top in ("perdure", *sys.stdlib_module_names) and top != "__main__"
    own = module == _OWN or module.startswith(f"{_OWN}.")
    if module not in sys.modules or (library and not own):
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
