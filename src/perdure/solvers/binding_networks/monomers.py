"""Reads a monomer from a line of StableConfigs: its sites, and optionally its name at the end."""

from collections.abc import Sequence

import msgspec

from perdure.errors import EmptyMonomerName, InvalidBindingSiteName
from perdure.solvers.binding_networks.lines import Line, Token
from perdure.solvers.binding_networks.network import Site

__all__ = ["NAME", "WrittenMonomer", "WrittenSite", "read_monomer", "read_name", "read_site"]

NAME = ">"
STAR = "*"
COLON = ":"


class WrittenSite(msgspec.Struct, frozen=True):
    """A site, the column it begins at, and its count."""

    site: Site
    column: int
    copies: int = 1


class WrittenMonomer(msgspec.Struct, frozen=True):
    """A monomer, the token that names it, and its count."""

    sites: Sequence[WrittenSite]
    name: Token | None = None
    copies: int = 1


def read_monomer(line: Line) -> WrittenMonomer | None:
    """Read a line of StableConfigs; None if it has no site, even if it has a name."""
    sites: list[WrittenSite] = []
    name = None
    for token in line.tokens():
        if token.text.startswith(NAME):
            name = read_name(line, token)
            break  # StableConfigs ignores text after the name.
        sites.append(WrittenSite(read_site(line, token), token.column))
    return WrittenMonomer(sites, name) if sites else None


def read_site(line: Line, token: Token) -> Site:
    """Read a site; a star after the colon belongs to the name."""
    kind, colon, name = token.text.partition(COLON)
    domain, star, _ = kind.partition(STAR)  # Text between the star and the colon is dropped.
    if not domain or (colon and not name):
        raise line.wrong(InvalidBindingSiteName, token.column)
    return Site(domain, bool(star), name or None)


def read_name(line: Line, token: Token) -> Token:
    """Read a monomer's name: the rest of a token that begins with ``>``."""
    name = token.text.removeprefix(NAME)
    if not name:
        raise line.wrong(EmptyMonomerName, token.column)
    return Token(name, token.column + len(NAME))
