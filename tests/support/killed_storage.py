"""A process that makes and changes experiments without end, and says what is done; tests kill it.

As a command: ``python -m tests.support.killed_storage URL FIRST``.
"""

import io
import itertools
import sys

from tests.support.zips import zip_of

from perdure.artifacts import Artifacts, Condition


def files(number: int) -> dict[str, bytes]:
    """Return what the experiment of a number is made of."""
    return {f"{part}.bin": b"%d-%d " % (number, part) * 5_000 for part in range(4)}


CHANGED = b"changed " * 9_000


def main(url: str, first: int) -> None:
    """Make experiments, change one file of each, and print what is durable."""
    ada = Artifacts(url).experiments("ada")
    for number in itertools.count(first):
        ada.create(f"e{number}", io.BytesIO(zip_of(files(number))))
        print(f"made {number}", flush=True)
        ada.put(f"e{number}", "0.bin", [CHANGED], Condition())
        print(f"changed {number}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
