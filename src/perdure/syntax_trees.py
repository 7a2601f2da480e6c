"""Syntax trees: parses Python, by one thread at a time.

While Python 3.11 makes a tree, it counts the depth of nesting in a variable that all threads share: if two of
them make trees at the same time, one gets ``SystemError: AST constructor recursion depth mismatch``.
"""

import ast
from threading import RLock

__all__ = ["parsed"]

_parsing = RLock()


def parsed(source: str | bytes, path: str = "<unknown>") -> ast.Module:
    """Return the tree of a module; raise what `ast.parse` raises.

    Parameters
    ----------
    source
        The text of the module.
    path
        The name of its file, for messages.
    """
    with _parsing:
        return ast.parse(source, path)
