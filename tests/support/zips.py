"""Zips of experiments, right and wrong ones."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import BinaryIO

PENDULUM = {
    "simulation_config.json": b'{"SimulationName": "pendulum"}',
    "main_script.py": b"nrp.run_loop(10)\n",
    "engines/pendulum.py": b"# an engine\n",
}


def zip_of(files: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """Return a zip of files, or of entries as they are."""
    entries = files.items() if isinstance(files, Mapping) else files
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


def opened(data: bytes) -> BinaryIO:
    """Return bytes as a file."""
    return io.BytesIO(data)


def unzipped(data: bytes) -> dict[str, bytes]:
    """Return the files of a zip, each with its checksum checked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
