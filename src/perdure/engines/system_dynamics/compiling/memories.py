"""Memories: parts of a model whose state is a list of numbers, and that change once a step.

A kind has a function ``begin`` from the length of a step and the initial values to the list, a function
``update`` from the list, the length of a step and the inputs of the grid point to the list of the next grid
point, and reads: functions of the list, the length of a step and operands. A read answers from the list
alone, so memories break circles as stocks do. Under RK4 a list stays as it is over the stages of a step.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from perdure.engines.system_dynamics.compiling import batches, conveyors
from perdure.engines.system_dynamics.compiling.stages import stages

__all__ = ["MEMORIES", "MemoryKind"]


@dataclass(frozen=True, slots=True)
class MemoryKind:
    """The functions of one kind of memory."""

    begin: Callable[..., tuple[float, ...]]
    update: Callable[..., tuple[float, ...]]
    reads: Mapping[str, Callable[..., float]] = field(default_factory=dict)

    @property
    def calls(self) -> dict[str, Callable[..., object]]:
        """All functions by the name that compiled equations call them by."""
        return {"begin": self.begin, "update": self.update, **self.reads}


def _return_of_stream(stream: tuple[float, ...], dt: float, present: float, missing: float) -> float:
    """The rate at which the payments of `stream` and `present` have no net present value.

    It is searched between -99 % and 1000 % a unit of time; `missing` where there is none.
    """
    payments = (*stream, present)

    def worth(rate: float) -> float:
        total, discount = 0.0, 1.0
        for payment in payments:
            total += payment * discount
            discount /= 1.0 + rate * dt
        return total

    low, high = -0.99 / max(dt, 1.0), 10.0
    below, above = worth(low), worth(high)
    if not below * above < 0.0:
        return missing
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        value = worth(middle)
        if value * below > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


# Delays that change at steps only, as Vensim's DELAY FIXED, DELAY N and SMOOTH N ----------------------------


def _pipeline(dt: float, time: float, initial: float) -> tuple[float, ...]:
    """Begin a pipeline with as many places as the time has steps, at least one."""
    return (initial,) * _places(dt, time)


def _places(dt: float, time: float) -> int:
    return round(stages(max(time / dt + 1e-6, 1.0), "the steps of a delay"))


def _information_on(values: tuple[float, ...], dt: float, value: float, time: float) -> tuple[float, ...]:
    """What comes later than the new value is discarded; until that comes, the last one before it holds."""
    count = _places(dt, time)
    kept = values[1:count] or values[:1]
    return (*kept, *kept[-1:] * (count - 1 - len(kept)), value) if count > 1 else (value,)


def _material_on(values: tuple[float, ...], dt: float, value: float, time: float) -> tuple[float, ...]:
    """The new amount is added to what arrives at its time; a time at which nothing arrives is nan."""
    places = [*values[1:]]
    last = _places(dt, time) - 1
    places += [math.nan] * (last + 1 - len(places))
    places[last] = value if math.isnan(places[last]) else places[last] + value
    return tuple(places)


def _arriving(values: tuple[float, ...], dt: float, missing: float) -> float:
    return missing if math.isnan(values[0]) else values[0]


def _delay_n(dt: float, time: float, order: float, initial: float) -> tuple[float, ...]:
    """Begin the contents of the stages, and the times that held when they were filled.

    No stage may be shorter than a step; the order is reduced until none is.
    """
    count = min(int(stages(order, "the order of a delay")), max(int(time / dt), 1))
    return (initial * time,) * count + (time,) * count


def _delayed_on(values: tuple[float, ...], dt: float, value: float, time: float) -> tuple[float, ...]:
    count = len(values) // 2
    times = (time, *values[count:-1])
    outflows = [content / each for content, each in zip(values[:count], times, strict=True)]
    contents = [
        content + dt * (inflow - outflow) * count
        for content, inflow, outflow in zip(values[:count], (value, *outflows[:-1]), outflows, strict=True)
    ]
    return (*contents, *times)


def _smoothed_on(values: tuple[float, ...], dt: float, value: float, time: float) -> tuple[float, ...]:
    count = len(values)
    return tuple(
        content + dt * (target - content) * count / time
        for content, target in zip(values, (value, *values[:-1]), strict=True)
    )


MEMORIES: Mapping[str, MemoryKind] = {
    # All values of an input so far.
    "stream": MemoryKind(
        begin=lambda dt: (),
        update=lambda values, dt, value: (*values, value),
        reads={"internal_return": _return_of_stream},
    ),
    # One value, of the step before.
    "held": MemoryKind(
        begin=lambda dt, initial: (initial,),
        update=lambda values, dt, value: (value,),
        reads={"last": lambda values, dt: values[0]},
    ),
    # The values of as many steps as a delay takes, the oldest first.
    "pipeline": MemoryKind(
        begin=_pipeline,
        update=lambda values, dt, value: (*values[1:], value),
        reads={"last": lambda values, dt: values[0]},
    ),
    # The same for delays whose time changes: of information, and of material.
    "information": MemoryKind(
        begin=_pipeline, update=_information_on, reads={"last": lambda values, dt: values[0]}
    ),
    "material": MemoryKind(begin=_pipeline, update=_material_on, reads={"arriving": _arriving}),
    # The contents of the stages of a delay, and their times.
    "delay_n": MemoryKind(
        begin=_delay_n,
        update=_delayed_on,
        reads={"last": lambda values, dt: values[len(values) // 2 - 1] / values[len(values) // 2]},
    ),
    # The averages of the stages of a smooth.
    "smooth_n": MemoryKind(
        begin=lambda dt, order, initial: (initial,) * int(stages(order, "the order of a smooth")),
        update=_smoothed_on,
        reads={"last": lambda values, dt: values[-1]},
    ),
    "conveyor": MemoryKind(
        begin=conveyors.begin,
        update=conveyors.update,
        reads={"content": conveyors.content, "outflow": conveyors.outflow, "leak": conveyors.leak},
    ),
    "queue": MemoryKind(
        begin=batches.queue_begin, update=batches.queue_update, reads={"take": batches.queue_take}
    ),
    "oven": MemoryKind(
        begin=batches.oven_begin,
        update=batches.oven_update,
        reads={"room": batches.oven_room, "outflow": batches.oven_outflow},
    ),
}
"""The kinds by name."""
