"""The thermodynamic binding network, as values: sites on monomers, and what is demanded of a configuration.

How a network is written as text is `grammar`; what it settles into is `configuration`.
"""

from enum import StrEnum

import msgspec

__all__ = ["Constraint", "Keyword", "Monomer", "Network", "Site", "SiteRef"]


class Site(msgspec.Struct, frozen=True):
    """A binding site: its domain, whether it is the starred side of it, and its name, if it has one.

    A site binds one site of the same domain on the other side.
    """

    domain: str
    starred: bool = False
    name: str | None = None

    @property
    def text(self) -> str:
        """Its type as it is written: the domain, with a star on the starred side."""
        return f"{self.domain}*" if self.starred else self.domain


class Monomer(msgspec.Struct, frozen=True):
    """A monomer: its sites in the order they were written, and its name, if it has one."""

    sites: tuple[Site, ...]
    name: str | None = None


class SiteRef(msgspec.Struct, frozen=True, order=True):
    """A site of a network by place: the monomer's index and the site's index on it, both from 0."""

    monomer: int
    site: int


class Keyword(StrEnum):
    """What a constraint can demand."""

    TOGETHER = "TOGETHER"
    NOTTOGETHER = "NOTTOGETHER"
    FREE = "FREE"
    NOTFREE = "NOTFREE"
    PAIRED = "PAIRED"
    NOTPAIRED = "NOTPAIRED"
    ANYPAIRED = "ANYPAIRED"
    NOTANYPAIRED = "NOTANYPAIRED"


class Constraint(msgspec.Struct, frozen=True):
    """A demand on a configuration: a keyword and the names of the monomers or sites it is about."""

    keyword: Keyword
    names: tuple[str, ...]


class Network(msgspec.Struct, frozen=True):
    """A thermodynamic binding network: every monomer, copies one by one, and the constraints on it."""

    monomers: tuple[Monomer, ...]
    constraints: tuple[Constraint, ...] = ()
