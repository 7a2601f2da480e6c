"""A folder on this machine as an experiment: its name, and the zip that it is made of."""

import os
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["name_of", "zipped_folder"]

AROUND = "experiment"  # the folder in the zip that all files are in, which is left out of their paths
UNNAMED = "experiment"
LONGEST = 80


def name_of(folder: Path) -> str:
    """Return the name of a folder's experiment: the folder's own, as far as an experiment may have it.

    >>> name_of(Path("rooms/pendulum_2")), name_of(Path("Übung 1")), name_of(Path("/"))
    ('pendulum_2', 'Ubung-1', 'experiment')
    """
    plain = unicodedata.normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("-._")[:LONGEST] or UNNAMED


@contextmanager
def zipped_folder(folder: Path, say: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """Yield a zip of a folder's files and folders, but those that are hidden, or in hidden folders.

    Links are followed, but to a folder that they are in. What has a name that isn't UTF-8 is left out, which
    `say` is given a line about.
    """
    with tempfile.TemporaryFile() as archive:
        with zipfile.ZipFile(archive, "w", strict_timestamps=False) as files:
            for within, folders, names in os.walk(folder, followlinks=True):
                here = Path(within)
                # No hidden one is entered: what is in our own moves and goes meanwhile.
                seen = [name for name in sorted(folders + names) if not name.startswith(".")]
                for name in (name for name in seen if not _is_text(name)):
                    say(f"Left out {str(here / name)!r}: its name isn't UTF-8.")
                seen = [name for name in seen if _is_text(name)]
                above = [here, *(part for part in here.parents if part.is_relative_to(folder))]
                inside = [part.resolve() for part in above]
                folders[:] = [
                    name
                    for name in seen
                    if name in folders
                    and not any(part.is_relative_to((here / name).resolve()) for part in inside)
                ]
                # In one folder, which is left out, so that one of the experiment's own never is.
                target = Path(AROUND) / here.relative_to(folder)
                files.writestr(f"{target}/", b"")
                for name in (name for name in seen if name in names):
                    if (here / name).is_file():
                        files.write(here / name, target / name)
        archive.seek(0)
        yield archive


def _is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8."""
    return os.fsencode(name).decode(errors="replace") == name
