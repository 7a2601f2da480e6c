"""Overrides: the ``settings`` of a client, without those that the models don't have.

BPTK's clients send settings for constants, points and scenarios that a model doesn't have, and their requests
succeed. So these are ignored and logged. The engine refuses wrong values.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog

from perdure.dialects.bptk.mistakes import BptkError
from perdure.errors import suggest
from perdure.scenarios import Scenario

__all__ = ["Overrides", "known_overrides", "overrides_of"]

Overrides = dict[str, dict[str, dict[str, Any]]]
"""Manager → scenario → kind of what is set → name → value; for whole runs also ``runspecs``."""

_LONGEST_NAME = 200  # characters of a name in a log line

log = structlog.get_logger(__name__)


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
    ignored = _Ignored()
    for manager, of_manager in overrides.items():
        for scenario, given in of_manager.items():
            model = models.get((manager, scenario))
            if model is None:
                known_there = [name for of, name in models if of == manager] if ignored.count == 0 else ()
                ignored.add(manager, scenario, "scenario", scenario, known_there)
                continue
            settable = {**model.settable, **({"runspecs": None} if run_specs else {})}
            kept = _known(manager, scenario, given, settable, ignored)
            if kept:
                known.setdefault(manager, {})[scenario] = kept
    ignored.log()
    return known


class _Ignored:
    """The ignored settings of one request: the first of them, and their number."""

    def __init__(self) -> None:
        self.count = 0
        self._first: dict[str, str] = {}

    def add(self, manager: str, scenario: str, what: str, name: str, there: Iterable[str]) -> None:
        """Record one setting; `there` are the names that exist."""
        self.count += 1
        if self.count == 1:
            meaning = f"there is none of that name.{suggest(name, there)}"
            self._first = {"manager": manager, "scenario": scenario, "what": what, "name": name}
            self._first = {key: value[:_LONGEST_NAME] for key, value in self._first.items()}
            self._first["meaning"] = meaning

    def log(self) -> None:
        """Log one line, however many there are."""
        if self.count:
            log.warning("setting_ignored", count=self.count, **self._first)


def _known(
    manager: str,
    scenario: str,
    given: Mapping[str, Any],
    settable: Mapping[str, Collection[str] | None],
    ignored: _Ignored,
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for kind, values in given.items():
        if kind not in settable:
            ignored.add(manager, scenario, "setting", kind, settable)
            continue
        values = {} if values is None else _mapping(values, f"{kind} of {scenario!r:.80}")
        there = settable[kind]
        if there is None:
            kept[kind] = values
            continue
        # The engine refuses elements that aren't constants: to ignore them would mislead.
        for name in values:
            if name not in there:
                ignored.add(manager, scenario, kind, name, there)
        found = {name: value for name, value in values.items() if name in there}
        if found:
            kept[kind] = found
    return kept


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BptkError(400, f"expecting {what} to be an object")
    return value
