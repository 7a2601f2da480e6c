"""Assembles configurations from the divisions of components, adds bonds, and verifies them."""

from collections.abc import Sequence
from operator import attrgetter

from perdure.errors import CertificateFailed
from perdure.solvers.binding_networks.bonding import Bonding
from perdure.solvers.binding_networks.certificate import Verifier
from perdure.solvers.binding_networks.configuration import Configuration, Polymer
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.optimum import Division, Question
from perdure.solvers.binding_networks.satisfiability import holding_together
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Assembly"]


class Assembly:
    """Makes configurations of a network from divisions of the components in `questions`."""

    def __init__(self, network: Network, questions: Sequence[Question], *, connected: bool) -> None:
        self._connected = connected
        self._verifier = Verifier(network, connected=connected)
        self._bondings = [Bonding(each.network, each.monomers, each.demands) for each in questions]
        self._polymers: dict[tuple[int, ...], Polymer] = {}

    def configuration(self, divisions: Sequence[Division]) -> Configuration:
        """Return the configuration of one division of each component, its polymers by first monomer.

        Raises
        ------
        CertificateFailed
            The configuration is wrong: the solver has an error.
        """
        polymers = [
            self._polymers.get(monomers) or self._polymer(bonding, monomers)
            for bonding, division in zip(self._bondings, divisions, strict=True)
            for monomers in division
        ]
        configuration = Configuration(tuple(sorted(polymers, key=attrgetter("monomers"))))
        self._verifier.verify(configuration)
        return configuration

    def _polymer(self, bonding: Bonding, monomers: tuple[int, ...]) -> Polymer:
        matching = bonding.match(monomers)
        if matching is not None and self._connected and not bonding.exchange(monomers, matching):
            matching = holding_together(bonding, monomers, Watch())
        if matching is None:
            raise CertificateFailed(reason=f"monomers {list(monomers)} can't be one polymer")
        made = self._polymers[monomers] = Polymer(monomers, bonding.bonds(matching))
        return made
