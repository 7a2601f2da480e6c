"""Configurations of a network as values: polymers of monomers that bonds hold together.

Nothing here computes: configurations are found by `solving` and verified by `certificate`.
"""

import msgspec

from perdure.solvers.binding_networks.network import SiteRef

__all__ = ["Bond", "Configuration", "Polymer"]


class Bond(msgspec.Struct, frozen=True, order=True):
    """Two sites of one domain that hold each other, the unstarred one first."""

    unstarred: SiteRef
    starred: SiteRef


class Polymer(msgspec.Struct, frozen=True):
    """Monomers that belong together, by ascending index in the network, and the bonds between their sites."""

    monomers: tuple[int, ...]
    bonds: tuple[Bond, ...] = ()


class Configuration(msgspec.Struct, frozen=True):
    """A partition of a network's monomers into polymers."""

    polymers: tuple[Polymer, ...]
