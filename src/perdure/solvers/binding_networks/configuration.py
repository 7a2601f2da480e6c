"""Configurations of a network as values: polymers of monomers that bonds hold together.

`solving` finds configurations, `certificate` verifies them.
"""

import msgspec

from perdure.solvers.binding_networks.network import SiteRef

__all__ = ["Bond", "Configuration", "Polymer"]


class Bond(msgspec.Struct, frozen=True, order=True):
    """A bond of two sites of one domain, the unstarred one first."""

    unstarred: SiteRef
    starred: SiteRef


class Polymer(msgspec.Struct, frozen=True):
    """A polymer: its monomers, by ascending index in the network, and the bonds between their sites."""

    monomers: tuple[int, ...]
    bonds: tuple[Bond, ...] = ()


class Configuration(msgspec.Struct, frozen=True):
    """A partition of a network's monomers into polymers."""

    polymers: tuple[Polymer, ...]
