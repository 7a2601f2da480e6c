"""A solution as JSON: the object that StableConfigs returns, and the fields that Perdure adds.

Monomers are echoed as lists of tokens in the order they were written: sites with their star and name, then
``>name`` of the monomer.
"""

from typing import Any

from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.network import Monomer, Network
from perdure.solvers.binding_networks.solution import Solution, Status

__all__ = ["completed", "in_detail", "tokens_of"]


def completed(solution: Solution) -> dict[str, Any]:
    """Return a solution as StableConfigs' HTTP interface documents it.

    `entropy` is the number of polymers of a best configuration without the constraints; a configuration under
    constraints may have fewer. An unsatisfiable network has no configurations.
    """
    return {
        "status": "COMPLETE",
        "configs": [
            {
                "polymers": [_polymer(solution.network, polymer) for polymer in each.polymers],
                "polymers_count": len(each.polymers),
            }
            for each in solution.configurations
        ],
        "count": len(solution.configurations),
        "entropy": solution.entropy,
    }


def in_detail(solution: Solution) -> dict[str, Any]:
    """Return a solution as `completed` does, with what is known of its optimum, and its bonds.

    Adds `optimum` (null if not proved), `lower`, `upper`, `bound_source`, `total`, `exhausted` and `conflict`
    (constraints that can't hold together), and to each configuration `bonds`, a list for each polymer. A bond
    is two places ``[monomer, site]``, counted from 0 in the polymer and in the monomer, the unstarred site
    first. When time ran out, `status` is ``TimedOut``.
    """
    answer = completed(solution)
    if solution.status is Status.BOUNDED:
        answer["status"] = "TimedOut"
    for written, configuration in zip(answer["configs"], solution.configurations, strict=True):
        written["bonds"] = _bonds(configuration)
    return answer | {
        "optimum": solution.optimum,
        "lower": solution.lower,
        "upper": solution.upper,
        "bound_source": solution.bound_source,
        "total": solution.total,
        "exhausted": solution.exhausted,
        "conflict": [
            [str(constraint.keyword), *constraint.names]
            for constraint in (solution.network.constraints[index] for index in solution.conflict)
        ],
    }


def tokens_of(monomer: Monomer) -> list[str]:
    """Return a monomer as its tokens."""
    sites = [f"{site.text}:{site.name}" if site.name is not None else site.text for site in monomer.sites]
    return sites if monomer.name is None else [*sites, f">{monomer.name}"]


def _polymer(network: Network, polymer: Polymer) -> list[list[str]]:
    return [tokens_of(network.monomers[index]) for index in polymer.monomers]


def _bonds(configuration: Configuration) -> list[list[list[list[int]]]]:
    return [[_places(polymer, bond) for bond in polymer.bonds] for polymer in configuration.polymers]


def _places(polymer: Polymer, bond: Bond) -> list[list[int]]:
    return [[polymer.monomers.index(ref.monomer), ref.site] for ref in (bond.unstarred, bond.starred)]
