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
from perdure.errors import (
    ArtifactsNotShared,
    IsolationUnavailable,
    SettingsMissing,
    VersionConflict,
    WrongArtifacts,
)
from perdure.settings import PREFIX, Settings
from perdure.stores.base import Store
from perdure.stores.commands import PutDocument
from perdure.stores.location import beside

__all__ = [
    "artifacts_beside",
    "check_artifacts",
    "check_places",
    "ending_in_words",
    "open_artifacts",
    "working_root",
]

ISOLATED = Path("/var/lib/perdure")
"""Parent of the working folders of stores whose owners have user ids of their own."""

NOTE = ("artifacts", "store")
"""The document that says of which store the artifacts are, once they are. A copy of the store has it too."""

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
    """Open the artifacts of a store; blocks while it does.

    Nothing is created before it is needed, but for the identity of a store that several hosts can share.

    Raises
    ------
    SettingsMissing
        As `check_places` does.
    ArtifactsNotShared
        If several hosts can share the store, but not the artifacts.
    WrongArtifacts, ArtifactsUnavailable
        As `check_artifacts` does, for such a store.
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
    artifacts = Artifacts(url, limits)
    if store.shared and artifacts.is_of_one_host and not settings.artifacts_shared:
        raise ArtifactsNotShared(url=url)
    if store.shared:
        check_artifacts(store, artifacts)
    return artifacts


def check_artifacts(store: Store, artifacts: Artifacts) -> None:
    """Check that the artifacts are those of a store which several hosts share.

    Otherwise a host on which the folder isn't mounted, or whose URL is wrong, would miss files of the others.
    At the first use of a store, the artifacts become those of the store.

    Raises
    ------
    WrongArtifacts
        If they belong to another store, or if they are empty, but those of the store aren't.
    ArtifactsUnavailable
        If they can't be read.
    """
    identity, noted = store.identity, store.document(*NOTE)
    found = artifacts.store()
    if found is None:
        if noted is not None and noted.blob == identity.encode():
            raise WrongArtifacts(url=artifacts.url, reason="nothing was ever stored there")
        artifacts.give_to(identity)
        found = artifacts.store()
    if found != identity:
        raise WrongArtifacts(url=artifacts.url, reason=f"they are those of the store {found}")
    if noted is None or noted.blob != identity.encode():
        with suppress(VersionConflict):  # another process has noted it meanwhile
            version = None if noted is None else noted.version
            store.submit(PutDocument(*NOTE, identity.encode(), version)).result()


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
