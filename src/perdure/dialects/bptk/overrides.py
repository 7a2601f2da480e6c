"""Overrides: the ``settings`` of a client, without those that the models don't have.

BPTK's clients send settings for constants, points and scenarios that a model doesn't have, and their requests
succeed. So these are ignored and logged. The engine refuses wrong values.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from perdure.dialects.bptk.mistakes import BptkError
from perdure.errors import suggest
from perdure.late_logger import LateLogger
from perdure.scenarios import Scenario

__all__ = ["Overrides", "known_overrides", "overrides_of"]

Overrides = dict[str, dict[str, dict[str, Any]]]
"""Manager → scenario → kind of what is set → name → value; for whole runs also ``runspecs``."""

_LONGEST_NAME = 200  # characters of a name in a log line

log = LateLogger(__name__)


def overrides_of(settings: Any) -> Overrides:
    """Return the settings of a body if they have the form manager → scenario → object; null means none."""
    if settings is None:
        return {}
    return {
        manager: {
            scenario: dict(_mapping(given, f"settings of {scenario!r:.80}"))
            for scenario, given in _mapping(scenarios, f"settings of {manager!r:.80}").items()
        }
        for manager, scenarios in _mapping(settings, "settings").items()
    }


def known_overrides(
    overrides: Overrides,
    scenarios: Iterable[Scenario],
    *,
    run_specs: bool = False,
) -> Overrides:
    """Return the overrides that some scenarios have, and log the others.

    Parameters
    ----------
    scenarios
        The scenarios that can have settings.
    run_specs
        Whether ``runspecs`` are allowed.
    """
    models = {(scenario.manager, scenario.name): scenario.model for scenario in scenarios}
    known: Overrides = {}
    ignored: list[_Ignored] = []
    for manager, of_manager in overrides.items():
        for scenario, given in of_manager.items():
            model = models.get((manager, scenario))
            if model is None:
                there = [] if ignored else [name for of, name in models if of == manager]
                ignored.append(_Ignored(manager, scenario, "scenario", scenario, there))
                continue
            settable = {**model.settable, **({"runspecs": None} if run_specs else {})}
            kept = _known(manager, scenario, given, settable, ignored)
            if kept:
                known.setdefault(manager, {})[scenario] = kept
    if ignored:  # one line, however many there are
        first = ignored[0]
        log.warning(
            "setting_ignored",
            count=len(ignored),
            manager=first.manager[:_LONGEST_NAME],
            scenario=first.scenario[:_LONGEST_NAME],
            what=first.what[:_LONGEST_NAME],
            name=first.name[:_LONGEST_NAME],
            meaning=f"there is none of that name.{suggest(first.name, first.there)}",
        )
    return known


class _Ignored(NamedTuple):
    """An ignored setting: where it is given, what it sets, its name, and the names that there are."""

    manager: str
    scenario: str
    what: str
    name: str
    there: Iterable[str]


def _known(
    manager: str,
    scenario: str,
    given: Mapping[str, Any],
    settable: Mapping[str, Collection[str] | None],
    ignored: list[_Ignored],
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for kind, values in given.items():
        if kind not in settable:
            ignored.append(_Ignored(manager, scenario, "setting", kind, settable))
            continue
        values = {} if values is None else _mapping(values, f"{kind} of {scenario!r:.80}")
        there = settable[kind]
        if there is None:
            kept[kind] = values
            continue
        # The engine refuses elements that aren't constants: to ignore them would mislead.
        unknown = [name for name in values if name not in there]
        ignored += [_Ignored(manager, scenario, kind, name, there) for name in unknown]
        found = {name: value for name, value in values.items() if name in there}
        if found:
            kept[kind] = found
    return kept


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BptkError(400, f"expecting {what} to be an object")
    return value
