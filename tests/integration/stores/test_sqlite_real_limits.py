"""Limits that the operating system sets: a file that may grow no further, a folder that may not be written.

Each runs in a process of its own, which takes the limit upon itself; so they need no privilege, and privilege
doesn't hide them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from perdure.stores.sqlite import SqliteStore

PRELUDE = """
import json, sys
from contextlib import closing
from pathlib import Path
from perdure.errors import StoreUnavailable
from perdure.run import Entry
from perdure.stores.commands import Append, CreateRun, Unleased, encoded
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import a_run, a_savepoint
folder = Path(sys.argv[1])
"""

GROW = """
import resource
def append(position):
    entry = Entry(inputs=None, outputs=bytes(3000))
    return store.submit(Append("run", Unleased(0), position, [entry])).result()
with closing(SqliteStore(folder)) as store:
    store.submit(CreateRun(a_run(), encoded(a_savepoint()))).result()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100_000, hard))
    position = 0
    try:
        while True:
            append(position)
            position += 1
    except StoreUnavailable as error:
        said = str(error)
    while_full = [store.unavailable, store.run("run").position, len(store.steps("run"))]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append(position)
    print(json.dumps([position, said, while_full, store.unavailable, store.run("run").position]))
"""

# Root writes anywhere, unless it gives up the capability; capset(2) with nothing set needs no privilege.
READ_ONLY = """
import ctypes, os
if os.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0
said = []
for name in ("perdure.db", "new.db", "new/perdure.db"):
    try:
        SqliteStore(folder / name).close()
    except StoreUnavailable as error:
        said.append(str(error))
print(json.dumps(said))
"""


def run(script: str, folder: Path) -> Any:
    command = [sys.executable, "-c", PRELUDE + script, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_file_that_may_grow_no_further_refuses_writes_until_it_may(tmp_path: Path) -> None:
    acknowledged, said, while_full, afterwards, position = run(GROW, tmp_path)
    assert acknowledged > 0
    assert f"{tmp_path / 'perdure.db'}: input or output failed (SQLITE_IOERR_WRITE" in said
    assert while_full[0] in said
    assert while_full[1:] == [acknowledged, acknowledged]
    assert (afterwards, position) == (None, acknowledged + 1)


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "read only"
    SqliteStore(folder / "perdure.db").close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    try:
        said = run(READ_ONLY, folder)
    finally:
        folder.chmod(0o755)
    assert len(said) == 3
    assert all(str(folder) in message for message in said)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
