"""Solutions of networks: configurations, bounds on the optimum, and their status.

`solving` finds solutions, `certificate` verifies them.
"""

from enum import StrEnum

import msgspec

from perdure.solvers.binding_networks.configuration import Configuration
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.picture import Picture

__all__ = ["Solution", "Status"]


class Status(StrEnum):
    """The status of a solution."""

    OPTIMAL = "optimal"  # the optimum is proved
    BOUNDED = "bounded"  # time ran out: lower <= optimum <= upper
    UNSATISFIABLE = "unsatisfiable"  # no saturated configuration satisfies all constraints


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The solution of a network.

    Attributes
    ----------
    network
        The network.
    status
        Whether the optimum is proved.
    configurations
        Distinct configurations, those with the most polymers first; if time ran out, the best found.
    lower, upper
        Bounds on the number of polymers of a best configuration under the constraints; equal if proved.
    entropy
        The number of polymers of a best configuration without the constraints; None if not proved in time.
    exhausted
        Whether `configurations` has every configuration of the requested levels, and of the lower levels that
        were needed for the requested number.
    total
        The number of distinct configurations of the requested levels, if it was requested or is known.
    conflict
        For an unsatisfiable network: the indices of constraints that can't hold together.
    bound_source
        What proves `upper`, in words.
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
        """Return a configuration, by default the first, as a picture for a notebook or a file."""
        return Picture(self.network, self.configurations[which], title)

    def _repr_svg_(self) -> str | None:
        """Return the first configuration as a picture; without any, notebooks show the solution as text."""
        return self.picture().svg if self.configurations else None
