"""Functions of whole vectors that compiled equations call, one call for each cell of the result.

The first operand is the position of the cell, from 0. What all cells of a result share is computed once: it
is remembered by the bits of the operands, so that a remembered value has the bits of a computed one.

Source: the function reference of Vensim, which numbers the actions and the priority profiles.
"""

import math
from array import array
from collections.abc import Callable
from functools import lru_cache

__all__ = ["FUNCTIONS"]

_KEPT = 256


def _shared(compute: Callable[[tuple[float, ...]], list[float]]) -> Callable[..., list[float]]:
    """Return `compute` of its operands, remembered by their bits: -0.0 is not 0.0, and nan is itself."""

    @lru_cache(maxsize=_KEPT)
    def remembered(bits: bytes) -> list[float]:
        return compute(tuple(array("d", bits)))

    def call(*operands: float) -> list[float]:
        return remembered(array("d", operands).tobytes())

    return call


# Order ------------------------------------------------------------------------------------------------------


@_shared
def _order(operands: tuple[float, ...]) -> list[float]:
    direction, *values = operands
    order = sorted(range(len(values)), key=values.__getitem__)
    return [float(i) for i in (order if direction > 0.0 else reversed(order))]


def sort_order(position: float, direction: float, *values: float) -> float:
    """VECTOR SORT ORDER: the position of the value that comes there; ascending if `direction` is positive."""
    return _order(direction, *values)[int(position)]


def sort_rank(position: float, direction: float, *values: float) -> float:
    """VECTOR RANK: the place of the value in that order, from 1."""
    return _order(direction, *values).index(position) + 1.0


def element_at(position: float, *values: float) -> float:
    """VECTOR REORDER and VECTOR ELM MAP: the value at a computed position."""
    if not 0.0 <= position < len(values):
        raise ValueError(f"position {position!r} is outside the vector, which has {len(values)} elements")
    return values[int(position)]


# Selection --------------------------------------------------------------------------------------------------


def vector_select(missing: float, action: float, error: float, *operands: float) -> float:
    """VECTOR SELECT of a selection and then as many values; `missing` where nothing is selected.

    Actions 0 to 4 are the sum, product, minimum, maximum and mean of selection times value; 5 the product of
    value to the power of selection; 6 to 10 as 0 to 4 of the values alone. `error` refuses 1: no selection,
    2: several, 3: both.
    """
    half = len(operands) // 2
    chosen = [
        (weight, value)
        for weight, value in zip(operands[:half], operands[half:], strict=True)
        if weight != 0.0
    ]
    if error in (1.0, 3.0) and not chosen:
        raise ValueError("nothing is selected")
    if error in (2.0, 3.0) and len(chosen) > 1:
        raise ValueError(f"{len(chosen)} elements are selected")
    if not chosen:
        return missing
    if action == 5.0:
        return math.prod([math.pow(value, weight) for weight, value in chosen])
    if action not in _ACTIONS:
        raise ValueError(f"{action!r} is no action; they are 0 to 10")
    weighted = action <= 4.0
    return _ACTIONS[action]([weight * value if weighted else value for weight, value in chosen])


def _sum(values: list[float]) -> float:
    total = 0.0
    for value in values:  # The built-in sum compensates rounding errors in newer versions of Python.
        total += value
    return total


_REDUCTIONS: list[Callable[[list[float]], float]] = [
    _sum,
    math.prod,
    min,
    max,
    lambda values: _sum(values) / len(values),
]
_ACTIONS = {float(i): reduction for i, reduction in enumerate(_REDUCTIONS)} | {
    6.0 + i: reduction for i, reduction in enumerate(_REDUCTIONS)
}


# Matrices ---------------------------------------------------------------------------------------------------


@_shared
def _inverse(cells: tuple[float, ...]) -> list[float]:
    """Return the inverse by Gauss-Jordan elimination with partial pivoting."""
    n = math.isqrt(len(cells))
    rows = [[*cells[i * n : (i + 1) * n], *(1.0 if i == j else 0.0 for j in range(n))] for i in range(n)]
    for column in range(n):
        pivot = max(range(column, n), key=lambda i: abs(rows[i][column]))
        if rows[pivot][column] == 0.0:
            raise ValueError("the matrix is singular")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = rows[column][column]
        rows[column] = [value / scale for value in rows[column]]
        for i in range(n):
            factor = rows[i][column]
            if i != column and factor != 0.0:
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [value for row in rows for value in row[n:]]


def inverse(position: float, *cells: float) -> float:
    """INVERT MATRIX: a cell of the inverse of a square matrix, both row by row."""
    return _inverse(*cells)[int(position)]


# Allocation -------------------------------------------------------------------------------------------------


@_shared
def _available(operands: tuple[float, ...]) -> list[float]:
    """Return what each request gets: of all priorities, the one at which the requests take all there is."""
    supply, *rest = operands
    n = len(rest) // 5
    requests, profiles = rest[:n], rest[n:]
    shares = [profiles[4 * i : 4 * i + 4] for i in range(n)]
    if supply < 0.0 or any(request < 0.0 for request in requests):
        raise ValueError("the supply and the requests must not be negative")
    if supply >= _sum(requests):
        return requests
    if supply == 0.0:
        return [0.0] * n

    def taken(priority: float) -> list[float]:
        return [
            request * _taken_share(priority, *share) if request > 0.0 else 0.0
            for request, share in zip(requests, shares, strict=True)
        ]

    fixed = _sum([request for request, share in zip(requests, shares, strict=True) if share[0] == 0.0])
    if fixed > supply:
        raise ValueError(f"the fixed requests take {fixed!r}, and there is only {supply!r}")
    reach = [_REACH.get(kind, 1.0) * width for kind, _, width, _ in shares]
    low = min(share[1] - far for share, far in zip(shares, reach, strict=True))
    high = max(share[1] + far for share, far in zip(shares, reach, strict=True))
    while low < (middle := 0.5 * (low + high)) < high:
        if _sum(taken(middle)) > supply:
            low = middle
        else:
            high = middle
    return taken(high)


_REACH = {1.0: 1.0, 2.0: 1.0, 3.0: 9.0, 4.0: 40.0}
"""How many widths away from the middle a profile has no effect any more in floats."""


def _taken_share(price: float, kind: float, middle: float, width: float, _extra: float) -> float:
    """Return the share of a request that a priority profile takes at a price."""
    if kind == 0.0:  # a fixed quantity
        return 1.0
    if not width > 0.0:
        raise ValueError(f"the width of a priority profile must be positive, not {width!r}")
    away = (price - middle) / width
    if kind == 1.0:  # rectangular
        return min(max(0.5 - away, 0.0), 1.0)
    if kind == 2.0:  # triangular
        if abs(away) >= 0.5:
            return 1.0 if away < 0.0 else 0.0
        return 1.0 - 2.0 * (away + 0.5) ** 2 if away < 0.0 else 2.0 * (0.5 - away) ** 2
    if kind == 3.0:  # normal
        return 0.5 * math.erfc(away / math.sqrt(2.0))
    if kind == 4.0:  # exponential
        return 1.0 - 0.5 * math.exp(away) if away < 0.0 else 0.5 * math.exp(-away)
    raise ValueError(f"priority profiles of kind {kind!r} aren't supported; kinds 0 to 4 are")


def allocate_available(position: float, supply: float, *operands: float) -> float:
    """ALLOCATE AVAILABLE: what one of n requests gets; the operands are they and 4n profile values."""
    return _available(supply, *operands)[int(position)]


def share_at_price(price: float, *profile: float) -> float:
    """DEMAND AT PRICE and SUPPLY AT PRICE: the share of a demand that is left at a price.

    Of a supply with the same profile it is the share that isn't supplied yet, since profiles are symmetric.
    """
    return _taken_share(price, *profile)


@_shared
def _market(operands: tuple[float, ...]) -> list[float]:
    n = int(operands[0])
    demands, wanted = operands[1 : 1 + n], operands[1 + n : 1 + 5 * n]
    rest = operands[1 + 5 * n :]
    supplies, offered = rest[: len(rest) // 5], rest[len(rest) // 5 :]
    profiles = [(each[i], *each[i + 1 : i + 4]) for each in (wanted, offered) for i in range(0, len(each), 4)]

    def left_over(price: float) -> float:
        shares = [_taken_share(price, *profile) for profile in profiles]
        asked = _sum([demand * share for demand, share in zip(demands, shares[:n], strict=True)])
        given = [
            supply * (share if profile[0] == 0.0 else 1.0 - share)
            for supply, share, profile in zip(supplies, shares[n:], profiles[n:], strict=True)
        ]
        return asked - _sum(given)

    low = min(middle - _REACH.get(kind, 1.0) * width for kind, middle, width, _ in profiles)
    high = max(middle + _REACH.get(kind, 1.0) * width for kind, middle, width, _ in profiles)
    while low < (price := 0.5 * (low + high)) < high:
        if left_over(price) > 0.0:
            low = price
        else:
            high = price
    return [high]


def market_price(demanders: float, *operands: float) -> float:
    """FIND MARKET PRICE: the price at which as much is demanded as is supplied.

    The operands are the demands, four profile values for each, the supplies and their profile values.
    """
    return _market(demanders, *operands)[0]


@_shared
def _by_priority(operands: tuple[float, ...]) -> list[float]:
    """Return what each request gets: higher priorities first, those within a width of each other together.

    Requests that get something at once fill by equal fractions. A request begins when the fraction of the one
    of the next higher priority is the gap between their priorities over the width, or 1.
    """
    width, supply, *rest = operands
    n = len(rest) // 2
    requests, priorities = rest[:n], rest[n:]
    if supply < 0.0 or any(request < 0.0 for request in requests):
        raise ValueError("the supply and the requests must not be negative")
    if not width > 0.0:
        raise ValueError(f"the width must be positive, not {width!r}")
    if supply >= _sum(requests):
        return requests
    begins = [math.inf] * n
    last: int | None = None
    for i in sorted((i for i in range(n) if requests[i] > 0.0), key=lambda i: -priorities[i]):
        begins[i] = (
            0.0 if last is None else begins[last] + min((priorities[last] - priorities[i]) / width, 1.0)
        )
        last = i

    def given(progress: float) -> list[float]:
        return [
            request * min(max(progress - begin, 0.0), 1.0)
            for request, begin in zip(requests, begins, strict=True)
        ]

    # What is given grows linearly between the points at which a request begins or is filled.
    low = 0.0
    for high in sorted(point for begin in begins if begin < math.inf for point in (begin, begin + 1.0)):
        before, after = _sum(given(low)), _sum(given(high))
        if before < supply <= after:
            return given(low + (supply - before) * (high - low) / (after - before))
        low = high
    return [0.0] * n if supply == 0.0 else given(low)


def allocate_by_priority(position: float, width: float, supply: float, *operands: float) -> float:
    """ALLOCATE BY PRIORITY: what one of n requests gets; the operands are n requests and n priorities."""
    return _by_priority(width, supply, *operands)[int(position)]


FUNCTIONS: dict[str, object] = {
    "sort_order": sort_order,
    "sort_rank": sort_rank,
    "element_at": element_at,
    "vector_select": vector_select,
    "inverse": inverse,
    "allocate_available": allocate_available,
    "allocate_by_priority": allocate_by_priority,
    "market_price": market_price,
    "share_at_price": share_at_price,
}
"""The names that compiled equations can use."""
