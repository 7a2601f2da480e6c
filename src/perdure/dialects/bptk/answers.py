"""The shapes of BPTK's answers: manager → scenario → equation → time → value, of what the drivers answer.

What concerns agents is under ``agents``.

A value that isn't finite is null, as JSON has no number for it.
"""

from datetime import datetime
from typing import Any

from perdure.dialects.bptk.agent_answers import agent_time, is_of_agents, of_step
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.session_clock import digits_of, next_time, time_text
from perdure.drivers.live_session import Row
from perdure.drivers.session_requests import Answer
from perdure.drivers.session_spec import SessionSpec
from perdure.run import Run

__all__ = ["STOPTIME_REACHED", "Tree", "metrics_entry", "step_results", "step_tree"]

STOPTIME_REACHED = {"msg": "Stoptime reached"}

Tree = dict[str, dict[str, Any]]


def step_results(answer: Answer, *, flat: bool) -> list[Tree]:
    """Return what each step of an answer came to; flat leaves the times out."""
    digits = digits_of(answer.spec)
    return [step_tree(answer.spec, digits, step.rows, flat=flat) for step in answer.steps]


def step_tree(
    spec: SessionSpec, digits: list[int], rows: list[Row | None], *, flat: bool, texts: bool = True
) -> Tree:
    """Return what one step came to; a scenario that has stopped is left out.

    Parameters
    ----------
    flat
        Whether the times are left out.
    texts
        Whether the times are texts, as in JSON, and not numbers.
    """
    results: Tree = {}
    for scenario, places, row in zip(spec.scenarios, digits, rows, strict=True):
        if row is not None:
            names, answered = scenario.outputs, row[1:]
            values: dict[str, Any] = {
                name: value for name, value in zip(names, answered, strict=True) if not is_of_agents(name)
            }
            if not flat:
                time = time_text(row[0], places) if texts else round(row[0], places)
                values = {name: {time: value} for name, value in values.items()}
            if len(values) < len(names):
                at = agent_time(row[0], places) if texts else round(row[0], places or None)
                values["agents"] = of_step(names, answered, None if flat else at)
            results.setdefault(scenario.manager, {})[scenario.scenario] = values
    return results


def metrics_entry(instance: Instance, run: Run) -> dict[str, Any]:
    """Return what the metrics say of an instance with a session."""
    return {
        "startTime": str(datetime.fromtimestamp(instance.accessed)),
        "step": next_time(SessionSpec.from_blob(run.spec), run.position),
    }
