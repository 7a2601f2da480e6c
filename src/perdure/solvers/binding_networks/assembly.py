"""Configurations put together from the divisions of components, with bonds, and verified."""

from collections.abc import Sequence

from perdure.errors import CertificateFailed
from perdure.solvers.binding_networks.bonding import Bonding
from perdure.solvers.binding_networks.certificate import verify
from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.optimum import Division, Question
from perdure.solvers.binding_networks.satisfiability import holding_together
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Assembly"]


class Assembly:
    """Makes configurations of a network whose components are asked about by some questions."""

    def __init__(self, network: Network, questions: Sequence[Question], *, connected: bool) -> None:
        self._network, self._connected = network, connected
        self._bondings = [Bonding(each.network, each.monomers, each.demands) for each in questions]
        self._bonds: dict[tuple[int, ...], tuple[Bond, ...]] = {}

    def configuration(self, divisions: Sequence[Division]) -> Configuration:
        """Return the configuration of one division of each component, its polymers by first monomer.

        Raises
        ------
        CertificateFailed
            It isn't what was asked for: the solver is wrong.
        """
        polymers = [
            Polymer(monomers, self._bonds_of(bonding, monomers))
            for bonding, division in zip(self._bondings, divisions, strict=True)
            for monomers in division
        ]
        configuration = Configuration(tuple(sorted(polymers, key=lambda polymer: polymer.monomers)))
        verify(self._network, configuration, connected=self._connected)
        return configuration

    def _bonds_of(self, bonding: Bonding, monomers: tuple[int, ...]) -> tuple[Bond, ...]:
        if monomers not in self._bonds:
            matching = bonding.match(monomers)
            if matching is not None and self._connected and not bonding.exchange(monomers, matching):
                matching = holding_together(bonding, monomers, Watch())
            if matching is None:
                raise CertificateFailed(reason=f"monomers {list(monomers)} can't be one polymer")
            self._bonds[monomers] = bonding.bonds(matching)
        return self._bonds[monomers]
