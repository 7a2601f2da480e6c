"""Thermodynamic binding networks as values: sites on monomers, and constraints on configurations.

`grammar` reads networks from text; `configuration` has the values of their configurations.
"""

from enum import StrEnum

import msgspec

__all__ = ["Constraint", "Keyword", "Monomer", "Network", "Site", "SiteRef"]


class Site(msgspec.Struct, frozen=True):
    """A binding site: its domain, whether it is on the starred side, and its name, if any.

    A site binds one site of the same domain on the other side.
    """

    domain: str
    starred: bool = False
    name: str | None = None

    @property
    def text(self) -> str:
        """The site's type as text: the domain, with a star on the starred side."""
        return f"{self.domain}*" if self.starred else self.domain


class Monomer(msgspec.Struct, frozen=True):
    """A monomer: its sites in the order they were written, and its name, if any."""

    sites: tuple[Site, ...]
    name: str | None = None


class SiteRef(msgspec.Struct, frozen=True, order=True):
    """The place of a site in a network: the index of the monomer, and of the site on it, both from 0."""

    monomer: int
    site: int


class Keyword(StrEnum):
    """The keywords of constraints."""

    TOGETHER = "TOGETHER"
    NOTTOGETHER = "NOTTOGETHER"
    FREE = "FREE"
    NOTFREE = "NOTFREE"
    PAIRED = "PAIRED"
    NOTPAIRED = "NOTPAIRED"
    ANYPAIRED = "ANYPAIRED"
    NOTANYPAIRED = "NOTANYPAIRED"


class Constraint(msgspec.Struct, frozen=True):
    """A demand on a configuration: a keyword and names of monomers or sites."""

    keyword: Keyword
    names: tuple[str, ...]


class Network(msgspec.Struct, frozen=True):
    """A thermodynamic binding network: its monomers, with each copy on its own, and its constraints."""

    monomers: tuple[Monomer, ...]
    constraints: tuple[Constraint, ...] = ()
