"""The link: a child's end of the pipe to the server.

A thread receives messages, so that orders and acknowledgements arrive whatever the body does; any thread may
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
    Preempt,
    Resume,
    Show,
    Start,
    Stop,
    ToChild,
    View,
    framed,
    receive_blocking,
)
from perdure.run import Entry, Step
from perdure.state.savepoint import Savepoint

__all__ = ["BEAT", "PIPE_LOST", "Link"]

BEAT = 1.0  # seconds between two heartbeats
PIPE_LOST = 113  # exit code of a child whose pipe to the server has failed


class Link:
    """Exchanges messages with the server.

    Parameters
    ----------
    channel
        The inherited socket, which the link owns until the process ends.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = threading.Lock()  # held for one frame
        self._here = threading.local()
        self.watched = threading.Event()  # set while a view is requested
        self._changed = threading.Condition()  # guards all of the following
        self._asked = 0
        self._done = 0
        self._pause = 0  # number of the requested pause; 0 is none
        self._stopping = False
        self._preempted = False
        self._saves = False  # whether the body has made a savepoint, or has asked whether to make one

    def begin(self) -> tuple[Start, list[Step]]:
        """Receive the assignment and the log so far, then start the receiving thread.

        The thread is a daemon: it ends with the process.
        """
        start = receive_blocking(self._channel)
        assert isinstance(start, Start), "the first message is the assignment"
        self._pause = int(start.paused)
        self._saves = start.savepoint is not None
        steps: list[Step] = []
        while len(steps) < start.position:
            message = receive_blocking(self._channel)
            if isinstance(message, LoggedSteps):
                steps += message.steps
            else:  # an order that came meanwhile
                self._take(message)
        threading.Thread(target=self._listen, name="perdure-link", daemon=True).start()
        return start, steps

    @property
    def stopping(self) -> bool:
        """Whether an end was requested."""
        return self._stopping

    @property
    def pausing(self) -> bool:
        """Whether a pause was requested and isn't over."""
        return self._pause > 0

    @property
    def preempted(self) -> bool:
        """Whether a savepoint was requested, since the worker is about to end."""
        self._saves = True
        return self._preempted

    def show(self, view: bytes) -> None:
        """Send the view that was requested."""
        self.watched.clear()
        self.send(View(view))

    def send(self, message: FromChild) -> None:
        """Send a message; blocks while the server applies back-pressure."""
        frame = framed(message)
        self._here.sending = True
        try:
            with self._sending:
                self._channel.sendall(frame)
        finally:
            self._here.sending = False

    @property
    def sending(self) -> bool:
        """Whether this thread is within `send`; then the handler of a signal must not send."""
        return getattr(self._here, "sending", False)

    def append(self, entries: Sequence[Entry], savepoint: Savepoint | None) -> None:
        """Send entries and a savepoint; return when they are durable."""
        self._saves = self._saves or savepoint is not None
        self._ask(lambda number: Append(number, entries, savepoint))

    def arrive(self) -> None:
        """Have the output so far dropped; return when that is done."""
        self._ask(Arrived)

    def _ask(self, message: Callable[[int], FromChild]) -> None:
        """Send a request with the next number; return when it is done."""
        with self._changed:
            self._asked += 1
            number = self._asked
            # With the lock held, so that messages arrive in the order of their numbers.
            self.send(message(number))
            self._changed.wait_for(lambda: self._done >= number)

    def hold(self) -> bool:
        """Wait while a pause lasts; return False if an end was requested."""
        with self._changed:
            while (pause := self._pause) and not self._stopping:
                self.send(Paused(pause))
                self._changed.wait_for(partial(self._is_over, pause))
            return not self._stopping

    def _is_over(self, pause: int) -> bool:
        return self._pause != pause or self._stopping

    def _take(self, message: ToChild) -> None:
        """Note an order or an acknowledgement."""
        with self._changed:
            if isinstance(message, Done):
                self._done = message.number
            elif isinstance(message, Stop):
                self._stopping = True
            elif isinstance(message, Preempt):
                self._preempted = True
                if not self._saves:  # there is nothing to wait for
                    os.kill(os.getpid(), signal.SIGKILL)
            elif isinstance(message, Pause):
                self._pause = message.number
            elif isinstance(message, Show):
                self.watched.set()
            elif isinstance(message, Resume):
                self._pause = 0
            self._changed.notify_all()

    def _listen(self) -> None:
        try:
            while True:
                readable, _, _ = select.select([self._channel], [], [], BEAT)
                if not readable:
                    self.send(Beat())
                    continue
                self._take(receive_blocking(self._channel))
        except OSError:
            os._exit(PIPE_LOST)
        except BaseException:
            # Other threads may wait for answers that never come. The process crashes, and is attempted again.
            traceback.print_exc()
            os.kill(os.getpid(), signal.SIGKILL)
