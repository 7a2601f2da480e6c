"""The locations of a server's files: artifacts, and the working folders of unfinished experiments.

Settings name both. By default they are beside the store's file, under its name. The files of a store that
ends with the process end with it too; any other store without a file requires the settings.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perdure.artifacts import ArtifactLimits, Artifacts
from perdure.errors import IsolationUnavailable, SettingsMissing
from perdure.settings import PREFIX, Settings
from perdure.stores.base import Store
from perdure.stores.location import beside

__all__ = ["artifacts_beside", "check_places", "ending_in_words", "open_artifacts", "working_root"]

ISOLATED = Path("/var/lib/perdure")
"""Parent of the working folders of stores whose owners have user ids of their own."""

NAMES = {"artifacts": "artifacts", "working_folders": "working folders"}
"""The settings that name a location, and what is kept there."""


def check_places(store: Store, settings: Settings) -> None:
    """Raise `SettingsMissing` if neither the settings nor the store say where files are."""
    unnamed = _unnamed(settings)
    if unnamed and store.file is None and not store.ephemeral:
        raise SettingsMissing(settings=" and ".join(f"{PREFIX}{name.upper()}" for name in unnamed))


def ending_in_words(store: Store, settings: Settings) -> str | None:
    """Return a list of what ends with the process, as text; None if everything is kept."""
    if not store.ephemeral:
        return None
    *others, last = ["runs", *(NAMES[name] for name in _unnamed(settings))]
    return f"{', '.join(others)} and {last}" if others else last


def open_artifacts(store: Store, settings: Settings) -> Artifacts:
    """Open the artifacts of a store; nothing is created before it is needed.

    Raises
    ------
    SettingsMissing
        As `check_places` does.
    Invalid
        If the URL names no storage, or a package for it is missing.
    """
    check_places(store, settings)
    limits = ArtifactLimits(
        experiments=settings.max_experiments,
        files=settings.max_experiment_files,
        bytes=settings.max_experiment_bytes,
    )
    if settings.artifacts:
        url = settings.artifacts
    elif store.file is not None:
        url = str(artifacts_beside(store.file))
    else:
        url = f"memory://perdure-{secrets.token_hex(8)}"  # a storage of its own
    return Artifacts(url, limits)


def artifacts_beside(file: Path) -> Path:
    """Return the folder of artifacts beside a store's file."""
    return beside(file, "artifacts")


@contextmanager
def working_root(store: Store, settings: Settings, *, works: bool = True) -> Iterator[Path]:
    """Yield the folder of working folders; for a store that ends with the process it is removed at the end.

    Only the server's user can enter the folder of a store, so other users' folders are elsewhere.

    Parameters
    ----------
    works
        Whether experiments are worked on. If not, no folder is created.

    Raises
    ------
    SettingsMissing
        As `check_places` does.
    IsolationUnavailable
        If folders were left in the other location, from a time with, or without, user ids of owners.
    """
    check_places(store, settings)
    if settings.working_folders is not None:
        yield settings.working_folders.absolute()
        return
    if store.file is not None:
        own, elsewhere = beside(store.file, "working"), ISOLATED / store.identity
        root, other = (own, elsewhere) if settings.run_as is None else (elsewhere, own)
        with suppress(PermissionError):
            if other.exists() and any(other.glob("*/place.json")):
                reason = f"working folders were left in {other}: `mkdir -p {root} && mv {other}/* {root}`"
                raise IsolationUnavailable(reason=reason)
        yield root
        return
    if not works:
        yield Path(tempfile.gettempdir(), f"perdure-{store.identity}")
        return
    with tempfile.TemporaryDirectory(prefix="perdure-") as folder:
        yield Path(folder)


def _unnamed(settings: Settings) -> list[str]:
    """Return the settings of `NAMES` that aren't set."""
    return [name for name in NAMES if not getattr(settings, name)]
