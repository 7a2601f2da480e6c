"""Pictures of configurations: strands with coloured sites, bonds between them, one box for each polymer.

A picture is self-contained SVG: it needs no script, no style sheet, and no font but the viewer's. Polymers of
the same monomers are drawn once, with their number.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from math import sqrt

import msgspec

from perdure.solvers.binding_networks.configuration import Configuration, Polymer
from perdure.solvers.binding_networks.layout import SITE_HEIGHT, Placement, Strand, lay_out
from perdure.solvers.binding_networks.network import Network, SiteRef
from perdure.solvers.binding_networks.palette import BOX, EDGE, INERT, INK, PAPER, QUIET, colours_of
from perdure.solvers.binding_networks.strands import draw_strand, edges_of, in_words, room_of
from perdure.solvers.binding_networks.svg import element, legible, shortened, text, text_width

__all__ = ["Picture", "draw"]

MARGIN = 24.0
PADDING = 14.0  # within a polymer's box
GAP = 14.0  # between boxes
HEAD = 34.0  # for the title
LEAST_WIDTH = 560.0
ARC = 30.0  # the depth of the longest bond within a row
LONGEST_NAME = 18  # characters of a domain in the legend
LEGEND_ROW = 26.0


class Picture(msgspec.Struct, frozen=True):
    """A configuration with its network, for notebooks and files."""

    network: Network
    configuration: Configuration
    title: str = ""

    @property
    def svg(self) -> str:
        """The picture, as `draw` makes it."""
        return draw(self.network, self.configuration, title=self.title)

    def _repr_svg_(self) -> str:
        return self.svg


def draw(network: Network, configuration: Configuration, *, title: str = "") -> str:
    """Return a configuration as SVG.

    A monomer is a strand of boxes, one for each site: filled for unstarred sites, outlined for starred ones.
    A line is a bond. Domains without a complementary site in the network are grey.

    Parameters
    ----------
    title
        The title above the picture; the numbers of polymers and monomers follow it.
    """
    return _Drawing(network, configuration, title).svg()


class _Box(msgspec.Struct, frozen=True):
    """A drawn polymer and its number of copies."""

    polymer: Polymer
    placement: Placement
    copies: int
    width: float
    height: float


class _Drawing:
    """The drawing of a configuration."""

    def __init__(self, network: Network, configuration: Configuration, title: str) -> None:
        self.network = network
        self.configuration = configuration
        self.title = title
        self.colours = colours_of(network)

    def svg(self) -> str:
        """Return the picture."""
        boxes = self.boxes()
        area = sum((box.width + GAP) * (box.height + GAP) for box in boxes)
        limit = max(LEAST_WIDTH, sqrt(1.6 * area), *(box.width for box in boxes))
        parts = [self.heading()]
        x, y, tallest, widest = 0.0, MARGIN + HEAD, 0.0, LEAST_WIDTH
        for box in boxes:
            if x and x + box.width > limit:
                x, y, tallest = 0.0, y + tallest + GAP, 0.0
            parts.append(self.box(box, MARGIN + x, y))
            x += box.width + GAP
            widest, tallest = max(widest, x - GAP), max(tallest, box.height)
        legend, height = self.legend(y + tallest + GAP, widest)
        width, height = widest + 2 * MARGIN, height + MARGIN
        return element(
            "svg",
            element("title", legible(self.words())),
            element("desc", legible(self.description())),
            element("rect", width=width, height=height, fill=PAPER),
            *parts,
            legend,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:g} {height:g}",
            width=width,
            height=height,
            role="img",
            aria_label=self.words(),
            font_family="Helvetica, Arial, 'DejaVu Sans', sans-serif",
        )

    def words(self) -> str:
        """Return the caption of the picture."""
        polymers, monomers = len(self.configuration.polymers), len(self.network.monomers)
        counts = f"{_counted(polymers, 'polymer')} of {_counted(monomers, 'monomer')}"
        return f"{self.title}: {counts}" if self.title else counts

    def description(self) -> str:
        """Return the configuration in words."""
        lines = []
        for number, polymer in enumerate(self.configuration.polymers, 1):
            monomers = "; ".join(in_words(self.network.monomers[index]) for index in polymer.monomers)
            lines.append(f"Polymer {number}, {_counted(len(polymer.bonds), 'bond')}: {monomers}.")
        return " ".join(lines)

    def heading(self) -> str:
        """Return the title, with the numbers of polymers and monomers."""
        named = element("tspan", legible(self.title), font_weight="bold") if self.title else ""
        count = self.words().removeprefix(f"{self.title}: ")
        counted = element("tspan", count, fill=QUIET, dx=10 if self.title else 0)
        return text(named + counted, MARGIN, MARGIN + 12, size=16, fill=INK, anchor="start")

    def boxes(self) -> list[_Box]:
        """Return one box for all polymers of the same monomers, those with the most monomers first."""
        copies: Counter[Hashable] = Counter()
        shown: dict[Hashable, Polymer] = {}
        for polymer in self.configuration.polymers:
            kind = self.kind(polymer)
            copies[kind] += 1
            shown.setdefault(kind, polymer)
        boxes = [self.measured(polymer, copies[kind]) for kind, polymer in shown.items()]
        return sorted(boxes, key=lambda box: (-len(box.polymer.monomers), -box.height))

    def kind(self, polymer: Polymer) -> Hashable:
        """Return the key of polymers that are drawn as one."""
        return frozenset(Counter(self.network.monomers[index] for index in polymer.monomers).items())

    def measured(self, polymer: Polymer, copies: int) -> _Box:
        """Return the layout of a polymer."""
        monomers = {index: self.network.monomers[index] for index in polymer.monomers}
        edges = {index: edges_of(monomer) for index, monomer in monomers.items()}
        room = {index: room_of(monomer) for index, monomer in monomers.items()}
        placement = lay_out(polymer, edges, room)
        badge = text_width(_badge(copies), 13) + 8 if copies > 1 else 0.0
        return _Box(
            polymer,
            placement,
            copies,
            width=placement.width + badge + 2 * PADDING,
            height=placement.height + 2 * PADDING,
        )

    def box(self, box: _Box, left: float, top: float) -> str:
        """Return a polymer in its box, at the given place."""
        strands = box.placement.strands
        badge = ""
        if box.copies > 1:
            corner = box.width - 10, 20.0
            badge = text(_badge(box.copies), *corner, size=13, fill=INK, anchor="end", weight="bold")
        inner = element(
            "g",
            *(self.bond(strands, bond.unstarred, bond.starred) for bond in box.polymer.bonds),
            *(
                draw_strand(self.network.monomers[index], strands[index], self.colours)
                for index in box.polymer.monomers
            ),
            transform=f"translate({PADDING:g} {PADDING:g})",
        )
        frame = element(
            "rect", width=box.width, height=box.height, rx=10, fill=BOX, stroke=EDGE, stroke_width=1
        )
        return element("g", frame, inner, badge, transform=f"translate({left:.1f} {top:.1f})")

    def bond(self, strands: Mapping[int, Strand], unstarred: SiteRef, starred: SiteRef) -> str:
        """Return the line of a bond, from row to row or below a row."""
        ends = [
            (strands[ref.monomer].y, strands[ref.monomer].middle(ref.site)) for ref in (unstarred, starred)
        ]
        (upper, start), (lower, end) = sorted(ends)
        top = upper + SITE_HEIGHT
        if upper == lower:
            bend, lower = top + min(ARC, 12 + abs(end - start) / 8), top
        else:
            bend = (top + lower) / 2
        path = f"M{start:.1f} {top:g}C{start:.1f} {bend:.1f} {end:.1f} {bend:.1f} {end:.1f} {lower:g}"
        domain = self.network.monomers[unstarred.monomer].sites[unstarred.site].domain
        return element("path", d=path, fill="none", stroke=self.colours.get(domain, INERT), stroke_width=2.4)

    def legend(self, top: float, width: float) -> tuple[str, float]:
        """Return the legend of colours and shapes, and its lower edge."""
        entries = [(domain, colour, True) for domain, colour in self.colours.items()]
        if any(site.domain not in self.colours for each in self.network.monomers for site in each.sites):
            entries.append(("can't bind", INERT, True))
        entries += [("unstarred", QUIET, True), ("starred", QUIET, False)]
        parts: list[str] = []
        x, y = MARGIN, top
        for label, colour, filled in entries:
            shown = shortened(label, LONGEST_NAME)
            room = 22 + text_width(shown, 12) + 18
            if x > MARGIN and x + room > MARGIN + width:
                x, y = MARGIN, y + LEGEND_ROW
            fill = colour if filled else PAPER
            parts.append(
                element(
                    "rect", x=x, y=y, width=16, height=14, rx=4, fill=fill, stroke=colour, stroke_width=1.8
                )
            )
            parts.append(text(legible(shown), x + 22, y + 11.5, size=12, fill=INK, anchor="start"))
            x += room
        return element("g", *parts), y + 14


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _badge(copies: int) -> str:
    return f"× {copies}"
