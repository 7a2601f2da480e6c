"""Places the strands of a polymer in rows, with bonded strands close to each other.

A strand is a monomer, drawn as a row of boxes, one for each site. The strand with the fewest bonds to all
others is in the first row, strands bonded to it in the second, and so on. As in drawings of layered graphs
(Sugiyama, Tagawa and Toda 1981), strands are ordered by the places of their partners, and moved towards them
as far as their neighbours in the row allow.
"""

from collections.abc import Mapping, Sequence

import msgspec

from perdure.solvers.binding_networks.configuration import Bond, Polymer
from perdure.solvers.binding_networks.network import SiteRef

__all__ = ["SITE_HEIGHT", "Placement", "Strand", "lay_out"]

SITE_HEIGHT = 22.0
LEAST_GAP, MOST_GAP = 46.0, 150.0  # between rows; larger if bonds go far sideways
STEEPNESS = 0.1
BETWEEN = 14.0  # least space between two strands of a row
APART = 34.0  # space between groups that no bond holds together
ARC = 24.0  # space below a row for bonds within it
SWEEPS = 6


class Strand(msgspec.Struct, frozen=True):
    """The place of a monomer: its left and upper edge, the edges of its sites relative to it, its width."""

    monomer: int
    x: float
    y: float
    edges: tuple[float, ...]
    room: float

    def middle(self, site: int) -> float:
        """Return the middle of a site's box."""
        return self.x + (self.edges[site] + self.edges[site + 1]) / 2


class Placement(msgspec.Struct, frozen=True):
    """A drawn polymer: its strands, by monomer, and its extent from (0, 0)."""

    strands: Mapping[int, Strand]
    width: float
    height: float


def lay_out(polymer: Polymer, edges: Mapping[int, tuple[float, ...]], room: Mapping[int, float]) -> Placement:
    """Return the places of a polymer's strands; groups that no bond connects are side by side.

    Parameters
    ----------
    edges
        For each monomer, where its sites begin and end, from its left edge.
    room
        The width of each monomer with everything that belongs to it.
    """
    strands: dict[int, Strand] = {}
    left = height = 0.0
    for group in _bonded_groups(polymer):
        bonds = [bond for bond in polymer.bonds if bond.unstarred.monomer in group]
        placed = _Rows(group, bonds, edges, room).placed()
        start = min(strand.x for strand in placed)
        for strand in placed:
            strands[strand.monomer] = msgspec.structs.replace(strand, x=strand.x - start + left)
        left = max(strand.x + strand.room for strand in strands.values()) + APART
        lowest = max(strand.y for strand in placed)
        level = [bond for bond in bonds if _row(strands, bond.unstarred) == _row(strands, bond.starred)]
        arc = ARC if any(_row(strands, bond.starred) == lowest for bond in level) else 0.0
        height = max(height, lowest + SITE_HEIGHT + arc)
    return Placement(strands, left - APART, height)


def _row(strands: Mapping[int, Strand], ref: SiteRef) -> float:
    return strands[ref.monomer].y


def _bonded_groups(polymer: Polymer) -> list[list[int]]:
    """Return the groups of monomers that bonds connect, the largest first."""
    distance = {start: _distances(start, polymer.bonds) for start in polymer.monomers}
    groups = {tuple(sorted(reached)) for reached in distance.values()}
    return sorted((list(group) for group in groups), key=lambda group: (-len(group), group))


def _distances(start: int, bonds: Sequence[Bond]) -> dict[int, int]:
    """Return the distance in bonds from a monomer to each that bonds lead to."""
    neighbours: dict[int, list[int]] = {}
    for bond in bonds:
        one, other = bond.unstarred.monomer, bond.starred.monomer
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    reached = {start: 0}
    waiting = [start]
    for index in waiting:
        for neighbour in neighbours.get(index, ()):
            if neighbour not in reached:
                reached[neighbour] = reached[index] + 1
                waiting.append(neighbour)
    return reached


class _Rows:
    """The strands of one bonded group, in rows, while they are moved to their places."""

    def __init__(
        self,
        group: Sequence[int],
        bonds: Sequence[Bond],
        edges: Mapping[int, tuple[float, ...]],
        room: Mapping[int, float],
    ) -> None:
        self.edges = edges
        self.room = room
        self.bonds: dict[int, list[tuple[SiteRef, SiteRef]]] = {index: [] for index in group}
        for bond in bonds:
            if bond.unstarred.monomer != bond.starred.monomer:
                self.bonds[bond.unstarred.monomer].append((bond.unstarred, bond.starred))
                self.bonds[bond.starred.monomer].append((bond.starred, bond.unstarred))
        distances = {start: _distances(start, bonds) for start in group}
        centre = min(
            group, key=lambda index: (max(distances[index].values()), -len(self.edges[index]), index)
        )
        self.row = distances[centre]
        self.rows: list[list[int]] = [[] for _ in range(max(self.row.values()) + 1)]
        for index in self.row:  # in the order of the search, so that partners of one strand are neighbours
            self.rows[self.row[index]].append(index)
        self.x = dict.fromkeys(group, 0.0)

    def placed(self) -> list[Strand]:
        """Return the strands at their final places."""
        for sweep in range(SWEEPS):
            order = range(len(self.rows)) if sweep % 2 == 0 else reversed(range(len(self.rows)))
            for number in order:
                self._settle(number, beside={number - 1 if sweep % 2 == 0 else number + 1}, reorder=True)
        for _ in range(SWEEPS):
            for number in range(len(self.rows)):
                self._settle(number, beside={number - 1, number + 1}, reorder=False)
        tops = self._tops()
        return [
            Strand(index, self.x[index], tops[self.row[index]], self.edges[index], self.room[index])
            for index in self.x
        ]

    def _tops(self) -> list[float]:
        """Return the upper edges of the rows."""
        tops = [0.0]
        for row in self.rows[:-1]:
            sideways = [
                abs(self._middle(other) - self._middle(own))
                for index in row
                for own, other in self.bonds[index]
                if self.row[other.monomer] > self.row[index]
            ]
            gap = min(MOST_GAP, LEAST_GAP + STEEPNESS * max(sideways))
            tops.append(tops[-1] + SITE_HEIGHT + gap)
        return tops

    def _settle(self, number: int, beside: set[int], *, reorder: bool) -> None:
        """Move the strands of a row towards their partners in adjacent rows."""
        row = self.rows[number]
        wanted = {index: self._wanted(index, beside) for index in row}
        if reorder:
            row.sort(key=lambda index: wanted[index] + self.edges[index][-1] / 2)
        offsets = [0.0]
        for index in row:
            offsets.append(offsets[-1] + self.room[index] + BETWEEN)
        nearest = _ascending([wanted[index] - offset for index, offset in zip(row, offsets, strict=False)])
        for index, base, offset in zip(row, nearest, offsets, strict=False):
            self.x[index] = base + offset

    def _wanted(self, index: int, beside: set[int]) -> float:
        """Return the place where a strand's sites are, on average, directly below or above their partners."""
        moves = [
            self._middle(other) - self._middle(own)
            for own, other in self.bonds[index]
            if self.row[other.monomer] in beside
        ]
        return self.x[index] + (sum(moves) / len(moves) if moves else 0.0)

    def _middle(self, ref: SiteRef) -> float:
        edges = self.edges[ref.monomer]
        return self.x[ref.monomer] + (edges[ref.site] + edges[ref.site + 1]) / 2


def _ascending(values: Sequence[float]) -> list[float]:
    """Return the ascending numbers with the least squared distance to values (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            other, size = pools.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]
