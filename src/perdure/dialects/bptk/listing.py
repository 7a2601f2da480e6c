"""Lists of managers, scenarios and equations, as BPTK-Py returns and prints them."""

from collections.abc import Iterable, Sequence

from perdure.errors import Invalid
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.manager import Manager

__all__ = ["by_manager", "is_of_type", "print_equations", "print_scenarios", "scenario_names"]

_TYPES = ("", "sd", "abm")
_KINDS = ("stock", "flow", "biflow", "converter", "constant", "output", "input")


def is_of_type(manager: Manager, type: str) -> bool:
    """Return whether a manager is of a type: ``sd``, ``abm``, or nothing for any."""
    if type not in _TYPES:
        raise Invalid(f"A type of managers is 'sd', 'abm' or '', not {type!r}.")
    of_agents = isinstance(manager.model, AgentModel)
    return type in ("", "abm" if of_agents else "sd")


def scenario_names(catalogue: Catalogue, managers: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return manager → names of its scenarios; no managers mean all."""
    return {name: list(catalogue.manager(name).scenarios) for name in managers or list(catalogue.managers)}


def by_manager(scenarios: Iterable[Scenario]) -> dict[str, list[str]]:
    """Return manager → names of these scenarios."""
    names: dict[str, list[str]] = {}
    for scenario in scenarios:
        names.setdefault(scenario.manager, []).append(scenario.name)
    return names


def print_scenarios(catalogue: Catalogue, managers: Sequence[str], type: str) -> None:
    """Print the scenarios of each manager of a type.

    No managers mean all, also those that can't be served.
    """
    for manager, names in scenario_names(catalogue, managers).items():
        if is_of_type(catalogue.manager(manager), type):
            print("\n".join([f"*** {manager} ***", *(f"\t{name}" for name in names)]))
    for manager, reason in () if managers else catalogue.unusable.items():
        print(f"*** {manager} can't be served: {reason} ***")


def print_equations(scenarios: Iterable[Scenario]) -> None:
    """Print the elements of each scenario, by kind."""
    for scenario in scenarios:
        print(f"{scenario.manager}, {scenario.name}:")
        for kind in _KINDS:
            for name in sorted(scenario.model.elements.get(kind, ())):
                print(f"\t{kind}:\t{name}")
