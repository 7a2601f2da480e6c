"""Results of simulations that wrote a few files."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from perdure.artifacts import FileSet
from perdure.artifacts.results import OwnerResults


def store_files(results: OwnerResults, run: str, files: Mapping[str, bytes]) -> FileSet:
    """Store what a run wrote: these files in its working folder."""
    with tempfile.TemporaryDirectory() as folder:
        for path, data in files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(data)
        stored = results.upload(run, Path(folder))
    assert stored is not None
    return stored
