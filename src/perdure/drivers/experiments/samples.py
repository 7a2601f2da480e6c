"""The samples: numbers in the data packs of a simulation over time, of a bounded size however long it runs.

At first the numbers are noted in each step. When there is no room for more, every second sample is dropped,
and from then on half as many are taken. What is kept depends on the steps alone, so that a run that is
resumed has the samples it would have had. Taking them reads the data packs and changes nothing.
"""

import sys
import threading
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from math import nan
from typing import Any, Final

from perdure.state.codec import State

__all__ = ["MAX_POINTS", "MAX_SERIES", "MAX_VALUES", "SAMPLES", "Samples", "read_samples"]

SAMPLES: Final = "samples"
"""Their name among the entities of a savepoint, and in a report, where they are packed once more."""

MAX_SERIES: Final = 24
MAX_OF_A_PACK: Final = 8  # so that one long array leaves room for other packs
MAX_VALUES: Final = 3072  # of all series together, 24 kB
MAX_POINTS: Final = 400  # of a series
MAX_LOOKED_AT: Final = 200  # values, lists and dicts of a data pack in which numbers are sought
LONGEST_NAME: Final = 120  # characters

Packs = Mapping[str, Mapping[str, Any]]


class Samples:
    """The samples of one simulation; taken by one thread, read by any.

    Attributes
    ----------
    stride
        How many steps lie between two samples.
    """

    def __init__(self, state: Any = None) -> None:
        self._lock = threading.Lock()
        self.stride = 1
        self._time = array("d")
        self._series: dict[str, array[float]] = {}
        if isinstance(state, Mapping):
            self.stride = state["stride"]
            self._time = _numbers(state["time"])
            self._series = {name: _numbers(values) for name, values in state["series"].items()}

    def take(self, step: int, seconds: float, packs: Packs) -> None:
        """Note the numbers in the data packs of each engine, at a step that is a multiple of `stride`."""
        with self._lock:
            noted = len(self._time)
            found = dict(self._found(packs))
            for name in found:
                if name not in self._series and len(self._series) < MAX_SERIES:
                    self._series[name] = array("d", [nan]) * noted
            self._time.append(seconds)
            for name, values in self._series.items():
                values.append(found.get(name, nan))
            while len(self._time) > min(MAX_POINTS, MAX_VALUES // (len(self._series) + 1)):
                self._thin(step)

    def to_state(self) -> State:
        """Return them as plain data."""
        with self._lock:
            series: dict[str, State] = {name: _bytes(values) for name, values in self._series.items()}
            state: dict[str, State] = {"stride": self.stride, "time": _bytes(self._time), "series": series}
            return state

    def _found(self, packs: Packs) -> Iterator[tuple[str, float]]:
        for engine, own in packs.items():
            for pack, data in own.items():
                for at, (name, value) in enumerate(_leaves(data, f"{engine}/{pack}")):
                    if at == MAX_OF_A_PACK:
                        break
                    yield name[:LONGEST_NAME], value

    def _thin(self, step: int) -> None:
        """Drop every second sample: those that the doubled stride would not have taken."""
        first = (step // self.stride - len(self._time) + 1) % 2
        self.stride *= 2
        self._time = self._time[first::2]
        self._series = {name: values[first::2] for name, values in self._series.items()}


def read_samples(state: Any) -> tuple[list[float], dict[str, list[float]]]:
    """Return the times and the series in a state of samples; NaN where a series has no number."""
    if not isinstance(state, Mapping):
        return [], {}
    series = {name: _numbers(values).tolist() for name, values in state["series"].items()}
    return _numbers(state["time"]).tolist(), series


def _leaves(data: Any, name: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers in JSON of any depth, each with where it is; only its first parts are looked at."""
    waiting = [(name, data)]
    for _ in range(MAX_LOOKED_AT):
        if not waiting:
            return
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            inner = [(f"{name}/{key}", each) for key, each in islice(value.items(), MAX_LOOKED_AT)]
            waiting += reversed(inner)
        elif isinstance(value, list):
            inner = [(f"{name}/{index}", each) for index, each in enumerate(value[:MAX_LOOKED_AT])]
            waiting += reversed(inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):  # of an integer beyond what a float can hold
                yield name, float(value)


def _numbers(written: bytes) -> "array[float]":
    values = array("d", written)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _bytes(values: "array[float]") -> bytes:
    if sys.byteorder == "big":
        values = array("d", values)
        values.byteswap()
    return values.tobytes()
