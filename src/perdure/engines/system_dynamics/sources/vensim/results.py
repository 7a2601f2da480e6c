"""Further results of macros, which a call names after a colon: ``y = M(a, b : z)`` defines y and z.

PySD's grammar doesn't know them. A result gets an equation of its own, which calls a macro that is the same
but for its result.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.parsing import plain_name
from perdure.engines.system_dynamics.sources.vensim.text import Entry, MacroText

__all__ = ["separated", "with_each_result"]

_SKIPPED = re.compile(r""""(?:\\.|[^"\\])*"|(?<=[(,])\s*'[^']*'|:[A-Za-z ]+:""")
_CALLED = re.compile(r"([^\W\d][\w\s'$]*)$")
_DELAYP = "delayp"
"""A function of Vensim that is such a macro: a delay of order 3, and what is on its way."""


def with_each_result(macro: MacroText) -> Iterator[MacroText]:
    """Yield a macro, and for each further result one that has it as its value."""
    yield replace(macro, results=())
    for name in macro.results:
        yield replace(macro, name=_name(macro.name, name), results=(name,))


def separated(entry: Entry, macros: Mapping[str, MacroText]) -> Iterator[Entry]:
    """Yield the entries that an entry with calls of macros stands for; mostly that is the entry itself.

    Parameters
    ----------
    entry
        The entry.
    macros
        The macros of the file by their canonical names.

    Raises
    ------
    Unservable
        If a call names results that the macro doesn't have.
    """
    left, equals, right = entry.equation.partition("=")
    while equals and (found := _call_with_results(right)) is not None:
        name, opened, colon, closed = found
        arguments, results = right[opened + 1 : colon].strip(), right[colon + 1 : closed].split(",")
        if name == _DELAYP:
            first, comma, time = arguments.rpartition(",")
            if not comma or len(results) != 1:
                raise Unservable("DELAYP takes an input, a delay time and, after a colon, one name")
            start = right[:opened].lower().rindex(_DELAYP)
            right = f"{right[:start]}DELAY3({arguments}){right[closed + 1 :]}"
            rate = f"({first}) - DELAY3({arguments})"
            yield Entry(f"{results[0].strip()} = INTEG({rate}, ({first})*({time}))", "", "", entry.line)
            continue
        macro = macros.get(name)
        if macro is None or len(results) > len(macro.results):
            known = 0 if macro is None else len(macro.results)
            shown = name.upper() if macro is None else macro.name
            raise Unservable(f"{shown} has {known} further results, not {len(results)}")
        right = right[:colon] + right[closed:]
        for result, given in zip(macro.results, results, strict=False):
            call = f"{given.strip()} = {_name(macro.name, result)}({arguments})"
            yield Entry(call, "", "", entry.line)
    yield entry._replace(equation=left + equals + right)


def _name(macro: str, result: str) -> str:
    return f"{plain_name(macro)}$${plain_name(result)}"


def _call_with_results(text: str) -> tuple[str, int, int, int] | None:
    """Return the canonical name of a called macro and the places of its brackets and of its colon.

    Names in quotes, texts in single quotes, which are arguments, and words such as ``:AND:`` are passed over.
    """
    plain = _SKIPPED.sub(lambda found: "_" * len(found[0]), text)
    opened: list[int] = []
    for place, character in enumerate(plain):
        if character == "(":
            opened.append(place)
        elif character == ")" and opened:
            opened.pop()
        elif character == ":" and opened:
            called = _CALLED.search(plain[: opened[-1]])
            closed = _closing(plain, place)
            if called and closed:
                return canonical(called[1]), opened[-1], place, closed
    return None


def _closing(text: str, place: int) -> int:
    """Return the place of the bracket that closes the one around `place`; 0 if none does."""
    depth = 1
    for at in range(place, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return 0
