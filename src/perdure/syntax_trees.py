"""Syntax trees: parses Python, whatever else parses at the same time.

While Python 3.11 makes a tree, it counts the depth of nesting in a variable that the whole process shares. If
another tree is made meanwhile, the first one may end with ``SystemError: AST constructor recursion depth
mismatch``. Of our own threads one parses at a time. Others parse unseen, as whatever prints a traceback does,
even within this very call, when the collector ends an object that logs an error. Then the tree is made again.
"""

import ast
from threading import RLock

__all__ = ["parsed"]

TRIES = 10  # what an end logged isn't logged again, so the second one is nearly always the last

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
        for _ in range(TRIES - 1):
            try:
                return ast.parse(source, path)
            except SystemError:
                continue
        return ast.parse(source, path)
