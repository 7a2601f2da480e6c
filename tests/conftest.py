"""What holds for every test.

Hypothesis has no deadline, since a busy machine is no failure of a law. Temporary folders are in memory where
there is room: syncs to a disk take most of the time of many tests, and those of power cuts simulate them.
"""

import os
import shutil
from pathlib import Path

from hypothesis import HealthCheck, settings

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes

settings.register_profile("perdure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("perdure")

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
