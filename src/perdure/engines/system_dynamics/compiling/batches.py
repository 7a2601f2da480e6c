"""Queues, whose batches leave in the order in which they came, and ovens, which process one batch at a time.

A queue's list of numbers are the amounts of its batches, the first to leave first. An oven's are its state,
the time that the state still lasts or, while it fills, has lasted, and what it holds.

Source: XMILE 1.0, sections 3.7.2 and 4.2.2; isee systems' help on ovens.
"""

import math
from collections.abc import Sequence

__all__ = [
    "oven_begin",
    "oven_outflow",
    "oven_room",
    "oven_update",
    "queue_begin",
    "queue_take",
    "queue_update",
]

FILLING, COOKING, CLEANING = 0.0, 1.0, 2.0


def queue_begin(dt: float, amount: float) -> tuple[float, ...]:
    """Return a queue of one batch, or none."""
    return (amount,) if amount > 0.0 else ()


def queue_take(
    batches: Sequence[float], dt: float, before: float, room: float, one: float, whole: float
) -> float:
    """What flows out, a unit of time, after earlier outflows took `before`.

    `room` is what may flow out, a unit of time. `one` takes from the first batch only, `whole` takes whole
    batches only.
    """
    left, room = _rest(batches, before * dt), room * dt
    taken = 0.0
    for batch in left[:1] if one != 0.0 else left:
        if batch <= room - taken:
            taken += batch
        else:
            taken += 0.0 if whole != 0.0 else max(0.0, room - taken)
            break
    return taken / dt


def queue_update(batches: Sequence[float], dt: float, inflow: float, outflow: float) -> tuple[float, ...]:
    """Return the queue a step later."""
    left = _rest(batches, outflow * dt)
    return (*left, inflow * dt) if inflow > 0.0 else tuple(left)


def _rest(batches: Sequence[float], taken: float) -> list[float]:
    left = list(batches)
    while left and taken > 0.0:
        # What rounding errors leave of a batch is gone with it.
        if left[0] - taken > 1e-12 * left[0]:
            left[0] -= taken
            break
        taken -= left.pop(0)
    return left


def oven_begin(dt: float, amount: float, cook: float) -> tuple[float, ...]:
    """Return an oven that fills, or that begins to process what it holds."""
    return (COOKING, _lasting(cook), amount) if amount > 0.0 else (FILLING, 0.0, 0.0)


def oven_room(oven: tuple[float, ...], dt: float, capacity: float, arrest: float) -> float:
    """What may flow in, a unit of time."""
    state, _, amount = oven
    return max(0.0, capacity - amount) / dt if state == FILLING and arrest == 0.0 else 0.0


def oven_outflow(oven: tuple[float, ...], dt: float, arrest: float) -> float:
    """What flows out, a unit of time: all of it at once, when it is done."""
    state, left, amount = oven
    return amount / dt if state == COOKING and left <= 0.5 * dt and arrest == 0.0 else 0.0


def oven_update(
    oven: tuple[float, ...],
    dt: float,
    inflow: float,
    cook: float,
    capacity: float,
    fill: float,
    clean: float,
    arrest: float,
) -> tuple[float, ...]:
    """Return the oven a step later."""
    if arrest != 0.0:
        return oven
    state, clock, amount = oven
    if state == COOKING:
        if clock > 0.5 * dt:
            return (COOKING, clock - dt, amount)
        return (CLEANING, clean - dt, 0.0) if clean > 0.5 * dt else (FILLING, 0.0, 0.0)
    if state == CLEANING:
        return (CLEANING, clock - dt, 0.0) if clock > 0.5 * dt else (FILLING, 0.0, 0.0)
    amount += inflow * dt
    clock = clock + dt if amount > 0.0 else 0.0
    if amount > 0.0 and (amount >= capacity * (1.0 - 1e-12) or clock >= fill - 0.5 * dt):
        # It leaves as a conveyor's material does: what came in during step n, in step n + cook / dt.
        return (COOKING, _lasting(cook) - dt, amount)
    return (FILLING, clock, amount)


def _lasting(cook: float) -> float:
    if not 0.0 <= cook < math.inf:
        raise ValueError(f"the time of an oven must be finite and not negative, not {cook!r}")
    return cook
