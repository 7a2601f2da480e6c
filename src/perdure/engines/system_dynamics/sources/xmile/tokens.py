"""Tokens: the words, numbers and signs of an XMILE equation.

Source: XMILE 1.0, sections 3.2 and 3.3. A name is in quotes if it has other characters than letters, digits,
``_``, ``$`` and ``.``; in quotes, ``\\n`` is a line break and ``\\"`` a quote. Comments are in braces.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from perdure.engines.system_dynamics.sources.problems import Unservable

__all__ = ["Token", "is_plain", "tokens_of"]

Kind: TypeAlias = Literal["number", "name", "quoted", "sign", "end"]


class Token(NamedTuple):
    """A token: its kind and its text; names are without quotes, words that are operators in small letters."""

    kind: Kind
    text: str


_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | (?P<call>(?:if[ _]then[ _]else|sample[ _]if[ _]true)(?=\s*\())
    | (?P<name>(?:[^\W\d]|[$.]|[^\x00-\x7f\s])(?:[\w$.]|[^\x00-\x7f\s]|\\n|(?<=\w)'(?=\w))*)
    | (?P<sign><=|>=|<>|!=|==|\*\*|//|&&|\|\||[-+*/^()\[\],:;=<>~!&|])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SAME = {
    "==": "=",
    "!=": "<>",
    "**": "^",
    "~": "not",
    "!": "not",
    "&": "and",
    "&&": "and",
    "|": "or",
    "||": "or",
}
_WORDS = frozenset({"and", "or", "not", "mod", "if", "then", "else"})
_RESERVED = _WORDS | {"time", "dt", "starttime", "stoptime", "pi", "inf", "nan", "self"}


def is_plain(name: str) -> bool:
    """Return whether a name needs no quotes in an equation."""
    return re.fullmatch(r"[^\W\d]\w*", name, re.ASCII) is not None and name.lower() not in _RESERVED


def tokens_of(equation: str) -> Iterator[Token]:
    """Yield the tokens of an equation, and at last an ``end``.

    Raises
    ------
    Unservable
        If a character is no part of an equation, or a quote or a comment doesn't end.
    """
    text = _without_comments(equation)
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Unservable(
                "a quoted name doesn't end" if text[at] == '"' else f"{text[at]!r} is no part of an equation"
            )
        at = found.end()
        kind = found.lastgroup
        word = found.group(kind or 0)
        if kind == "number":
            yield Token("number", word)
        elif kind == "quoted":
            yield Token("quoted", word.replace('\\"', '"').replace("\\\\", "\\"))
        elif kind == "sign":
            yield Token("sign", _SAME.get(word, word))
        elif kind == "call":  # a function of Vensim, see `converted`
            yield Token("name", word)
        elif kind == "name":
            small = word.lower()
            yield Token("sign", small) if small in _WORDS else Token("name", word)
    yield Token("end", "")


def _without_comments(equation: str) -> str:
    """Return an equation without its comments, which may hold others; quoted names keep their braces."""
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for character in equation:
        if quoted:
            kept.append(character)
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            kept.append(" ")
        elif not depth:
            kept.append(character)
            quoted = character == '"'
    if depth:
        raise Unservable("a comment doesn't end")
    return "".join(kept)
