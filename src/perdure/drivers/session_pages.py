"""Pages of a session's step log: the steps, and those of them that were given settings. Blocking."""

from perdure.drivers.session_requests import Given, SettingsPage, StepLogPage, StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.step_inputs import Inputs, decode_inputs
from perdure.run import Run
from perdure.stores.base import Store

__all__ = ["read_settings", "read_step_log"]

_LOOKED_THROUGH = 10_000  # steps that one page of settings looks through at most
_READ_AT_ONCE = 1000  # steps


def read_step_log(store: Store, run: Run, after: int, limit: int, max_values: int) -> StepLogPage:
    """Return up to `limit` steps of a session after a position, but at least one, with up to `max_values`."""
    spec = SessionSpec.from_blob(run.spec)
    values = sum(len(scenario.outputs) for scenario in spec.scenarios)
    limit = max(1, min(limit, max_values // max(1, values)))
    steps = [
        Given(StepRows.of(step), decode_inputs(step.inputs).inputs)
        for step in store.steps(run.id, after, limit)
    ]
    return StepLogPage(run, spec, steps)


def read_settings(store: Store, run: Run, after: int, limit: int) -> SettingsPage:
    """Return up to `limit` steps of a session after a position that were given settings.

    A page looks through a limited number of steps, so that it may be short, or even empty.
    """
    spec = SessionSpec.from_blob(run.spec)
    changes: list[tuple[int, Inputs]] = []
    end = min(run.position, after + _LOOKED_THROUGH)
    while after < end and len(changes) < limit:
        steps = store.steps(run.id, after, min(_READ_AT_ONCE, end - after))
        if not steps:  # the run has been deleted meanwhile
            break
        for step in steps:
            after = step.position
            if step.inputs is not None and (inputs := decode_inputs(step.inputs).inputs):
                changes.append((after, inputs))
                if len(changes) == limit:
                    break
    return SettingsPage(spec, changes, after if after < run.position else None)
