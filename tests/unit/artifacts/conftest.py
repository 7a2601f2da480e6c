"""Storages to try everything on: a local folder, fsspec's memory, and an object store without rename."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.support import object_store

_numbers = itertools.count()


@pytest.fixture(params=["folder", "memory", "objects"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    object_store.reset()
    number = next(_numbers)
    yield {
        "folder": str(tmp_path / "kept"),
        "memory": f"memory://kept-{number}",
        "objects": f"objects://kept-{number}",
    }[request.param]
    object_store.reset()
    MemoryFileSystem.store.clear()


@pytest.fixture
def objects() -> Iterator[str]:
    object_store.reset()
    yield "objects://bucket/kept"
    object_store.reset()
