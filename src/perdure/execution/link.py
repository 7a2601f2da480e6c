"""The link: a child's end of the pipe to the server.

One thread of it listens, so that orders and acknowledgements arrive whatever the body does; any thread may
send.
"""

import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial

from perdure.execution.messages import (
    Append,
    Arrived,
    Beat,
    Done,
    FromChild,
    LoggedSteps,
    Pause,
    Paused,
    Resume,
    Start,
    Stop,
    framed,
    receive_blocking,
)
from perdure.run import Entry, Step
from perdure.state.savepoint import Savepoint

__all__ = ["BEAT", "PIPE_LOST", "Link"]

BEAT = 1.0  # seconds between two signs of life
PIPE_LOST = 113  # the exit code of a child that can't speak with the server any more


class Link:
    """Speaks with the server.

    Parameters
    ----------
    channel
        The inherited socket, which the link owns until the process ends.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()  # held for one frame
        self._here = threading.local()
        self._changed = threading.Condition()  # guards all that follows
        self._asked = 0
        self._done = 0
        self._pause = 0  # the number of the pause that was asked for; 0 is none
        self._stopping = False

    def begin(self) -> tuple[Start, list[Step]]:
        """Wait for what the child is to do and the log so far; from then on listen in a thread.

        The thread is a daemon: it ends with the process.
        """
        start = receive_blocking(self._channel)
        assert isinstance(start, Start), "a server speaks first, and says this"
        self._pause = int(start.paused)
        steps: list[Step] = []
        while len(steps) < start.position:
            message = receive_blocking(self._channel)
            assert isinstance(message, LoggedSteps), "a log is sent as a whole"
            steps += message.steps
        threading.Thread(target=self._listen, name="perdure-link", daemon=True).start()
        return start, steps

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stopping

    @property
    def pausing(self) -> bool:
        """Whether a pause was asked for and isn't over."""
        return self._pause > 0

    def send(self, message: FromChild) -> None:
        """Send a message; it blocks while the server has enough of them."""
        frame = framed(message)
        self._here.sending = True
        try:
            with self._sending:
                self._channel.sendall(frame)
        finally:
            self._here.sending = False

    @property
    def sending(self) -> bool:
        """Whether this thread is within `send`: so the handler of a signal finds it, and must not send."""
        return getattr(self._here, "sending", False)

    def append(self, entries: Sequence[Entry], savepoint: Savepoint | None) -> None:
        """Have entries and a savepoint made durable, and return when they are."""
        self._ask(lambda number: Append(number, entries, savepoint))

    def arrive(self) -> None:
        """Have what was printed so far dropped, and return when it is."""
        self._ask(Arrived)

    def _ask(self, message: Callable[[int], FromChild]) -> None:
        """Have something done under the next number, and return when it is."""
        with self._changed:
            self._asked += 1
            number = self._asked
            # Within the lock, so that messages arrive in the order of their numbers.
            self.send(message(number))
            self._changed.wait_for(lambda: self._done >= number)

    def hold(self) -> bool:
        """Stand still for as long as a pause lasts; return whether to go on, that is not to stop."""
        with self._changed:
            while (pause := self._pause) and not self._stopping:
                self.send(Paused(pause))
                self._changed.wait_for(partial(self._is_over, pause))
            return not self._stopping

    def _is_over(self, pause: int) -> bool:
        return self._pause != pause or self._stopping

    def _listen(self) -> None:
        try:
            while True:
                readable, _, _ = select.select([self._channel], [], [], BEAT)
                if not readable:
                    self.send(Beat())
                    continue
                message = receive_blocking(self._channel)
                with self._changed:
                    if isinstance(message, Done):
                        self._done = message.number
                    elif isinstance(message, Stop):
                        self._stopping = True
                    elif isinstance(message, Pause):
                        self._pause = message.number
                    elif isinstance(message, Resume):
                        self._pause = 0
                    self._changed.notify_all()
        except (EOFError, OSError):
            os._exit(PIPE_LOST)
        except BaseException:
            # Others may be waiting for what nobody would hear. It ends as by a crash, and is attempted again.
            traceback.print_exc()
            os.kill(os.getpid(), signal.SIGKILL)
