"""Binding networks for clients that show them: their texts are checked, and what tasks found is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perdure.drivers.stable_configurations import (
    DIALECT_TASK,
    TASK,
    StableConfigsQuestion,
    StableConfigurationsQuestion,
)
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import ConfigurationNotFound, LimitExceeded, NetworkError, WrongKind
from perdure.solvers.binding_networks.answer import tokens_of
from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.formats import LINE_END
from perdure.solvers.binding_networks.grammar import Syntax, parse_network, parse_tokens, syntax_of
from perdure.solvers.binding_networks.network import Network, SiteRef
from perdure.solvers.binding_networks.picture import draw

__all__ = ["CheckedNetwork", "check_network", "picture_of"]

MAX_DRAWN_SITES = 2_000
"""Sites of a network whose configurations are drawn: more can't be told apart, and take seconds."""


class CheckedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a network found.

    Attributes
    ----------
    syntax
        The syntax that the monomers are written in.
    monomers, sites, domains, constraints
        How many there are, copies counted; 0 if the network is wrong.
    error
        The first error; None if the network is right.
    """

    syntax: Syntax
    monomers: int = 0
    sites: int = 0
    domains: int = 0
    constraints: int = 0
    error: NetworkError | None = None


def check_network(monomers: str, constraints: str = "") -> CheckedNetwork:
    """Check the two texts of a network, as `parse_network` reads them."""
    lines = LINE_END.split(monomers)
    syntax = syntax_of(lines)
    try:
        network = parse_network(lines, LINE_END.split(constraints), syntax=syntax)
    except NetworkError as error:
        return CheckedNetwork(syntax=syntax, error=error)
    sites = [site for monomer in network.monomers for site in monomer.sites]
    return CheckedNetwork(
        syntax=syntax,
        monomers=len(network.monomers),
        sites=len(sites),
        domains=len({site.domain for site in sites}),
        constraints=len(network.constraints),
    )


def picture_of(run_id: str, spec: TaskSpec, result: Any, number: int) -> str:
    """Return a configuration that a task has found, as SVG.

    Parameters
    ----------
    spec, result
        The task's, and its result, also a partial one; None if there is none.
    number
        The configuration's, from 1.

    Raises
    ------
    WrongKind
        If the task isn't one of binding networks.
    ConfigurationNotFound
        If it has found fewer configurations.
    LimitExceeded
        If the network has more than 2,000 sites.
    """
    if spec.task not in (TASK.name, DIALECT_TASK.name):
        raise WrongKind(run=run_id, kind=f"task {spec.task!r}", wanted="tasks of binding networks")
    found = [] if result is None else result["configs"]
    if not 1 <= number <= len(found):
        raise ConfigurationNotFound(run=run_id, number=number, found=len(found))
    network = _network(spec)
    sites = sum(len(monomer.sites) for monomer in network.monomers)
    if sites > MAX_DRAWN_SITES:
        raise LimitExceeded(
            f"A network that is drawn may have at most {MAX_DRAWN_SITES} sites, not {sites}; read its "
            "configurations as JSON instead.",
            what="A drawn network",
            limit=MAX_DRAWN_SITES,
            value=sites,
        )
    return draw(network, _configuration(network, found[number - 1]), title=f"Configuration {number}")


def _network(spec: TaskSpec) -> Network:
    if spec.task == TASK.name:
        return StableConfigurationsQuestion.model_validate_json(spec.input).network()
    question = StableConfigsQuestion.model_validate_json(spec.input)
    return parse_tokens(question.monomers, question.constraints)


def _configuration(network: Network, found: Mapping[str, Any]) -> Configuration:
    """Return a configuration of a network from the tokens of its monomers; copies are interchangeable."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for index, monomer in reversed(list(enumerate(network.monomers))):
        alike.setdefault(tuple(tokens_of(monomer)), []).append(index)
    polymers: list[Polymer] = []
    for monomers, bonds in zip(found["polymers"], found["bonds"], strict=True):
        members = [alike[tuple(tokens)].pop() for tokens in monomers]
        joined = tuple(Bond(_site(members, one), _site(members, other)) for one, other in bonds)
        polymers.append(Polymer(tuple(sorted(members)), joined))
    return Configuration(tuple(polymers))


def _site(members: Sequence[int], place: Sequence[int]) -> SiteRef:
    monomer, site = place
    return SiteRef(members[monomer], site)
