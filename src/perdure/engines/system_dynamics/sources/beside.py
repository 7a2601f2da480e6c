"""Beside: the files that a model's file names, which are in its folder or below it.

A model may come from somebody else. It reads no other files of the machine, neither by an absolute path, nor
by ``..``, nor through a symbolic link.
"""

from pathlib import Path

__all__ = ["file_beside"]


def file_beside(folder: Path, name: str, *, within: Path | None = None) -> Path | None:
    """Return the file that a name stands for; None if there is none, or the model may not read it.

    Parameters
    ----------
    folder
        The folder where the name begins.
    name
        The name, as a model's file writes it.
    within
        The folder that the file must be in or below, by default `folder`.
    """
    try:
        path = (folder / name.replace("\\", "/")).resolve()
        found = path.is_relative_to((within or folder).resolve()) and path.is_file()
    except (OSError, ValueError):
        # Names may be too long for the file system, or hold what it doesn't allow.
        return None
    return path if found else None
