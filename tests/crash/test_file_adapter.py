"""A writer that is killed in its loop never leaves a damaged file, and never loses what it acknowledged.

``make test`` kills it 300 times, ``make crash KILLS=n`` at least as often.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = max(300, int(os.environ.get("CRASH_KILLS", "0")))


def test_a_writer_killed_in_its_loop_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    command = [sys.executable, "-W", "error", "-m", "tests.support.killed_writer"]
    done = subprocess.run(
        [*command, str(tmp_path), str(KILLS), str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    print(found)
    assert found["kills"] == KILLS, seed
    assert (found["corrupt"], found["lost"], found["wrong"]) == (0, 0, 0), seed
    assert found["saves"] >= KILLS  # each writer came to save
    assert found["drafts_left"] > 0  # some were cut in the middle of a file
