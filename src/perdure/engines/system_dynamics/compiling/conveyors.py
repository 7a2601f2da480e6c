"""Conveyors: material that moves by a place each step, and leaks on its way.

The list of numbers begins with the number of leaks, whether they are exponential, and the places of the last
transit time; then follow, for each leak, whether it takes whole units only and what it has carried over. Then
come the places from the outlet to the inlet. A place has its amount and, for each leak, what it loses in a
step, and the lowest and the highest place at which it does.

What flows in during step n flows out in step n + N, for a transit time of N steps. What leaks in a step is
taken before what flows out. A linear leak takes the same amount at each place, so that its fraction of the
inflow is gone at the outlet; an exponential one takes the same fraction a unit of time of what is there.

Source: XMILE 1.0, sections 3.7.2 and 4.2.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.engines.system_dynamics.compiling.stages import stages

__all__ = ["begin", "content", "leak", "outflow", "update"]

_HEAD = 3


@dataclass(slots=True)
class _Belt:
    """The list of numbers, taken apart."""

    exponential: bool
    places: int
    whole: list[bool]
    carried: list[float]
    amounts: list[float]
    losses: list[list[tuple[float, float, float]]]

    def packed(self) -> tuple[float, ...]:
        numbers = [float(len(self.whole)), float(self.exponential), float(self.places)]
        for whole, carried in zip(self.whole, self.carried, strict=True):
            numbers += (float(whole), carried)
        for amount, losses in zip(self.amounts, self.losses, strict=True):
            numbers.append(amount)
            for loss in losses:
                numbers += loss
        return tuple(numbers)


def _belt(numbers: Sequence[float]) -> _Belt:
    count = int(numbers[0])
    body = numbers[_HEAD + 2 * count :]
    stride = 1 + 3 * count
    starts = range(0, len(body), stride)
    return _Belt(
        exponential=numbers[1] != 0.0,
        places=int(numbers[2]),
        whole=[numbers[_HEAD + 2 * j] != 0.0 for j in range(count)],
        carried=[numbers[_HEAD + 2 * j + 1] for j in range(count)],
        amounts=[body[i] for i in starts],
        losses=[
            [(body[i + 1 + 3 * j], body[i + 2 + 3 * j], body[i + 3 + 3 * j]) for j in range(count)]
            for i in starts
        ],
    )


def begin(dt: float, amount: float, transit: float, exponential: float, *leaks: float) -> tuple[float, ...]:
    """Return a belt with `amount` as a constant inflow leaves it.

    `leaks` are four numbers for each leak: the fraction, the start and the end of its zone as parts of the
    way from the inlet, and whether it takes whole units only.
    """
    places = _places(transit, dt)
    fractions, starts, ends, whole = (leaks[i::4] for i in range(4))
    zones = [_zone(places, start, end) for start, end in zip(starts, ends, strict=True)]
    shares = [1.0]
    for place in range(places - 1, 0, -1):
        lost = 0.0
        for fraction, (low, high) in zip(fractions, zones, strict=True):
            if low <= place <= high:
                lost += shares[-1] * fraction * dt if exponential else fraction / (high - low + 1.0)
        shares.append(max(0.0, shares[-1] - lost))
    entering = amount / _sum(shares)
    belt = _Belt(
        exponential=exponential != 0.0,
        places=places,
        whole=[each != 0.0 for each in whole],
        carried=[0.0] * len(whole),
        amounts=[share * entering for share in reversed(shares)],
        losses=[_losses(entering, fractions, zones) for _ in shares],
    )
    return belt.packed()


def content(numbers: tuple[float, ...], dt: float) -> float:
    """The material on the belt."""
    return _sum(_belt(numbers).amounts)


def outflow(numbers: tuple[float, ...], dt: float, arrest: float, *fractions: float) -> float:
    """What flows out at the outlet, a unit of time."""
    if arrest != 0.0:
        return 0.0
    belt = _belt(numbers)
    _take_leaks(belt, dt, fractions)
    return belt.amounts[0] / dt


def leak(numbers: tuple[float, ...], dt: float, which: float, arrest: float, *fractions: float) -> float:
    """What flows out by one of the leaks, a unit of time."""
    return 0.0 if arrest != 0.0 else _take_leaks(_belt(numbers), dt, fractions)[int(which)] / dt


def update(
    numbers: tuple[float, ...],
    dt: float,
    inflow: float,
    transit: float,
    sample: float,
    arrest: float,
    *leaks: float,
) -> tuple[float, ...]:
    """Return the belt a step later; `leaks` are the fraction, the start and the end of the zone of each."""
    if arrest != 0.0:
        return numbers
    belt = _belt(numbers)
    fractions, starts, ends = (leaks[i::3] for i in range(3))
    _take_leaks(belt, dt, fractions)
    if sample != 0.0:
        belt.places = _places(transit, dt)
    del belt.amounts[0], belt.losses[0]
    while len(belt.amounts) < belt.places:
        belt.amounts.append(0.0)
        belt.losses.append([(0.0, 0.0, -1.0)] * len(belt.whole))
    zones = [_zone(belt.places, start, end) for start, end in zip(starts, ends, strict=True)]
    entering, inlet = inflow * dt, belt.places - 1
    belt.amounts[inlet] += entering
    belt.losses[inlet] = [
        (former + loss, low, high)
        for (former, _, _), (loss, low, high) in zip(
            belt.losses[inlet], _losses(entering, fractions, zones), strict=True
        )
    ]
    return belt.packed()


def _take_leaks(belt: _Belt, dt: float, fractions: Sequence[float]) -> list[float]:
    """Take a step's leaks off the belt and return the amount of each; earlier ones come first."""
    lost: list[float] = []
    for j, fraction in enumerate(fractions):
        total = 0.0
        wanted: list[float] = []
        for place, amount in enumerate(belt.amounts):
            loss, low, high = belt.losses[place][j]
            inside = low <= place <= high
            share = (amount * fraction * dt if belt.exponential else loss) if inside else 0.0
            wanted.append(min(max(share, 0.0), max(amount, 0.0)))
            total += wanted[-1]
        if belt.whole[j]:
            units = float(math.floor(total + belt.carried[j] + 1e-9))
            belt.carried[j] = total + belt.carried[j] - units
            total = _take_units(belt, j, units)
        else:
            for place, share in enumerate(wanted):
                belt.amounts[place] -= share
        lost.append(total)
    return lost


def _take_units(belt: _Belt, j: int, units: float) -> float:
    """Take whole units from the places of a leak, from the outlet on, and return what was there to take."""
    left = units
    for place, amount in enumerate(belt.amounts):
        _, low, high = belt.losses[place][j]
        if low <= place <= high:
            taken = min(left, max(amount, 0.0))
            belt.amounts[place] -= taken
            left -= taken
    return units - left


def _losses(
    entering: float, fractions: Sequence[float], zones: Sequence[tuple[float, float]]
) -> list[tuple[float, float, float]]:
    return [
        (entering * fraction / (high - low + 1.0), low, high)
        for fraction, (low, high) in zip(fractions, zones, strict=True)
    ]


def _places(transit: float, dt: float) -> int:
    if not 0.0 <= transit < math.inf:
        raise ValueError(f"the transit time must be finite and not negative, not {transit!r}")
    return round(stages(max(1.0, transit / dt), "the steps of a transit time"))


def _zone(places: int, start: float, end: float) -> tuple[float, float]:
    """Return the lowest and the highest place of a leak zone, at least one."""
    first = min(max(round(start * places), 0), places - 1)
    last = min(max(round(end * places) - 1, first), places - 1)
    return float(places - 1 - last), float(places - 1 - first)


def _sum(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
