"""Networks that are grids: a gate has a site for each cell, and is bound by its rows or by its columns.

A grid gate of size n with all its rows, or all its columns, is a polymer of n + 1 monomers; of both together
nothing else binds it with so few. So the stable configurations of many gates are told by numbers.
"""

from collections.abc import Sequence

from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.network import Network

__all__ = ["counter", "grid"]


def grid(
    size: int, copies: int, gates: int, constraints: Sequence[str] = (), *, named: bool = False
) -> Network:
    """Return gates of one kind, and so many copies of each of their rows and columns, named or alike."""
    lines = []
    for at in range(size):
        row = " ".join(f"x{at}_{column}" for column in range(size))
        column = " ".join(f"x{row}_{at}" for row in range(size))
        for copy in range(copies):
            lines.append(f"{row} >r{at}.{copy}" if named else row)
            lines.append(f"{column} >c{at}.{copy}" if named else column)
    gate = " ".join(f"x{row}_{column}*" for row in range(size) for column in range(size))
    return parse_network([*lines, *[gate] * gates], constraints)


def counter(size: int, digits: int) -> Network:
    """Return grids in a ring, all named; the columns of one reach into the diagonal of the next.

    A diagonal saves no row and no column, so each grid has its rows or its columns: 2 to the digits.
    """
    lines = []
    for digit in range(digits):
        following = (digit + 1) % digits
        for at in range(size):
            row = " ".join(f"b{digit}x{at}_{column}" for column in range(size))
            column = " ".join(f"b{digit}x{row}_{at}" for row in range(size))
            lines += [f"{row} >b{digit}row{at}", f"{column} b{following}x{at}_{at} >b{digit}column{at}"]
        cells = " ".join(f"b{digit}x{row}_{column}*" for row in range(size) for column in range(size))
        lines.append(f"{cells} >b{digit}gate")
    return parse_network(lines)
