"""Where a server keeps its artifacts: as the settings say, or in a folder beside the store's file."""

import secrets
from pathlib import Path

from perdure.artifacts import ArtifactLimits, Artifacts
from perdure.settings import Settings
from perdure.stores.location import store_file

__all__ = ["artifacts_beside", "open_artifacts"]


def open_artifacts(settings: Settings) -> Artifacts:
    """Open the artifacts that settings name; nothing is made before it is needed.

    Raises
    ------
    Invalid
        If the URL names no storage, or a package for it is missing.
    """
    limits = ArtifactLimits(
        experiments=settings.max_experiments,
        files=settings.max_experiment_files,
        bytes=settings.max_experiment_bytes,
    )
    return Artifacts(settings.artifacts or _beside_store(settings), limits)


def _beside_store(settings: Settings) -> str:
    """Return the folder beside the store's file, under its name; a store in memory has none, nor a name."""
    file = store_file(settings.store)
    if file is None:
        return f"memory://perdure-{secrets.token_hex(8)}"
    return str(artifacts_beside(file))


def artifacts_beside(file: Path) -> Path:
    """Return the folder of artifacts beside a store's file."""
    return file.with_name(f"{file.name}.artifacts")
