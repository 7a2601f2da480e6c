"""The handle on the process of an isolated engine: starts it under a guard, and ends it.

The caller that starts a process calls `end`, after which nothing of it is left.
"""

import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from perdure.execution.child_limits import ChildLimits
from perdure.execution.end import End, EndKind
from perdure.execution.guard_start import start_guard

__all__ = ["FAREWELL", "EngineHandle"]

FAREWELL = 5.0  # seconds that a script's `shutdown` may take before its process is killed


class EngineHandle:
    """A process that makes engines, and its guard.

    Parameters
    ----------
    environment
        All variables of its environment.

    Attributes
    ----------
    connection
        The socket by which it is called.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        with ExitStack() as undo:
            self.connection, theirs = map(undo.enter_context, socket.socketpair())
            self._control, its_control = map(undo.enter_context, socket.socketpair())
            self._guard: subprocess.Popen[bytes] = start_guard(
                ["-m", "perdure.execution.engine_process", str(theirs.fileno())],
                control=its_control.fileno(),
                kept=[theirs.fileno()],
                limits=ChildLimits(),
                environment=environment,
            )
            undo.pop_all()
        theirs.close()
        its_control.close()

    @property
    def idle(self) -> bool:
        """Whether it is there and has nothing to say, as after its last answer was received."""
        self.connection.setblocking(False)
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def kill(self) -> None:
        """Have the process killed, from any thread; `end` must still be called. Harmless after that."""
        with suppress(OSError):  # it is ended at this moment, or its guard has ended
            self._control.sendall(b"k")

    def end(self, *, kill: bool) -> End:
        """Wait until nothing is left of the process, or see to it; return how it ended."""
        self.connection.close()
        reported = b""
        with self._control as control:
            control.settimeout(FAREWELL)
            for order in [b"k"] if kill else [b"", b"k"]:
                if order:
                    with suppress(OSError):  # the guard may have ended already
                        control.sendall(order)
                try:
                    while part := control.recv(1 << 12):
                        reported += part
                    break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            else:
                self._guard.kill()
        self._guard.wait()
        ends = map(End.reported, reported.decode(errors="replace").splitlines())
        return next(filter(None, ends), End(EndKind.UNWATCHED))
