"""Other users: what a test needs to run this interpreter and this project under their ids. It takes root."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to become another user")


def executing() -> list[str]:
    """Return a command that executes what follows it where other users can run this interpreter.

    It is empty where they can anyhow. If the interpreter or the project is in a folder that only root can
    enter, such as /root, that folder is another one for the command alone, with what is needed in it.
    """
    needed = [Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.prefix), ROOT]
    closed = sorted(
        {above for path in needed for above in path.parents if not above.stat().st_mode & stat.S_IXOTH}
    )
    if not closed:
        return []
    top = closed[0]
    names = sorted({path.relative_to(top).parts[0] for path in needed if path.is_relative_to(top)})
    script = [f"cd {shlex.quote(str(top))}", "kept=$(mktemp -d)"]
    script += [f'mkdir "$kept/{name}" && mount --rbind {name} "$kept/{name}"' for name in names]
    script += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}", f"cd {shlex.quote(str(top))}"]
    script += [f'mkdir {name} && mount --rbind "$kept/{name}" {name}' for name in names]
    script += [f"cd {shlex.quote(str(ROOT))}", 'exec "$@"']
    command = ["unshare", "--mount", "sh", "-ec", "\n".join(script), "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"other users can't enter {top}, and this container can't mount: {tried.stderr.strip()}")
    return command


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that all users can enter."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_ids(count: int = 10) -> range:
    """Return user ids that no other process of the tests uses meanwhile."""
    first = 300_000 + os.getpid() % 100_000 * 100
    return range(first, first + count)
