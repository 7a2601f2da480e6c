"""Files of binding networks: reads them, and writes them in either syntax.

A network consists of two texts, its monomers and its constraints; the constraints are the same in both
syntaxes.
"""

import re
from itertools import groupby
from pathlib import Path

from perdure.errors import NotWritable
from perdure.solvers.binding_networks.grammar import Syntax, parse_network
from perdure.solvers.binding_networks.network import Monomer, Network, Site

__all__ = ["load_network", "write_constraints", "write_monomers"]

LINE_END = re.compile(r"\r\n|\r|\n")

# Characters that can't be within a name of a domain, a site or a monomer.
RESERVED = {
    Syntax.STABLECONFIGS: {"domain": re.compile(r"[\s*:#]|^>"), "name": re.compile(r"[\s#]")},
    Syntax.STABLE_TBN: {"domain": re.compile(r"[\s*:#>\[\]()]"), "name": re.compile(r"[\s#>\[\]()]")},
}


def load_network(
    monomers: str | Path, constraints: str | Path | None = None, *, syntax: Syntax | None = None
) -> Network:
    """Read a network from a file or a text, and its constraints from another.

    Parameters
    ----------
    monomers, constraints
        A path to read, or the text itself as a string.
    syntax
        As for `parse_network`.

    Examples
    --------
    >>> len(load_network("3[a b]").monomers)
    3
    """
    return parse_network(_lines(monomers), _lines(constraints or ""), syntax=syntax)


def write_monomers(network: Network, syntax: Syntax = Syntax.STABLECONFIGS) -> str:
    """Return the text of a network's monomers, in their order.

    Raises
    ------
    NotWritable
        A name has a character with a meaning in the syntax, or several monomers share a name, which
        StableConfigs doesn't support.
    """
    names: set[str] = set()
    lines = []
    for monomer, alike in groupby(network.monomers):
        copies = len(list(alike))
        if not monomer.sites:
            raise NotWritable(what="monomer", name=monomer.name, syntax=syntax, reason="it has no sites")
        if syntax is Syntax.STABLE_TBN:
            written = _with_counts(monomer)
            lines.append(f"{copies}[{written}]" if copies > 1 else written)
            continue
        if monomer.name is not None and (copies > 1 or monomer.name in names):
            reason = "several monomers have it"
            raise NotWritable(what="monomer name", name=monomer.name, syntax=syntax, reason=reason)
        names |= {monomer.name} if monomer.name is not None else set()
        tokens = [_token(site, syntax) for site in monomer.sites] + _name(monomer, syntax)
        lines += [" ".join(tokens)] * copies
    return "".join(f"{line}\n" for line in lines)


def write_constraints(network: Network) -> str:
    """Return the text of a network's constraints, in their order."""
    return "".join(f"{' '.join((each.keyword, *each.names))}\n" for each in network.constraints)


def _with_counts(monomer: Monomer) -> str:
    tokens = []
    for site, alike in groupby(monomer.sites):
        copies = len(list(alike))
        token = _token(site, Syntax.STABLE_TBN)
        tokens.append(f"{copies}({token})" if copies > 1 else token)
    return " ".join(tokens + _name(monomer, Syntax.STABLE_TBN))


def _token(site: Site, syntax: Syntax) -> str:
    _refuse_reserved("domain", site.domain, syntax)
    if site.name is None:
        return site.text
    _refuse_reserved("site name", site.name, syntax)
    return f"{site.text}:{site.name}"


def _name(monomer: Monomer, syntax: Syntax) -> list[str]:
    if monomer.name is None:
        return []
    _refuse_reserved("monomer name", monomer.name, syntax)
    return [f">{monomer.name}"]


def _refuse_reserved(what: str, name: str, syntax: Syntax) -> None:
    found = RESERVED[syntax]["domain" if what == "domain" else "name"].search(name)
    if found or not name:
        reason = f"{found.group()!r} has a meaning of its own there" if found else "it is empty"
        raise NotWritable(what=what, name=name, syntax=syntax, reason=reason)


def _lines(text: str | Path) -> list[str]:
    if isinstance(text, Path):
        text = text.read_text(encoding="utf-8-sig")
    return LINE_END.split(text)
