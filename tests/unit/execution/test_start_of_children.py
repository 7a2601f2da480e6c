"""What the process of a run imports before it works: little, since each run starts one."""

import subprocess
import sys

import numpy as np

from perdure.state.codec import encode

SLOW = {
    "asyncio",
    "fastapi",
    "importlib.metadata",
    "multiprocessing",
    "numpy",
    "rich",
    "structlog",
    "uvicorn",
}

CHILD = f"""
import sys
import perdure.execution.child
import perdure.drivers.task_body
from perdure.state.codec import decode, encode

state = {{"numbers": [1, 2**70, (0.5, "a")]}}
assert decode(encode(state)) == state
print("imported:", *sorted({SLOW} & sys.modules.keys()))
blob = bytes.fromhex(sys.argv[1])
state = decode(blob)
print([type(value).__name__ for value in state], encode(state) == blob)
"""


def test_the_process_of_a_task_imports_no_slow_library_until_it_meets_an_array() -> None:
    blob = encode([np.arange(3.0), np.float32(0.1), np.zeros(1, [("a", "i4")])])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, blob.hex()], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.splitlines() == ["imported:", "['ndarray', 'float32', 'ndarray'] True"]
