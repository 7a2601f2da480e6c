"""Reduces a component of a network to the conditions on its polymers: parts, and rows that relate them.

Every demand on a polymer, except being connected, is a homogeneous linear row: a set of parts is a polymer if
and only if no row sums to more than 0 over it and no two of its parts must be apart. So the integer program,
its bounds and the enumeration don't depend on sites.

The rows follow from theorems on bipartite matchings. In each domain, let L be the sites on the scarcer side
in the network (on a tie the unstarred side) and E those on the other side, without sites that PAIRED has
joined, and E without sites that NOTANYPAIRED excludes:

- saturation: L <= E (Doty et al. 2017: all sites of the scarcer side are bound);
- ANYPAIRED, for the sites R of E that must be bound: R <= L (Mendelsohn and Dulmage 1958: matchings that
  cover L and R separately yield one that covers both);
- NOTPAIRED: |X| + |Y| <= E, and <= L if Y is within R, for sets of sites X and Y all of whose pairs are
  forbidden (Hall 1935); for a polymer without X or without Y, these are no stronger than the rows above;
- NOTFREE: the monomer counts no more than all others together.

TOGETHER and PAIRED join monomers into one part; FREE removes a monomer.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from perdure.solvers.binding_networks.demands import Demands, SiteDemand
from perdure.solvers.binding_networks.network import Monomer, Network, SiteRef
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Column", "Problem", "Sides", "Types", "by_component", "identity", "reduce"]

Column = tuple[tuple[int, int], ...]
"""The addends of a part: (row, addend) for each row that it contributes to, by ascending row."""


class Types(msgspec.Struct, frozen=True):
    """Parts sorted into types of interchangeable ones.

    Attributes
    ----------
    columns
        For each type, the addends of one part.
    members
        For each type, the indices of its parts.
    apart
        For each type the types that can't be in a polymer with it.
    limiting
        The number of types, at the start, whose parts can't be alone: each polymer of a best configuration
        has such a part or is a single part.
    """

    columns: tuple[Column, ...]
    members: tuple[tuple[int, ...], ...]
    apart: tuple[frozenset[int], ...]
    limiting: int

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of parts of each type."""
        return tuple(len(parts) for parts in self.members)


class Problem(msgspec.Struct, frozen=True):
    """The parts that a component's monomers consist of, and the conditions on their polymers.

    Attributes
    ----------
    parts
        Groups of monomers that stay together, as small as the demands allow.
    columns
        The addends of each part.
    apart
        Pairs of parts that can't be in one polymer.
    alone
        Monomers that must be polymers by themselves.
    """

    parts: tuple[tuple[int, ...], ...]
    columns: tuple[Column, ...]
    apart: frozenset[tuple[int, int]] = frozenset()
    alone: tuple[int, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether all parts together satisfy all rows; otherwise there is no division at all."""
        sums: dict[int, int] = defaultdict(int)
        for column in self.columns:
            for row, addend in column:
                sums[row] += addend
        return all(total <= 0 for total in sums.values())

    def types(self, key: Callable[[int], Hashable] = lambda part: None) -> Types:
        """Sort parts into types: parts with equal keys, equal columns, and no forbidden partners.

        Types whose parts can't be alone come first.
        """
        restricted = {part for pair in self.apart for part in pair}
        found: dict[Hashable, list[int]] = {}
        for part, column in enumerate(self.columns):
            found.setdefault((column, key(part), part if part in restricted else None), []).append(part)
        members = list(found.values())
        columns = [self.columns[parts[0]] for parts in members]
        order = _hubs_first(columns)
        place = {part: rank for rank, which in enumerate(order) for part in members[which]}
        apart: list[set[int]] = [set() for _ in order]
        for one, other in self.apart:
            apart[place[one]].add(place[other])
            apart[place[other]].add(place[one])
        return Types(
            columns=tuple(columns[which] for which in order),
            members=tuple(tuple(members[which]) for which in order),
            apart=tuple(frozenset(types) for types in apart),
            limiting=sum(_limits(column) for column in columns),
        )

    def monomers_of(self, parts: Iterable[int]) -> tuple[int, ...]:
        """Return the monomers of parts, ascending."""
        return tuple(sorted(index for part in parts for index in self.parts[part]))


class Sides(msgspec.Struct, frozen=True):
    """The sites of a component's domains that have both sides, split into scarcer and other side.

    Attributes
    ----------
    scarce, ample
        For each such domain, the sites of the scarcer side (on a tie the unstarred one), and of the other.
    """

    scarce: Mapping[str, list[SiteRef]]
    ample: Mapping[str, list[SiteRef]]

    @classmethod
    def of(cls, network: Network, monomers: Iterable[int]) -> "Sides":
        """Return the sides of the domains of a component."""
        sites: dict[str, tuple[list[SiteRef], list[SiteRef]]] = {}
        for index in monomers:
            for place, site in enumerate(network.monomers[index].sites):
                sites.setdefault(site.domain, ([], []))[site.starred].append(SiteRef(index, place))
        both = {domain: sides for domain, sides in sites.items() if sides[0] and sides[1]}
        # min and max return the first of equal sides: on a tie, the scarce side is the unstarred one.
        return cls(
            {domain: min(sides, key=len) for domain, sides in both.items()},
            {domain: max(reversed(sides), key=len) for domain, sides in both.items()},
        )


def by_component(demands: Demands, component: Sequence[int] | Mapping[int, int]) -> dict[int, Demands]:
    """Return the demands on each component that has any, by its first monomer."""
    found: dict[int, dict[str, list[Any]]] = {}
    for name in demands.__struct_fields__:
        for each in getattr(demands, name):
            monomer = each.sites[0].monomer if isinstance(each, SiteDemand) else each.monomers[0]
            found.setdefault(component[monomer], {}).setdefault(name, []).append(each)
    return {
        first: Demands(**{name: tuple(some) for name, some in fields.items()})
        for first, fields in found.items()
    }


def identity(monomer: Monomer) -> Hashable:
    """Return the key of a monomer's copies: its sites in any order, and its name."""
    return monomer.name, tuple(sorted((site.domain, site.starred, site.name or "") for site in monomer.sites))


def reduce(
    network: Network, monomers: Sequence[int], demands: Demands, watch: Watch | None = None
) -> Problem | None:
    """Reduce a component under the demands on it; None if they contradict saturation or each other.

    Parameters
    ----------
    monomers
        The component's, ascending.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    watch = watch or Watch()
    sides = Sides.of(network, monomers)
    forbidden: dict[SiteRef, set[SiteRef]] = defaultdict(set)
    for one, other in (each.sites for each in demands.not_paired):
        forbidden[one].add(other)
        forbidden[other].add(one)
    unbound = {ref for each in demands.not_any_paired for ref in each.sites}
    bound = {ref for each in demands.any_paired for ref in each.sites}
    joined: dict[SiteRef, SiteRef] = {}
    for one, other in (each.sites for each in demands.paired):
        if joined.get(one, other) != other or joined.get(other, one) != one:
            return None
        joined |= {one: other, other: one}
    scarce = {domain: [ref for ref in refs if ref not in joined] for domain, refs in sides.scarce.items()}
    ample = {domain: [ref for ref in refs if ref not in joined] for domain, refs in sides.ample.items()}
    if (
        any(other in forbidden[one] for one, other in joined.items())
        or unbound & (joined.keys() | bound)
        or any(ref in unbound for refs in scarce.values() for ref in refs)
    ):
        return None
    free = {index for each in demands.free for index in each.monomers}
    parts = _parts(monomers, demands)
    apart = set()
    part_of = {index: number for number, part in enumerate(parts) for index in part}
    for first, second in (each.monomers for each in demands.apart):
        if part_of[first] == part_of[second]:
            return None
        apart.add((min(part_of[first], part_of[second]), max(part_of[first], part_of[second])))

    table = _Table(part_of, len(parts), watch)
    for domain in scarce:
        offered = [ref for ref in ample[domain] if ref not in unbound]
        _domain_rows(table, scarce[domain], offered, [ref for ref in offered if ref in bound], forbidden)
    for (index,) in (each.monomers for each in demands.not_free):
        if len(parts[part_of[index]]) == 1:
            table.add(
                ((other, -1) for part in parts if index not in part for other in part[:1]), [(index, 1)]
            )

    columns = table.columns()
    alone = tuple(sorted(free))
    if any(len(parts[part_of[index]]) > 1 or _limits(columns[part_of[index]]) for index in alone):
        return None
    kept = [number for number, part in enumerate(parts) if part[0] not in free]
    place = {number: rank for rank, number in enumerate(kept)}
    return Problem(
        parts=tuple(parts[number] for number in kept),
        columns=tuple(columns[number] for number in kept),
        apart=frozenset(
            (place[one], place[other]) for one, other in apart if one in place and other in place
        ),
        alone=alone,
    )


class _Table:
    """Builds the rows: the addends of each part."""

    def __init__(self, part_of: Mapping[int, int], parts: int, watch: Watch) -> None:
        self._part_of, self.watch = part_of, watch
        self._sums: list[dict[int, int]] = [defaultdict(int) for _ in range(parts)]
        self._rows = 0

    def add(self, *addends: Iterable[tuple[int, int]]) -> None:
        """Add a row of (monomer, addend); addends of one part are summed up."""
        for index, addend in (each for some in addends for each in some):
            self._sums[self._part_of[index]][self._rows] += addend
            self.watch.step()
        self._rows += 1

    def columns(self) -> list[Column]:
        return [tuple(sorted((row, sum_) for row, sum_ in sums.items() if sum_)) for sums in self._sums]


def _domain_rows(
    table: _Table,
    scarce: Sequence[SiteRef],
    offered: Sequence[SiteRef],
    bound: Sequence[SiteRef],
    forbidden: Mapping[SiteRef, set[SiteRef]],
) -> None:
    """Add the rows of one domain: all of `scarce` bind to `offered`, and all of `bound` to `scarce`."""
    taken, given = _addends(scarce, 1), _addends(offered, -1)
    table.add(taken, given)
    for some, others in _forbidden_blocks(scarce, offered, forbidden, table.watch):
        table.add(_addends(some, 1), _addends(others, 1), given)
    if bound:
        table.add(_addends(bound, 1), _addends(scarce, -1))
    for some, others in _forbidden_blocks(bound, scarce, forbidden, table.watch):
        table.add(_addends(some, 1), _addends(others, 1), _addends(scarce, -1))


def _addends(refs: Iterable[SiteRef], addend: int) -> list[tuple[int, int]]:
    return [(ref.monomer, addend) for ref in refs]


def _forbidden_blocks(
    ones: Sequence[SiteRef],
    others: Sequence[SiteRef],
    forbidden: Mapping[SiteRef, set[SiteRef]],
    watch: Watch,
) -> list[tuple[list[SiteRef], list[SiteRef]]]:
    """Return the largest pairs of sets of sites, one of each side, all of whose pairs are forbidden."""
    banned = {one: forbidden[one].intersection(others) for one in ones if one in forbidden}
    closed: set[frozenset[SiteRef]] = set()
    for refs in map(frozenset, banned.values()):
        watch.step(len(closed))
        closed |= {refs & each for each in closed} | {refs}
    return [
        ([one for one in banned if each <= banned[one]], sorted(each))
        for each in sorted(closed - {frozenset()}, key=sorted)
    ]


def _parts(monomers: Sequence[int], demands: Demands) -> list[tuple[int, ...]]:
    """Return the groups of monomers that TOGETHER and PAIRED join, by ascending first monomer."""
    part = {index: {index} for index in monomers}
    pairs = [tuple(ref.monomer for ref in each.sites) for each in demands.paired]
    for group in [each.monomers for each in demands.together] + pairs:
        # Smaller groups join the largest, so that no monomer moves often.
        largest, *others = sorted({id(part[index]): part[index] for index in group}.values(), key=len)[::-1]
        for each in others:
            largest |= each
            part |= dict.fromkeys(each, largest)
    return sorted(tuple(sorted(each)) for each in {id(each): each for each in part.values()}.values())


def _limits(column: Column) -> bool:
    return any(addend > 0 for _, addend in column)


def _hubs_first(columns: Sequence[Column]) -> list[int]:
    """Return the order of types: limiting types first, then by the number of types that share rows.

    Slots led by such types leave little to later slots, which makes the program small and its relaxation
    tight: of thirteen orders tried, no other was as good on all networks.
    """
    holders = Counter(row for column in columns for row, _ in column)
    shared = [sum(holders[row] for row, _ in column) for column in columns]
    return sorted(range(len(columns)), key=lambda which: (not _limits(columns[which]), -shared[which]))
