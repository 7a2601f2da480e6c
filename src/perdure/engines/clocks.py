"""Clocks: the modules from which the code of an experiment reads the time.

Scripts, engines and functions import facades of `time`, `uuid` and `timeit`. Each reading goes to the
journal, and comes from the journal when the code runs again; the same holds for the methods of `datetime`.
All other code (libraries, logging and Perdure itself) uses the real modules, so waiting and time stamps work
as usual.
"""

import builtins
import sys
import threading
import time
import timeit
import types
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from perdure.engines.clock_methods import ATTRIBUTE, ClockMethods
from perdure.state.codec import State

__all__ = ["TICK", "PartClock", "Polled", "Read", "builtins_with", "facades"]

Read = Callable[[str, Any], Any]
"""Receives the name and reading of a clock, and returns the reading to use."""

PATIENCE = 1000  # readings without a step or a sleep, after which the clocks count as polled
TICK = 0.001  # seconds for which a polled clock stands still

_READINGS = (
    "time",
    "time_ns",
    "perf_counter",
    "perf_counter_ns",
    "monotonic",
    "monotonic_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
    "thread_time_ns",
)
_SLEEP = "time.sleep"
_UNIQUE = ("uuid1", "uuid6", "uuid7")  # uses the clock; ids made from entropy repeat by themselves
_POLLED = frozenset((*(f"time.{name}" for name in _READINGS), "datetime.now"))  # each is one clock


class Polled:
    """Makes polled clocks stand still for a moment, so that the journal has fewer readings.

    A script that waits by polling clocks reads them a hundred thousand times a second. After many readings in
    a row, each clock returns its last reading until a millisecond has passed.

    Parameters
    ----------
    clock
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._last: dict[str, tuple[float, Any]] = {}

    def reading(self, name: str, reading: Any) -> Any:
        """Return the reading of a clock, or its last one if that is recent."""
        self._count += 1
        if self._count <= PATIENCE or name not in _POLLED:
            return reading
        now, last = self._clock(), self._last.get(name)
        if last is not None and now - last[0] < TICK:
            return last[1]
        self._last[name] = now, reading
        return reading

    def over(self) -> None:
        """Note that the script did something other than reading clocks."""
        self._count = 0
        self._last.clear()


def facades(read: Read, sleep: Callable[[float], None]) -> Mapping[str, types.ModuleType]:
    """Return the facades that a script imports instead of the real modules, by name."""
    stopwatch = _facade(timeit)
    facade_of_time = _time(read, sleep)
    vars(stopwatch)["default_timer"] = facade_of_time.perf_counter
    return {"time": facade_of_time, "uuid": _uuid(read), "timeit": stopwatch}


class PartClock:
    """The readings of clocks by one engine, or by the functions: recorded, and repeated in a replay.

    Used within a ``with`` block, by the thread that entered it; other threads read the real clocks. A sleep
    is recorded as a reading too; in a replay it returns at once.

    Attributes
    ----------
    modules
        The facades that the part's code imports.
    methods
        The methods of `datetime` that the code calls.
    """

    def __init__(self) -> None:
        self.modules = facades(self._reading, self._sleep)
        self.methods = ClockMethods(self._reading)
        self._thread: int | None = None
        self._polled = Polled()
        self._read: list[Any] = []
        self._given: deque[Any] = deque()

    def __enter__(self) -> "PartClock":
        self._thread = threading.get_ident()
        self._polled.over()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread = None

    def give(self, readings: Any) -> None:
        """Let the next readings, up to the next `take`, be those that `take` returned."""
        self._given = deque([list(reading) for reading in readings or ()])

    def take(self) -> State:
        """Return the readings since the last call: lists of a clock, its reading, and their number."""
        self._given.clear()
        read, self._read = self._read, []
        return read or None

    def owns(self, thing: Any) -> bool:
        """Return whether a value is a function of a facade, or a clock method."""
        return id(thing) in self._things or self.methods.owns(thing)

    @cached_property
    def _things(self) -> Mapping[int, Any]:
        found = []
        for name, facade in self.modules.items():
            real = vars(sys.modules[name])
            for key, thing in vars(facade).items():
                if callable(thing) and thing is not real.get(key):
                    found.append(thing)
        return {id(thing): thing for thing in found}

    def _reading(self, name: str, reading: Any) -> Any:
        if threading.get_ident() != self._thread:
            return reading
        given = self._next_given(name)
        return self._note(name, self._polled.reading(name, reading) if given is None else given[1])

    def _sleep(self, seconds: float) -> None:
        if threading.get_ident() != self._thread:
            time.sleep(seconds)
            return
        if self._next_given(_SLEEP) is None:
            if seconds >= TICK:
                self._polled.over()
            time.sleep(seconds)
        self._note(_SLEEP, None)

    def _next_given(self, name: str) -> list[Any] | None:
        """Return the recorded next reading of this clock, if any."""
        if not self._given or self._given[0][0] != name:
            # A different clock than recorded: the caller that gave the readings compares the result.
            self._given.clear()
            return None
        first: list[Any] = self._given[0]
        first[2] -= 1
        if not first[2]:
            self._given.popleft()
        return first

    def _note(self, name: str, reading: Any) -> Any:
        last = self._read[-1] if self._read else None
        if last is not None and last[0] == name and last[1] == reading:
            last[2] += 1
        else:
            self._read.append([name, reading, 1])
        return reading


def builtins_with(facades: Mapping[str, types.ModuleType], methods: ClockMethods) -> dict[str, Any]:
    """Return builtins whose ``import`` returns facades for modules of their names, with clock methods.

    Only the code of a part has these builtins; libraries that it imports use the real modules.
    """

    def import_seen(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        if level == 0 and name in facades:
            return facades[name]
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    looked_up = methods.attribute
    return {**vars(builtins), "__import__": import_seen, "getattr": looked_up, ATTRIBUTE: looked_up}


def _facade(module: types.ModuleType) -> types.ModuleType:
    facade = types.ModuleType(module.__name__, module.__doc__)
    facade.__dict__.update(module.__dict__)
    return facade


def _time(read: Read, sleep: Callable[[float], None]) -> types.ModuleType:
    facade = _facade(time)

    def reading(name: str) -> Callable[[], Any]:
        real = getattr(time, name)
        return lambda: read(f"time.{name}", real())

    def now() -> float:
        return float(read("time.time", time.time()))

    def of_given_clock(name: str) -> Callable[[int], Any]:
        real = getattr(time, name)
        return lambda clock: read(f"time.{name}", real(clock))

    def checked_sleep(seconds: float, /) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        sleep(float(seconds))

    own: dict[str, Any] = {name: reading(name) for name in _READINGS if hasattr(time, name)}
    own |= {
        name: of_given_clock(name) for name in ("clock_gettime", "clock_gettime_ns") if hasattr(time, name)
    }
    own["localtime"] = lambda seconds=None, /: time.localtime(now() if seconds is None else seconds)
    own["gmtime"] = lambda seconds=None, /: time.gmtime(now() if seconds is None else seconds)
    own["ctime"] = lambda seconds=None, /: time.ctime(now() if seconds is None else seconds)
    own["asctime"] = lambda moment=None, /: time.asctime(time.localtime(now()) if moment is None else moment)
    own["strftime"] = lambda format, moment=None, /: time.strftime(
        format, time.localtime(now()) if moment is None else moment
    )
    own["sleep"] = checked_sleep
    facade.__dict__.update(own)
    return facade


def _uuid(read: Read) -> types.ModuleType:
    facade = _facade(uuid)

    def unique(name: str) -> Callable[..., uuid.UUID]:
        real = getattr(uuid, name)
        return lambda *given, **named: uuid.UUID(read(f"uuid.{name}", real(*given, **named).hex))

    facade.__dict__.update({name: unique(name) for name in _UNIQUE if hasattr(uuid, name)})
    return facade
