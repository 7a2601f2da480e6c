"""Draws a monomer: a line with an arrow, boxes on it for its sites, and its name after the arrow.

Everything is within the height of a row. Bonds are drawn between rows, so no bond crosses a name.
"""

from collections.abc import Mapping
from itertools import groupby

import msgspec

from perdure.solvers.binding_networks.layout import SITE_HEIGHT, Strand
from perdure.solvers.binding_networks.network import Monomer, Site
from perdure.solvers.binding_networks.palette import INERT, INK, PAPER
from perdure.solvers.binding_networks.svg import element, legible, shortened, text, text_width

__all__ = ["draw_strand", "edges_of", "in_words", "room_of"]

LEAST_SITE = 26.0
LEAST_OF_RUN = 9.0
RUN = 4  # at least this many equal sites side by side share a box
TAIL = 14.0  # the end of a strand after its sites, with its arrow
ROUNDED = 5.0
LONGEST_DOMAIN = 10  # displayed characters
LONGEST_NAME = 18
NAME_SIZE = 11.0


class SiteBox(msgspec.Struct, frozen=True):
    """A box of a strand: a site, or a run of sites that are equal and have no name."""

    site: Site
    copies: int

    @property
    def label(self) -> str:
        """The text in the box."""
        shown = shortened(self.site.text, LONGEST_DOMAIN)
        if self.site.name is not None:
            return f"{shown}:{shortened(self.site.name, LONGEST_DOMAIN)}"
        return shown if self.copies == 1 else f"{self.copies}({shown})"

    @property
    def site_width(self) -> float:
        """The width of the part of each site."""
        wide_enough = max(LEAST_SITE, text_width(self.label, 12) + 10)
        return max(LEAST_OF_RUN, wide_enough / self.copies) if self.copies > 1 else wide_enough


def edges_of(monomer: Monomer) -> tuple[float, ...]:
    """Return where the sites of a monomer begin and end, from its left edge."""
    edges = [0.0]
    for box in _boxes(monomer):
        edges += [edges[-1] + box.site_width * number for number in range(1, box.copies + 1)]
    return tuple(edges)


def room_of(monomer: Monomer) -> float:
    """Return the width of a monomer, with its arrow and its name."""
    return edges_of(monomer)[-1] + TAIL + text_width(shortened(monomer.name or "", LONGEST_NAME), NAME_SIZE)


def draw_strand(monomer: Monomer, strand: Strand, colours: Mapping[str, str]) -> str:
    """Return a monomer as SVG."""
    middle = strand.y + SITE_HEIGHT / 2
    end = strand.x + strand.edges[-1] + TAIL - 4
    arrow = f"M{strand.x + 2:.1f} {middle:g}H{end:.1f}m-5 -4l5 4l-5 4"
    parts = [
        element("title", legible(in_words(monomer))),
        element("path", d=arrow, fill="none", stroke=INK, stroke_width=1.6),
    ]
    first = 0
    for box in _boxes(monomer):
        left, right = strand.x + strand.edges[first], strand.x + strand.edges[first + box.copies]
        first += box.copies
        colour = colours.get(box.site.domain, INERT)
        fill, ink = (PAPER, colour) if box.site.starred else (colour, PAPER)
        parts.append(
            element(
                "rect",
                x=left + 1,
                y=strand.y + 0.5,
                width=right - left - 2,
                height=SITE_HEIGHT - 1,
                rx=ROUNDED,
                fill=fill,
                stroke=colour,
                stroke_width=1.8,
            )
        )
        parts.append(text(legible(box.label), (left + right) / 2, middle + 4.2, size=12, fill=ink))
    if monomer.name is not None:
        name = legible(shortened(monomer.name, LONGEST_NAME))
        behind = strand.x + strand.edges[-1] + TAIL
        parts.append(text(name, behind, middle + 3.9, size=NAME_SIZE, fill=INK, anchor="start"))
    return element("g", *parts)


def in_words(monomer: Monomer) -> str:
    """Return a monomer as a line of text: its name and its sites."""
    sites = " ".join(f"{site.text}:{site.name}" if site.name else site.text for site in monomer.sites)
    return f"{monomer.name}: {sites}" if monomer.name else sites


def _boxes(monomer: Monomer) -> list[SiteBox]:
    boxes = []
    for site, alike in groupby(monomer.sites):
        copies = len(list(alike))
        shared = copies >= RUN and site.name is None
        boxes += [SiteBox(site, copies)] if shared else [SiteBox(site, 1)] * copies
    return boxes
