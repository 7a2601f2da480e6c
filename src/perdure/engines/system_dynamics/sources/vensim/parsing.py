"""The boundary to PySD, whose parser of Vensim's language turns an entry into a syntax tree.

PySD is imported when the first file is read. What it doesn't keep is read here: lines, mappings of subscripts
element by element. PySD evaluates numbers, points and the drawing limits of a lookup as Python. Limits are
taken out before, since they mean nothing for the model, and literals take the place of `eval` meanwhile. PySD
adds a sign to the number after it, so ``-2^2`` would be 4; a number is a `Literal`, which it leaves alone.
"""

import re
import sys
import warnings
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from string import digits
from threading import Lock
from typing import Any

from perdure.engines.system_dynamics.sources.limits import MAX_ELEMENTS
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.text import Entry
from perdure.errors import MissingExtra

__all__ = ["Definition", "Literal", "Range", "parse", "plain_name"]

_LIMITS = re.compile(r"\([\s\\]*\[[^\]]*\]?[\s\\]*,?")
"""All that PySD's grammar may take for limits, quotes and backslashes among it."""
_NUMBER = re.compile(r"[-+]?\s*(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SUM = re.compile(rf"\s*{_NUMBER.pattern}(?:\s*{_NUMBER.pattern})*\s*")
_LEGACY_TABLE = re.compile(r"^([^=(\[]+(?:\[[^\]]*\])?)\s*\(([-+\d.eE,\s]+)\)$")
_LEFT = re.compile(r'^(\s*"(?:\\.|[^"\\])*"\s*|[^:"]*):')
_LISTED = re.compile(r'(?:"(?:\\.|[^"\\])*"|\([^()]*\)|[^,()"\s][^,()"]*)')
_GROUP = re.compile(r"\(([^()]*)\)")
_DIGITS = 9
"""Digits of the number of an element; Python reads no integers of thousands of digits."""
_KEYWORD = re.compile(r'"(?:\\.|[^"\\])*"|:[A-Za-z ]+:')
"""A word between colons, such as ``:AND:``; names in quotes are passed over."""
_MAX_NESTED = 10_000
"""Python frames for PySD's parser, which takes some fifty for each pair of parentheses."""
_ALONE = Lock()
"""The limit of frames is that of the process, and so are the filters of warnings."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number in a syntax tree."""

    value: float


@dataclass(frozen=True, slots=True)
class Definition:
    """An equation of a variable.

    `kind` is ``value``, ``constant`` (``==``), ``lookup`` or ``data``; `keyword` says how data are
    interpolated. `syntax` is PySD's tree.
    """

    name: str
    kind: str
    syntax: Any
    subscripts: tuple[str, ...]
    exceptions: tuple[tuple[str, ...], ...]
    keyword: str | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class Range:
    """A subscript range.

    `definition` holds the names of elements and ranges, the name of the range that this is a copy of, or what
    ``GET XLS SUBSCRIPT`` takes. `mappings` are pairs of a range and the elements that correspond to this
    one's; without elements they correspond in order.
    """

    name: str
    definition: tuple[str, ...] | str | dict[str, str]
    mappings: tuple[tuple[str, tuple[str, ...]], ...]
    entry: Entry


def plain_name(name: str) -> str:
    """Return a name without the quotes around it, and with single blanks."""
    name = " ".join(name.split())
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').strip()
    return name


def parse(entry: Entry) -> Definition | Range | None:
    """Parse an entry; return None for a reality check, which doesn't belong to the model.

    Raises
    ------
    Unservable
        If it can't be parsed.
    MissingExtra
        If PySD isn't installed.
    """
    equation = _KEYWORD.sub(lambda found: _in_capitals(found[0]), entry.equation)
    equation = _LIMITS.sub("(", _with_pairs(equation))
    if "=" not in _KEYWORD.sub("", equation):
        _refuse_long_ranges(equation)
    with _ALONE, _deep(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        elements = _elements()
        elements.eval = _literal
        try:
            component = elements.Element(equation, "", "").parse()
            if isinstance(component, elements.SubscriptRange):
                return _range(component, entry)
            if isinstance(component, elements.Constraint | elements.TestInput):
                return None
            component.parse()
        except RecursionError:
            raise Unservable("the equation is nested too deeply") from None
        except Exception as error:
            raise Unservable(_reason(error)) from error
        finally:
            del elements.eval
    kinds = {"Lookup": "lookup", "Data": "data", "UnchangeableConstant": "constant"}
    subscripts, exceptions = component.subscripts
    return Definition(
        name=plain_name(component.name),
        kind=kinds.get(type(component).__name__, "value"),
        syntax=component.ast,
        subscripts=tuple(map(plain_name, subscripts)),
        exceptions=tuple(tuple(map(plain_name, each)) for each in exceptions),
        keyword=getattr(component, "keyword", None),
        entry=entry,
    )


def _refuse_long_ranges(text: str) -> None:
    """Refuse ranges such as ``(a1-a100000000)``, all whose elements the parser would make."""
    for inner in _GROUP.findall(text):
        ends = _numbered(inner)
        if ends is not None:
            (_, first), (_, last) = ends
            if max(len(first), len(last)) > _DIGITS or int(last) - int(first) >= MAX_ELEMENTS:
                raise Unservable(
                    f"a range goes from {first:.20} to {last:.20}; {MAX_ELEMENTS} elements are allowed"
                )


def _numbered(text: str) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Return the names and the numbers of the two ends of ``a1-a3``; None if it has no such ends."""
    parts = text.split("-")
    middle = len(parts) // 2  # Names may hold dashes of their own.
    first, last = ("-".join(each).strip() for each in (parts[:middle], parts[middle:]))
    names = first.rstrip(digits), last.rstrip(digits)
    ends = first.removeprefix(names[0]), last.removeprefix(names[1])
    return ((names[0], ends[0]), (names[1], ends[1])) if all(ends) else None


def _elements() -> Any:
    try:
        return import_module("pysd.translators.vensim.vensim_element")
    except ModuleNotFoundError as error:
        raise MissingExtra(what="Reading Vensim models", package="pysd", extra="vensim") from error


def _literal(text: str) -> Any:
    """Return what a literal is; numbers side by side, as in ``5 - 3``, are added. Nothing is run.

    What isn't a number is points or a text.
    """
    if not _SUM.fullmatch(text):
        return literal_eval(text)
    first, *rest = (float("".join(number.split())) for number in _NUMBER.findall(text))
    for number in rest:
        first += number
    return Literal(first)


def _in_capitals(word: str) -> str:
    return word if word.startswith('"') else word.upper()


@contextmanager
def _deep() -> Iterator[None]:
    """Let the parser recurse deeper than Python does by default."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _MAX_NESTED))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _with_pairs(equation: str) -> str:
    """Return a lookup of the old kind, all x and then all y, as pairs; anything else as it is."""
    table = _LEGACY_TABLE.match(equation)
    if not table or table[2].count(",") < 3:
        return equation
    numbers = [number.strip() for number in table[2].split(",")]
    half = len(numbers) // 2
    pairs = ",".join(f"({x},{y})" for x, y in zip(numbers[:half], numbers[half:], strict=False))
    return f"{table[1]}({pairs})"


def _reason(error: Exception) -> str:
    """Return what the parser has to say, without its own lines."""
    position = getattr(error, "pos", None)
    text = getattr(error, "text", None)
    if isinstance(position, int) and isinstance(text, str):
        return f"the equation isn't understood at {text[position : position + 40]!r}"
    return f"the equation isn't understood: {' '.join(str(error).split()):.200}"


def _range(component: Any, entry: Entry) -> Range:
    name, definition = plain_name(component.name), component.definition
    if isinstance(definition, str):
        return Range(name, plain_name(definition), (), entry)
    # PySD takes the elements of mappings for further elements of the range.
    left = _LEFT.match(entry.equation)
    listed, _, mappings = entry.equation[left.end() if left else 0 :].partition("->")
    if not isinstance(definition, dict):
        definition = tuple(_elements_of(listed))
    return Range(name, definition, tuple(_mappings(mappings)), entry)


def _elements_of(text: str) -> Iterator[str]:
    """Yield the names in a list; ``(a1-a3)`` are a1, a2 and a3."""
    for part in _LISTED.findall(text):
        inner = _GROUP.fullmatch(part.strip())
        ends = None if inner is None else _numbered(inner[1])
        if ends is None:
            yield plain_name(part)
            continue
        (name, first), (other, last) = ends
        if name != other or not int(first) < int(last):
            raise Unservable(f"{part.strip()} is no range of numbered elements")
        yield from (plain_name(f"{name}{i}") for i in range(int(first), int(last) + 1))


def _mappings(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for part in _LISTED.findall(text):
        target, colon, elements = part.strip().strip("()").partition(":")
        yield plain_name(target), tuple(map(plain_name, _LISTED.findall(elements))) if colon else ()
