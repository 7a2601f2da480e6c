"""Artifacts: the files of experiments and of what simulations wrote, at any URL that fsspec knows."""

from perdure.artifacts.artifacts import Artifacts
from perdure.artifacts.blobs import Blobs
from perdure.artifacts.chunks import CalledOff
from perdure.artifacts.experiments import Condition
from perdure.artifacts.fileset import Content, FileSet, StoredFile
from perdure.artifacts.limits import ArtifactLimits

__all__ = [
    "ArtifactLimits",
    "Artifacts",
    "Blobs",
    "CalledOff",
    "Condition",
    "Content",
    "FileSet",
    "StoredFile",
]
