"""The files that a user can't read: ``python -m perdure.execution.readable``, run as that user.

It takes a list of paths as JSON on standard input, and prints those that the user can't read or enter.
"""

import json
import os
import sys
from collections.abc import Iterable

from perdure.execution import child

__all__ = ["closed"]


def closed(paths: Iterable[str]) -> list[str]:
    """Return the files that this user can't read, and the folders that it can't enter."""
    return [path for path in paths if not (os.access(path, os.R_OK) or os.access(path, os.X_OK))]


if __name__ == "__main__":
    child.print_by_lines()  # the first step of a child: checks that a child can be imported
    print(json.dumps(closed(json.load(sys.stdin))))
