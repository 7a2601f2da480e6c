"""A folder on this machine as an experiment: its name, and its files as a zip."""

import os
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from perdure.run import is_unicode

__all__ = ["name_of", "zipped_folder"]

AROUND = "experiment"  # the top folder of the zip, which the server strips from all paths
UNNAMED = "experiment"
LONGEST = 80


def name_of(folder: Path) -> str:
    """Return the name of a folder's experiment: the folder's name, without characters that are not allowed.

    >>> name_of(Path("rooms/pendulum_2")), name_of(Path("Übung 1")), name_of(Path("/"))
    ('pendulum_2', 'Ubung-1', 'experiment')
    """
    plain = unicodedata.normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("-._")[:LONGEST] or UNNAMED


@contextmanager
def zipped_folder(folder: Path, say: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """Yield a zip of a folder's files and folders without hidden ones.

    Links are followed, except to a folder that contains them. Files whose name isn't UTF-8 are left out;
    `say` receives a message about each.
    """
    with tempfile.TemporaryFile() as archive:
        with zipfile.ZipFile(archive, "w", strict_timestamps=False) as files:
            for within, folders, names in os.walk(folder, followlinks=True):
                here = Path(within)
                # Hidden folders are skipped; the content of Perdure's own changes meanwhile.
                seen = [name for name in sorted(folders + names) if not name.startswith(".")]
                for name in (name for name in seen if not is_unicode(name)):
                    say(f"Left out {str(here / name)!r}: its name isn't UTF-8.")
                seen = [name for name in seen if is_unicode(name)]
                above = [here, *(part for part in here.parents if part.is_relative_to(folder))]
                inside = [part.resolve() for part in above]
                folders[:] = [
                    name
                    for name in seen
                    if name in folders
                    and not any(part.is_relative_to((here / name).resolve()) for part in inside)
                ]
                # In one top folder to be stripped, so that a folder of the experiment never is.
                target = Path(AROUND) / here.relative_to(folder)
                files.writestr(f"{target}/", b"")
                for name in (name for name in seen if name in names):
                    if (here / name).is_file():
                        files.write(here / name, target / name)
        archive.seek(0)
        yield archive
