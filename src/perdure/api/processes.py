"""Several server processes on the same ports, each with the same store.

The first process listens, starts the others by forking, and starts one again that has ended. It opens
nothing itself. The kernel gives each connection to one of those that accept.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType

import structlog

from perdure.api.server import STOP_SIGNALS, listening_on, serve
from perdure.errors import PerdureError, StoreNotShared
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.location import shown_url
from perdure.stores.schemes import find_scheme

__all__ = ["serve_in_processes"]

RESTART_SECONDS = 1.0  # before a process is started again, so that one which fails at once isn't a busy loop

_FORK = multiprocessing.get_context("fork")

log = structlog.get_logger(__name__)


def serve_in_processes(
    number: int,
    load: Callable[[], Catalogue],
    settings: Settings,
    *,
    announce: Callable[[str], None] = print,
    report: Callable[[str], None],
    accept_loss: bool = False,
) -> None:
    """Serve in several processes until SIGTERM or SIGINT.

    Parameters
    ----------
    number
        How many processes.
    load
        Loads the catalogue, in each of them.
    settings, accept_loss
        As for `serve`. The tasks that are worked on at a time are divided among the processes, and each has
        working folders of its own, in a folder with its number.
    announce
        Called with a message for people once all processes answer.
    report
        Called, in its process, with an error that keeps one from serving.

    Raises
    ------
    StoreNotShared
        If the store can be open in one process only.
    PerdureError
        As `serve` does, for what concerns all processes.
    """
    if not find_scheme(settings.store).shared:
        raise StoreNotShared(store=shown_url(settings.store), processes=number)
    slots = settings.max_task_processes or os.cpu_count() or 1
    with listening_on(settings) as sockets:

        def run(ready: Connection, process: int) -> None:
            folders = settings.working_folders
            own = {
                "max_task_processes": max(1, slots // number),
                # What a process finds in its folders at its start, it takes for its own.
                "working_folders": None if folders is None else folders / str(process),
            }
            try:
                serve(
                    load(),
                    settings.model_copy(update=own),
                    announce=ready.send,
                    accept_loss=accept_loss,
                    sockets=sockets,
                )
            except PerdureError as error:
                report(f"perdure: {error}")
                sys.exit(1)

        _Processes(run).keep(number, announce)


class _Processes:
    """The processes that serve.

    Parameters
    ----------
    run
        What each of them runs, with its number from 0 on; it sends its announcement when it answers.
    """

    def __init__(self, run: Callable[[Connection, int], None]) -> None:
        self._run = run
        self._running: dict[ForkProcess, int] = {}
        self._stopping = False

    def keep(self, number: int, announce: Callable[[str], None]) -> None:
        """Keep a number of them running until a signal ends them; exit with 1 if they can't be started."""
        with self._signals():
            announced: list[str] = []
            # One after the other: the first migrates the store, and reports what is wrong for all.
            while len(announced) < number and (text := self._start(len(announced))) is not None:
                announced.append(text)
            failed = len(announced) < number and not self._stopping
            if failed:
                self._end()
            elif announced:
                announce(announced[0])
            while self._running:
                self._replace_ended()
        if failed:
            sys.exit(1)

    def _start(self, process_number: int) -> str | None:
        """Start one, and wait until it answers; return its announcement, or None if it has ended before."""
        ready, sending = _FORK.Pipe(duplex=False)
        with ready:
            process = _FORK.Process(target=self._begin, args=(sending, process_number))
            with sending, _held(STOP_SIGNALS):
                if self._stopping:
                    return None
                process.start()
                self._running[process] = process_number
            try:
                text: str = ready.recv()
            except EOFError:
                del self._running[process]
                process.join()
                return None
            return text

    def _begin(self, sending: Connection, process_number: int) -> None:
        """Be one of the processes."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        threading.Thread(target=_end_with_the_first, name="perdure-first-process", daemon=True).start()
        self._run(sending, process_number)

    def _replace_ended(self) -> None:
        """Wait until one has ended, and start another one, unless all are to end."""
        ended = wait([process.sentinel for process in self._running])
        for process in [each for each in self._running if each.sentinel in ended]:
            number = self._running.pop(process)
            process.join()
            while not self._stopping:
                log.error("server_process_ended", pid=process.pid, exitcode=process.exitcode)
                time.sleep(RESTART_SECONDS)
                if self._start(number) is not None:
                    break

    def _end(self) -> None:
        self._stopping = True
        for process in self._running:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGTERM)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """End the processes at a signal that asks for the end."""

        def end(number: int, frame: FrameType | None) -> None:
            self._end()

        before = {number: signal.signal(number, end) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _held(signals: Sequence[int]) -> Iterator[None]:
    """Deliver signals only after the block: a new process must not run the handlers of the first one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _end_with_the_first() -> None:
    """End this process when the first one has ended, for example because it was killed."""
    first = multiprocessing.parent_process()
    if first is not None:
        wait([first.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
