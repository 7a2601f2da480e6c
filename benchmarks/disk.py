"""The disk: how many times a second it makes a small write durable, which bounds every durable store."""

import os
import time
from pathlib import Path

__all__ = ["fsync_rate"]

BLOCK = 4096  # bytes

_make_durable = getattr(os, "fdatasync", os.fsync)


def fsync_rate(folder: Path, seconds: float) -> float:
    """Append blocks to a file, each made durable before the next; return how many there are a second."""
    path, block = folder / "fsync", os.urandom(BLOCK)
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        begun, count, elapsed = time.perf_counter(), 0, 0.0
        while elapsed < seconds:
            os.write(file, block)
            _make_durable(file)
            count += 1
            elapsed = time.perf_counter() - begun
        return count / elapsed
    finally:
        os.close(file)
        path.unlink()
