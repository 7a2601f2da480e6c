"""The answers of `GET /status`, with their status codes, for each state of a task."""

from typing import Any

from perdure.drivers.stable_configurations import NETWORK_ERROR
from perdure.drivers.tasks import TaskView
from perdure.errors import EarlyTermination
from perdure.lifecycle import FINAL, DesiredState, Outcome

__all__ = ["ended", "under_way"]


def under_way(view: TaskView) -> tuple[int, dict[str, Any]]:
    """Return the answer for a task that waits or is worked on; 203 while it is being terminated."""
    assert view.run.state not in FINAL, "a task that has ended has an answer of its own"
    count, k = _reached(view)
    status = 203 if view.execution.desired is DesiredState.STOPPED else 202
    return status, {"status": "Progress", "count": count, "k": k}


def ended(view: TaskView) -> tuple[int, dict[str, Any]]:
    """Return the answer for a task that has ended.

    For a task that timed out, it has the bounds and the best configurations so far.
    """
    match view.run.outcome:
        case Outcome.SUCCEEDED:
            return 200, {**view.result, "status": "COMPLETE"}
        case Outcome.TIMED_OUT:
            message = f"SoftTimeLimitExceeded: {view.run.reason}"
            return 400, {**_best(view.result), "status": "TimedOut", "message": message}
        case Outcome.TERMINATED:
            count, k = _reached(view)
            text = str(EarlyTermination(count=count, min_polymers=k))
            return 401, {"status": "TBNException", "message": text}
    code, _, text = view.run.reason.partition(": ")
    if code == NETWORK_ERROR:
        return 401, {"status": "TBNException", "message": text}
    return 402, {"status": "Exception", "message": view.run.reason}


def _reached(view: TaskView) -> tuple[int, int]:
    report = view.progress or {}
    return report.get("count", 0), report.get("k", 0)


def _best(result: dict[str, Any] | None) -> dict[str, Any]:
    """Return what was known when time was up: next to nothing if the process had only just started."""
    return result or {"configs": [], "count": 0, "entropy": None, "optimum": None, "lower": 0, "upper": None}
