"""Counts of monomers and sites, as stable_tbn writes them: ``2[a b >m]`` and ``3(a)``.

A line is a monomer, or a monomer in brackets after a count. A site is ``domain[*][:name]``, or a site in
parentheses after a count. Copies share their monomer's name. stable_tbn has no comments, and allows only
letters, digits and underscores in names; this module also accepts comments, and any characters without a
special meaning here.
"""

import re
from collections.abc import Sequence

from perdure.errors import InvalidCount
from perdure.solvers.binding_networks.lines import Line, Token
from perdure.solvers.binding_networks.monomers import (
    NAME,
    WrittenMonomer,
    WrittenSite,
    read_name,
    read_site,
)

__all__ = ["looks_counted", "read_counted_monomer"]

MOST_DIGITS = 9

COUNTED_MONOMER = re.compile(r"\s*(?P<count>inf|\d*)\[(?P<monomer>.*)\]\s*")
COUNTED_SITE = re.compile(r"(?P<count>\d+)\((?P<site>[^()]*)\)")
OPENING = re.compile(r"(?:inf|\d*)\[")
ENCLOSED = re.compile(r"(?:inf|\d*)\[[^\[\]]*\]|\d+\([^()]*\)")
PIECE = re.compile(r"\d+\([^()]*\)(?=[\s>]|$)|[^\s>]+|>\S*")
BRACKET = re.compile(r"[\[\]()]")


def looks_counted(contents: Sequence[str]) -> bool:
    """Return whether lines, without their comments, are in the syntax with counts.

    A bracket at the start of a line that closes after a space, as in ``2[a b]``, is certainly a count.
    Otherwise ``1[0]`` is a domain if the text uses such a token as one: with a star or a name after the
    bracket, or beside other sites in its line. Otherwise a bracket around a whole line, ``10[a]``, and
    parentheses around a site, ``3(a)``, are counts: as domains they would have nothing to bind.
    """
    lines = [tokens for content in contents if (tokens := content.split())]
    if any(OPENING.match(first) and first.count("[") > first.count("]") for first, *_ in lines):
        return True
    possible = False
    for tokens in lines:
        for token in tokens:
            enclosed = ENCLOSED.match(token)
            if enclosed is None:
                continue
            counts_site = token.endswith(")")
            if enclosed.end() < len(token) or (len(tokens) > 1 and not counts_site):
                return False
            possible = True
    return possible


def read_counted_monomer(line: Line) -> WrittenMonomer | None:
    """Read a line of stable_tbn; None if it is blank."""
    content = line.content
    if not content.strip():
        return None
    counted = COUNTED_MONOMER.fullmatch(content)
    if counted is None:
        return _monomer(line, Token(content, 1), copies=1)
    written = Token(counted["count"], counted.start("count") + 1)
    copies = _count(line, written) if written.text else 1
    return _monomer(line, Token(counted["monomer"], counted.start("monomer") + 1), copies)


def _monomer(line: Line, written: Token, copies: int) -> WrittenMonomer:
    sites: list[WrittenSite] = []
    name: Token | None = None
    for found in PIECE.finditer(written.text):
        piece = Token(found.group(), written.column + found.start())
        if name is not None:
            raise line.wrong(InvalidCount, piece.column, reason="the monomer's name comes last")
        if piece.text.startswith(NAME):
            name = read_name(line, piece)
            _refuse_brackets(line, name)
        else:
            sites.append(_site(line, piece))
    if not sites:
        raise line.wrong(InvalidCount, written.column, reason="the monomer has no sites")
    return WrittenMonomer(sites, name, copies)


def _site(line: Line, piece: Token) -> WrittenSite:
    counted = COUNTED_SITE.fullmatch(piece.text)
    if counted is None:
        _refuse_brackets(line, piece)
        return WrittenSite(read_site(line, piece), piece.column)
    copies = _count(line, Token(counted["count"], piece.column))
    enclosed = counted["site"]
    blank = len(enclosed) - len(enclosed.lstrip())
    inner = Token(enclosed.strip(), piece.column + counted.start("site") + blank)
    if len(inner.text.split()) != 1:
        raise line.wrong(InvalidCount, piece.column, reason="parentheses hold one site, as in 3(a)")
    _refuse_brackets(line, inner)
    return WrittenSite(read_site(line, inner), inner.column, copies)


def _refuse_brackets(line: Line, token: Token) -> None:
    """Refuse a misplaced bracket: one that isn't closed, is within another, or is followed by text."""
    bracket = BRACKET.search(token.text)
    if bracket is not None:
        reason = (
            f"{bracket.group()!r} is out of place; brackets enclose a whole line, as in 2[a b >name], and "
            "parentheses one site, as in 3(a)"
        )
        raise line.wrong(InvalidCount, token.column + bracket.start(), reason=reason)


def _count(line: Line, token: Token) -> int:
    if token.text == "inf":
        reason = "'inf' isn't taken, as every monomer is counted; write a number that is large enough"
        raise line.wrong(InvalidCount, token.column, reason=reason)
    if token.text.startswith("0") or len(token.text) > MOST_DIGITS:
        reason = f"a count is a number from 1 on, of at most {MOST_DIGITS} digits, without leading zeros"
        raise line.wrong(InvalidCount, token.column, reason=reason)
    return int(token.text)
