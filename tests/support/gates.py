"""Gates: places where the scripts of tests wait."""

import os
from pathlib import Path


class Gate:
    """A place where a script waits until a test lets it through."""

    def __init__(self, path: Path) -> None:
        self._here, self._go = path.with_suffix(".here"), path.with_suffix(".go")
        os.mkfifo(self._here)
        os.mkfifo(self._go)

    @property
    def code(self) -> str:
        """What the script has to say there."""
        return f"open({str(self._here)!r}, 'w').close()\nopen({str(self._go)!r}).close()\n"

    def wait(self) -> None:
        """Wait until a script is there."""
        self._here.read_bytes()

    def open(self) -> None:
        """Let the one through that is there."""
        self._go.write_bytes(b"")

    def __call__(self) -> None:
        self.wait()
        self.open()
