"""The solution of a network: configurations, bounds on the optimum, and what they are worth.

Solutions are found by `solving` and verified by `certificate`.
"""

from enum import StrEnum

import msgspec

from perdure.solvers.binding_networks.configuration import Configuration
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.picture import Picture

__all__ = ["Solution", "Status"]


class Status(StrEnum):
    """What an answer is worth."""

    OPTIMAL = "optimal"  # the optimum is proved
    BOUNDED = "bounded"  # time ran out: lower <= optimum <= upper
    UNSATISFIABLE = "unsatisfiable"  # no saturated configuration keeps all constraints


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a network.

    Attributes
    ----------
    network
        What was asked about.
    status
        What the answer is worth.
    configurations
        Distinct, those with the most polymers first; when time ran out, the best seen.
    lower, upper
        Bounds on the number of polymers of a best configuration under the constraints; equal if proved.
    entropy
        The number of polymers of a best configuration without the constraints; None if not proved in time.
    exhausted
        Whether `configurations` holds every configuration of the levels asked for, and of those below that
        were needed for as many as were asked for.
    total
        The number of distinct configurations of the levels asked for, if it was asked for or is known.
    conflict
        For an unsatisfiable network: the indices of constraints that can't be kept together, as few as found.
    bound_source
        In words: what proves `upper`.
    """

    network: Network
    status: Status
    configurations: tuple[Configuration, ...] = ()
    lower: int = 0
    upper: int
    entropy: int | None = None
    exhausted: bool = False
    total: int | None = None
    conflict: tuple[int, ...] = ()
    bound_source: str = ""

    @property
    def optimum(self) -> int | None:
        """The number of polymers of a best configuration, if it is proved."""
        return self.lower if self.status is Status.OPTIMAL else None

    def picture(self, which: int = 0, title: str = "") -> Picture:
        """Return one of the configurations, the first by default, as a picture for a notebook or a file."""
        return Picture(self.network, self.configurations[which], title)

    def _repr_svg_(self) -> str | None:
        """Show the first configuration in a notebook; without any, the notebook shows the solution's text."""
        return self.picture().svg if self.configurations else None
