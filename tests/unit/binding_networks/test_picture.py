"""A picture is SVG that shows every monomer and bond once, whatever the names are."""

import random
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.networks import bond, networks, saturated

from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.layout import SITE_HEIGHT, lay_out
from perdure.solvers.binding_networks.network import Monomer, Network, Site
from perdure.solvers.binding_networks.palette import INERT, colours_of
from perdure.solvers.binding_networks.picture import Picture, draw
from perdure.solvers.binding_networks.solution import Solution, Status
from perdure.solvers.binding_networks.strands import edges_of, room_of
from perdure.solvers.binding_networks.svg import text_width

SVG = "{http://www.w3.org/2000/svg}"


def configuration(*groups: tuple[tuple[int, ...], tuple[Bond, ...]]) -> Configuration:
    return Configuration(tuple(Polymer(*group) for group in groups))


def drawn(network: Network, configuration: Configuration, title: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(draw(network, configuration, title=title))


def texts(picture: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in picture.iter(f"{SVG}text")]


def bond_paths(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [each for each in picture.iter(f"{SVG}path") if "C" in each.get("d", "")]


GATE = parse_network(["a* b* >gate", "a >x", "b:s", "2 a* 3 3 3 3 3"], syntax=None)
BOUND = configuration(((0, 1, 2), (bond(1, 0, 0, 0), bond(2, 0, 0, 1))), ((3,), ()))


def test_a_picture_shows_names_sites_and_bonds() -> None:
    picture = drawn(GATE, BOUND, "and")
    shown = texts(picture)
    assert shown[0] == "and2 polymers of 4 monomers"
    for label in ("gate", "x", "a*", "b*", "a", "b:s", "2", "5(3)", "can't bind", "unstarred", "starred"):
        assert label in shown
    colours = colours_of(GATE)
    assert [path.get("stroke") for path in bond_paths(picture)] == [colours["a"], colours["b"]]


def test_a_picture_says_in_words_what_it_shows() -> None:
    picture = drawn(GATE, BOUND, "and")
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "and: 2 polymers of 4 monomers"
    assert picture.findtext(f"{SVG}title") == "and: 2 polymers of 4 monomers"
    described = picture.findtext(f"{SVG}desc")
    assert described == ("Polymer 1, 2 bonds: gate: a* b*; x: a; b:s. Polymer 2, 0 bonds: 2 a* 3 3 3 3 3.")
    alone = drawn(parse_network(["a"]), configuration(((0,), ())))
    assert alone.get("aria-label") == "1 polymer of 1 monomer"


def test_polymers_of_the_same_monomers_are_drawn_once_and_counted() -> None:
    network = parse_network(["12[a >m]", "b"])
    picture = drawn(network, configuration(*(((index,), ()) for index in range(13))))
    assert "× 12" in texts(picture)
    assert texts(picture).count("m") == 1
    assert len([each for each in texts(picture) if each.startswith("×")]) == 1


def test_filled_is_unstarred_and_outlined_is_starred() -> None:
    network = parse_network(["a a*"])
    picture = drawn(network, configuration(((0,), (bond(0, 0, 0, 1),))))
    boxes = [each for each in picture.iter(f"{SVG}rect") if each.get("height") == "21"]
    colour = colours_of(network)["a"]
    assert [(each.get("fill"), each.get("stroke")) for each in boxes] == [
        (colour, colour),
        ("#ffffff", colour),
    ]
    assert len(bond_paths(picture)) == 1


HOSTILE = '<script>alert("1")</script>&amp;\x00\x1b[31m\ud800\'"]]>'


def test_names_are_never_markup() -> None:
    monomer = Monomer((Site(HOSTILE, name=HOSTILE), Site(HOSTILE, True)), HOSTILE)
    text = draw(Network((monomer,)), configuration(((0,), (bond(0, 0, 0, 1),))), title=HOSTILE)
    assert "<script" not in text
    assert "\x00" not in text and "\x1b" not in text
    picture = ElementTree.fromstring(text.encode())
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} <= {
        *("svg", "title", "desc", "rect", "path", "text", "tspan", "g")
    }


def test_a_picture_refers_to_nothing_else() -> None:
    text = draw(GATE, BOUND)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "href" not in text and "url(" not in text


@given(networks(constraints=0), st.integers(0, 2**32))
def test_every_bond_is_drawn_in_the_colour_of_its_domain(network: Network, seed: int) -> None:
    right = saturated(network, random.Random(seed))
    one_each = msgspec.structs.replace(
        network,
        monomers=tuple(Monomer(each.sites, f"{index}") for index, each in enumerate(network.monomers)),
    )
    colours = colours_of(one_each)
    domains = [
        one_each.monomers[each.unstarred.monomer].sites[each.unstarred.site].domain
        for polymer in right.polymers
        for each in polymer.bonds
    ]
    strokes = [path.get("stroke") for path in bond_paths(drawn(one_each, right))]
    assert sorted(map(str, strokes)) == sorted(colours[domain] for domain in domains)


@given(networks(monomers=12, constraints=0), st.integers(0, 2**32))
def test_strands_never_overlap(network: Network, seed: int) -> None:
    for polymer in saturated(network, random.Random(seed)).polymers:
        edges = {index: edges_of(network.monomers[index]) for index in polymer.monomers}
        room = {index: room_of(network.monomers[index]) for index in polymer.monomers}
        placement = lay_out(polymer, edges, room)
        assert set(placement.strands) == set(polymer.monomers)
        placed = sorted(placement.strands.values(), key=lambda each: (each.y, each.x))
        for strand, following in pairwise(placed):
            assert strand.y + SITE_HEIGHT < following.y or strand.x + strand.room < following.x
        assert min(strand.x for strand in placed) >= -1e-6
        assert max(strand.x + strand.room for strand in placed) <= placement.width + 1e-6
        assert max(strand.y for strand in placed) + SITE_HEIGHT <= placement.height


def test_strands_lie_below_what_they_are_bonded_to() -> None:
    network = parse_network(["a* b*", "a", "b"])
    polymer = Polymer((0, 1, 2), (bond(1, 0, 0, 0), bond(2, 0, 0, 1)))
    edges = {index: edges_of(monomer) for index, monomer in enumerate(network.monomers)}
    room = {index: room_of(monomer) for index, monomer in enumerate(network.monomers)}
    strands = lay_out(polymer, edges, room).strands
    assert strands[0].y < strands[1].y == strands[2].y
    assert strands[1].x < strands[2].x
    gate = strands[0].middle(0) + strands[0].middle(1)
    assert gate == pytest.approx(strands[1].middle(0) + strands[2].middle(0))


def placed(
    element: ElementTree.Element, x: float = 0.0, y: float = 0.0
) -> Iterator[tuple[Any, float, float]]:
    """Yield all elements, each with where the origin of its coordinates is in the picture."""
    moved = re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
    if moved is not None:
        x, y = x + float(moved[1]), y + float(moved[2])
    yield element, x, y
    for child in element:
        yield from placed(child, x, y)


def label_boxes(picture: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    """Return each text with the left, upper, right and lower edge of the box that it is in."""
    found = []
    for each, x, y in placed(picture):
        if each.tag == f"{SVG}text":
            words, size = "".join(each.itertext()), float(each.get("font-size"))
            width = text_width(words, size)
            left = (
                x
                + float(each.get("x"))
                - {"start": 0.0, "middle": 0.5, "end": 1.0}[each.get("text-anchor")] * width
            )
            base = y + float(each.get("y"))
            found.append((words, left, base - 0.75 * size, left + width, base + 0.25 * size))
    return found


def bond_points(picture: ElementTree.Element) -> Iterator[list[tuple[float, float]]]:
    """Yield points on the line of each bond, a twentieth of it apart and less."""
    for each, x, y in placed(picture):
        if each.tag == f"{SVG}path" and "C" in each.get("d", ""):
            numbers = [float(it) for it in re.findall(r"[-\d.]+", each.get("d"))]
            ends = [(x + left, y + top) for left, top in zip(numbers[::2], numbers[1::2], strict=True)]
            yield [_on_curve(ends, step / 20) for step in range(21)]


def _on_curve(ends: list[tuple[float, float]], t: float) -> tuple[float, float]:
    """Return a point on a cubic Bézier curve."""
    weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
    x, y = (sum(weight * end[axis] for weight, end in zip(weights, ends, strict=True)) for axis in (0, 1))
    return x, y


def crosses(
    one: tuple[float, float], other: tuple[float, float], left: float, top: float, right: float, bottom: float
) -> bool:
    """Return whether a segment has a point inside a box (Liang and Barsky 1984)."""
    first, last = 0.0, 1.0
    for start, step, least, most in (
        (one[0], other[0] - one[0], left, right),
        (one[1], other[1] - one[1], top, bottom),
    ):
        if step == 0:
            if not least < start < most:
                return False
            continue
        enters, leaves = sorted(((least - start) / step, (most - start) / step))
        first, last = max(first, enters), min(last, leaves)
    return first < last


@settings(max_examples=25)
@given(
    networks(monomers=12, constraints=0),
    st.integers(0, 2**32),
    st.sampled_from(["m", "WWWWWW", "名前の長い"]),
)
def test_no_bond_crosses_a_name_or_another_label(network: Network, seed: int, word: str) -> None:
    named = Network(
        tuple(Monomer(each.sites, f"{word}{index}") for index, each in enumerate(network.monomers))
    )
    picture = drawn(named, saturated(named, random.Random(seed)))
    labels = label_boxes(picture)
    assert {label[0] for label in labels} >= {each.name for each in named.monomers[:1]}
    for points in bond_points(picture):
        for one, other in pairwise(points):
            for words, *box in labels:
                assert not crosses(one, other, *box), f"a bond crosses {words!r}"


def test_monomers_that_no_bond_joins_are_side_by_side() -> None:
    network = parse_network(["a", "a*", "a"])
    grouped = Polymer((0, 1, 2), (bond(0, 0, 1, 0),))
    edges = {index: edges_of(monomer) for index, monomer in enumerate(network.monomers)}
    strands = lay_out(grouped, edges, dict.fromkeys(edges, 40.0)).strands
    assert strands[2].x > max(strands[0].x, strands[1].x) + 40
    assert strands[2].y == 0


@pytest.mark.parametrize("count", [1, 8, 9, 60])
def test_domains_have_colours_of_their_own(count: int) -> None:
    network = parse_network([" ".join(f"d{number} d{number}*" for number in range(count)), "inert"])
    colours = colours_of(network)
    assert len(set(colours.values())) == len(colours) == count
    assert INERT not in colours.values()
    # White text on any of them stands out (WCAG 2.1, contrast 3 for large text and graphics).
    for colour in colours.values():
        linear = [
            channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
            for channel in (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        ]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 3


def test_a_notebook_shows_a_solution() -> None:
    solution = Solution(network=GATE, status=Status.OPTIMAL, configurations=(BOUND,), lower=2, upper=2)
    assert solution._repr_svg_() == draw(GATE, BOUND)
    assert solution.picture(0, "and")._repr_svg_() == draw(GATE, BOUND, title="and")
    assert isinstance(solution.picture(), Picture)
    assert msgspec.structs.replace(solution, configurations=())._repr_svg_() is None
