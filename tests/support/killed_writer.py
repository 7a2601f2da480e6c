"""A writer that is killed again and again: ``python -m tests.support.killed_writer FOLDER KILLS SEED``.

This process forks a child that saves one instance through a file adapter, over and over, and reports each
save when it has returned; it kills the child at a random moment, then reads the folder with an adapter of its
own. It prints one line of JSON with what it found.
"""

import datetime
import json
import os
import random
import select
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from perdure.dialects.bptk.external_state.adapter import InstanceState
from perdure.dialects.bptk.external_state.file_adapter import FileAdapter
from perdure.dialects.bptk.timeouts import checked_timeout

ID = "a" * 32
LONGEST = 0.012  # seconds that a child may write before it is killed
TIMEOUT = checked_timeout({"hours": 12})
NOW = datetime.datetime(2030, 1, 1)


def state_of(step: int) -> dict[str, Any]:
    """Return what is saved at a step: from 2 to 60 kB, so that writes of many sizes are cut."""
    return {"step": step, "values": [step / 7.0] * (100 + step * 37 % 3000)}


def write(folder: str, step: int, report: int) -> None:
    """Save steps for ever, and report the number of each when its save has returned."""
    adapter = FileAdapter(False, folder)
    while True:
        adapter._save_instance(InstanceState(state_of(step), ID, NOW, TIMEOUT, float(step)))
        os.write(report, struct.pack("<q", step))
        step += 1


def main(folder: str, kills: int, seed: int) -> None:
    """Kill a writer so many times and tell what was found."""
    chance = random.Random(seed)
    found = {"kills": 0, "corrupt": 0, "lost": 0, "wrong": 0, "saves": 0, "drafts_left": 0}
    held = 0
    while found["kills"] < kills:
        reading, report = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write(folder, held + 1, report)
            finally:
                os._exit(1)
        os.close(report)
        select.select([reading], [], [], 10.0)  # the first save of this child has returned
        time.sleep(chance.uniform(0.0, LONGEST))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        found["kills"] += os.WIFSIGNALED(status)
        reported = b""
        while part := os.read(reading, 1 << 16):
            reported += part
        os.close(reading)
        acknowledged = struct.unpack("<q", reported[-8:])[0] if reported else held
        found["drafts_left"] += (Path(folder) / f"{ID}.tmp").exists()

        adapter = FileAdapter(False, folder)
        loaded = adapter._load_instance(ID)
        adapter._close()
        step = 0 if loaded is None or loaded.step is None else int(loaded.step)
        found["corrupt"] = len(list(Path(folder).glob("*.corrupt*")))
        found["lost"] += step < acknowledged
        found["wrong"] += loaded is None or loaded.state != state_of(step) or step > acknowledged + 1
        found["saves"] += step - held
        held = step
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
