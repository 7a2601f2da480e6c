"""The processes that draw scenes: one for each run that somebody looks at, which ends when nobody does.

A process has the user id, the limits and the environment of the run's own, and a copy of the experiment's
files. It is sent copies of states, and nothing of the run depends on what it does.
"""

import asyncio
import os
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Hashable, Mapping
from contextlib import AsyncExitStack, suppress
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import structlog

from perdure.artifacts import Artifacts, CalledOff
from perdure.drivers.experiments.scene_views import LARGEST_PICTURE, PICTURE, REFUSED, PictureRequest
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.engines.generators import hash_seed
from perdure.engines.python_script.simulators.pictures import PNG_SIGNATURE
from perdure.errors import PerdureError, SceneUnavailable, TooManyScenes, message_of
from perdure.execution.child_limits import ChildLimits
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.isolated_engine import LENGTH
from perdure.execution.isolation import Isolation, User, hand_over
from perdure.execution.launch import housed
from perdure.execution.output import Output
from perdure.execution.scratch import Scratch
from perdure.execution.sweep import NOBODY
from perdure.execution.views import EVERY
from perdure.run import Run
from perdure.state.codec import decode, encode

__all__ = ["NO_LIBRARY", "SceneRenderers", "off_screen"]

IDLE = 10.0  # seconds without a request after which a process ends
SPARED = 1.0  # seconds without one after which it may give way to that of another run
STARTING = 60.0  # seconds for the first picture of a process, which imports libraries and compiles the model
DRAWING = 20.0  # seconds for every other one
WAITING = 8  # requests that may wait for one process
LARGEST = LARGEST_PICTURE + (1 << 10)  # bytes of an answer
KEPT = 4  # pictures of each run that are kept
LONGEST_REASON = 1000  # characters
CLOSING = "the server is closing"
LAST_WORDS = 5  # lines of a process that ended, for the error
MODULE = "perdure.drivers.experiments.scene_process"

NO_LIBRARY = (
    "there is no library to draw without a screen; install one of Debian's packages libegl1 and libosmesa6, "
    "and start the server again"
)

log = structlog.get_logger(__name__)


@cache
def off_screen() -> str | None:
    """Return the kind of OpenGL to draw with on this host, without a screen; None if there is none."""
    if sys.platform != "linux":
        return ""  # the system's own
    given = os.environ.get("MUJOCO_GL")
    if given is not None:
        return given
    found = (kind for kind, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library))
    return next(found, None)


class SceneRenderers:
    """Draws pictures of the scenes of runs.

    Parameters
    ----------
    artifacts
        Where experiments come from.
    identity
        The store's identity, with which processes of a killed server are found.
    limits
        What each process may use.
    limit
        How many processes there may be.
    isolation
        The users that processes run as; None is this process's.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        identity: str,
        limits: ChildLimits,
        limit: int,
        isolation: Isolation | None = None,
    ) -> None:
        self.artifacts = artifacts
        self.identity = identity
        self.limits = limits
        self.isolation = isolation
        self.scratch = Scratch(identity)
        self._limit = limit
        self._closed = False
        self._renderers: dict[str, _Renderer] = {}

    async def draw(self, run: Run, request: PictureRequest, version: Hashable) -> bytes:
        """Return a picture as a PNG file.

        Parameters
        ----------
        run
            The run.
        request
            What is drawn; its folder is filled in.
        version
            Differs when anything of the picture does: the same one again is drawn once.

        Raises
        ------
        SceneUnavailable
            If the picture can't be drawn; the error says why.
        TooManyScenes
            If there are as many processes, or as many waiting requests, as may be.
        """
        while not self._closed:
            renderer = self._renderers.get(run.id)
            if renderer is None:
                if len(self._renderers) < self._limit:
                    self._begin(run)
                else:
                    await self._make_room(run.owner)
            elif renderer.ending:
                await renderer.ended()
            else:
                return await renderer.draw(request, version)
        raise SceneUnavailable(engine=request.engine, reason=CLOSING)

    async def aclose(self) -> None:
        """End all processes; none begins any more."""
        self._closed = True
        await asyncio.gather(*(renderer.aclose() for renderer in list(self._renderers.values())))

    def _begin(self, run: Run) -> None:
        renderer = self._renderers[run.id] = _Renderer(self, run)
        renderer.task.add_done_callback(lambda _: self._renderers.pop(run.id))

    async def _make_room(self, owner: str) -> None:
        """End the process that has waited longest for a request.

        If all are in use, one of the owner with the most gives way to an owner who has fewer by two or more.

        Raises
        ------
        TooManyScenes
            If there is none to end.
        """
        if ending := [renderer for renderer in self._renderers.values() if renderer.ending]:
            await ending[0].ended()
            return
        having = Counter(renderer.owner for renderer in self._renderers.values())
        ((most, count),) = having.most_common(1)
        idlest = max(self._renderers.values(), key=lambda renderer: renderer.idle)
        if idlest.idle < SPARED:
            if count < having[owner] + 2:
                raise TooManyScenes(limit=self._limit)
            of_most = [renderer for renderer in self._renderers.values() if renderer.owner == most]
            idlest = max(of_most, key=lambda renderer: renderer.idle)
        await idlest.aclose(TooManyScenes(limit=self._limit))


def _checked(answer: Any) -> tuple[bytes | None, str]:
    """Return the picture that a process answered, or why there is none; raise `EOFError` if it is neither."""
    match answer:
        case [str(kind), bytes(picture)] if kind == PICTURE and picture.startswith(PNG_SIGNATURE):
            return picture, ""
        case [str(kind), str(reason)] if kind == REFUSED:
            return None, reason[:LONGEST_REASON]
    raise EOFError("it answered neither a picture nor a reason")


class _Renderer:
    """The process of one run: an actor, which answers one request after the other.

    Attributes
    ----------
    task
        Owns the process, ends after a while without requests, and is cancelled by `aclose`.
    ending
        Whether no more requests are taken.
    owner
        The run's owner.
    """

    def __init__(self, renderers: SceneRenderers, run: Run) -> None:
        self.ending = False
        self.owner = run.owner
        self._renderers, self._run = renderers, run
        self._requests: asyncio.Queue[tuple[PictureRequest, Hashable, asyncio.Future[bytes]]]
        self._requests = asyncio.Queue(WAITING)
        self._drawn: dict[Hashable, bytes] = {}  # the last pictures
        self._why_not: PerdureError = SceneUnavailable(engine=run.id, reason=CLOSING)
        self._asked = time.monotonic()
        self._drawing: asyncio.Future[bytes] | None = None
        self._busy = False
        self._patience = STARTING  # seconds for the next picture
        self._said: deque[str] = deque(maxlen=LAST_WORDS)
        self.task = asyncio.create_task(self._work(), name=f"perdure-scenes-{run.id}")
        self.task.add_done_callback(lambda _: self._refuse())

    @property
    def idle(self) -> float:
        """Seconds since the last request was made or answered; 0 while one waits."""
        busy = self._busy or not self._requests.empty()
        return 0.0 if busy else time.monotonic() - self._asked

    async def draw(self, request: PictureRequest, version: Hashable) -> bytes:
        """Return a picture."""
        self._asked = time.monotonic()
        if self._requests.full():
            raise TooManyScenes(limit=WAITING)
        drawn: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait((request, version, drawn))
        return await drawn

    async def aclose(self, why: PerdureError | None = None) -> None:
        """End the process; requests that wait for it fail with this error."""
        if not self.ending:  # else what it has opened is being closed
            self.ending = True
            self._why_not = why or self._why_not
            self.task.cancel()
        await self.ended()

    async def ended(self) -> None:
        """Wait until nothing is left of the process."""
        await asyncio.wait({self.task})

    async def _work(self) -> None:
        try:
            async with AsyncExitStack() as opened:
                try:
                    await self._answer(opened)
                finally:  # what is opened is closed undisturbed
                    self.ending = True
        except Exception as error:  # code of owners runs in the process, and may answer anything
            why = self._why(error)
            self._why_not = SceneUnavailable(engine=self._run.id, reason=why)
            log.warning("scene_process_ended", run=self._run.id, reason=why)

    def _refuse(self) -> None:
        """Fail the requests that still wait at the end, also of a task that was cancelled before it began."""
        self.ending = True
        waiting = [] if self._drawing is None else [self._drawing]
        while not self._requests.empty():
            waiting.append(self._requests.get_nowait()[2])
        for future in waiting:
            if not future.done():
                future.set_exception(self._why_not)

    async def _answer(self, opened: AsyncExitStack) -> None:
        """Answer requests until there is none for a while."""
        process, folder = None, ""
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    request, version, drawn = await self._requests.get()
            except TimeoutError:
                if not self._requests.empty():
                    continue
                return
            self._drawing = drawn
            if drawn.cancelled():
                continue
            former = self._drawn.get(version)
            if former is not None:
                drawn.set_result(former)
                continue
            began, self._busy = time.monotonic(), True
            if process is None:
                process, folder = await self._start(opened)
            answer = await self._ask(process, msgspec.structs.replace(request, folder=folder))
            picture, reason = _checked(answer)
            if picture is not None:
                self._drawn[version] = picture
                if len(self._drawn) > KEPT:
                    del self._drawn[next(iter(self._drawn))]
            if not drawn.cancelled():
                if picture is not None:
                    drawn.set_result(picture)
                else:
                    drawn.set_exception(SceneUnavailable(engine=request.engine, reason=reason))
            self._patience, self._asked, self._busy = DRAWING, time.monotonic(), False
            await asyncio.sleep(began + EVERY - time.monotonic())

    def _why(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"drawing it took longer than {self._patience:g} s"
        if isinstance(error, EOFError | ConnectionError):
            said = " ".join(self._said)
            return f"the process that draws it has ended{f': {said}' if said else ''}"
        return message_of(error)

    async def _start(self, opened: AsyncExitStack) -> tuple[GuardedProcess, str]:
        """Start the process in a folder with the experiment's files."""
        its, run = self._renderers, self._run
        user, home = await housed(its.isolation, its.scratch, run.owner, f"scenes of {run.id}", opened)
        folder = home / "files"
        if user is not None:  # not in the home: other processes of the owner must not get at what is copied
            folder = home.with_name(f"{home.name}.files")
            opened.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, True)
        called_off = threading.Event()
        fetching = asyncio.create_task(asyncio.to_thread(self._fetch, folder, user, called_off))
        opened.push_async_callback(asyncio.wait, {fetching})
        opened.callback(called_off.set)
        await asyncio.shield(fetching)
        spec = ExperimentSpec.from_blob(run.spec)
        environment: Mapping[str, str] = {
            "PYTHONHASHSEED": hash_seed(spec.seed),
            "MUJOCO_GL": off_screen() or "",
            "SDL_VIDEODRIVER": "dummy",
            "LP_NUM_THREADS": "1",  # of Mesa: the other cores are for runs
            **({} if user is not None else {"TMPDIR": str(home)}),
        }
        process = await GuardedProcess.start(
            MODULE,
            [run.id],
            identity=its.identity,
            limits=msgspec.structs.replace(its.limits, seconds=None, cpu_seconds=None),
            environment=environment,
            user=user,
            ids=NOBODY if its.isolation is None else its.isolation.ids,
            folders=[home if user is None else folder],
        )
        opened.push_async_callback(process.aclose)
        for output in process.outputs.values():
            reading = asyncio.create_task(self._listen(output))
            opened.callback(reading.cancel)
        return process, str(folder)

    def _fetch(self, folder: Path, user: User | None, called_off: threading.Event) -> None:
        spec = ExperimentSpec.from_blob(self._run.spec)
        experiments = self._renderers.artifacts.experiments(self._run.owner)
        with suppress(CalledOff):
            experiments.fetch(spec.experiment, spec.version, folder, called_off.is_set)
            if user is not None:
                hand_over(folder, user.id)

    async def _listen(self, output: Output) -> None:
        """Keep the last lines that the process prints."""
        while not output.over:
            await output.readable()
            self._said.extend(output.take(1 << 14)[1])

    async def _ask(self, process: GuardedProcess, request: PictureRequest) -> Any:
        """Return what the process answers; raise `EOFError` if it ends, `TimeoutError` if it takes long."""
        reader, writer = process.channel
        blob = encode(msgspec.structs.asdict(request))
        async with asyncio.timeout(self._patience):
            with suppress(ConnectionError):  # then it is read that it has ended
                writer.write(LENGTH.pack(len(blob)) + blob)
                await writer.drain()
            (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            if size > LARGEST:
                raise EOFError(f"it announced {size} bytes")
            return decode(await reader.readexactly(size))
