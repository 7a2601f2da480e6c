"""A body says when there is something to do for runs that nobody works on."""

from perdure.execution.body import Body
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.stores.queue import ANY_TAG, QueueGroup

LIVE = sorted(set(RunStatus) - FINAL)


def group(desired: DesiredState, state: RunStatus) -> QueueGroup:
    return QueueGroup(ANY_TAG, "task", desired, state, False, "")


def claimed(body: Body) -> set[tuple[DesiredState, RunStatus]]:
    """Return the states wanted, and those of runs, in which a body has something to do."""
    return {
        (desired, state) for desired in DesiredState for state in LIVE if body.claims(group(desired, state))
    }


def test_a_run_that_is_wanted_started_is_worked_on() -> None:
    body = Body(path="tests.support.bodies:run")
    assert claimed(body) == {(DesiredState.STARTED, state) for state in LIVE}


def test_a_new_run_that_is_wanted_paused_is_begun_where_bodies_prepare_themselves() -> None:
    body = Body(path="tests.support.bodies:run", begins_paused=True)
    started = {(DesiredState.STARTED, state) for state in LIVE}
    assert claimed(body) == started | {(DesiredState.PAUSED, RunStatus.CREATED)}


def test_a_run_whose_work_was_broken_off_is_left_where_it_is_not_resumed() -> None:
    body = Body(path="tests.support.bodies:run", resumes=False)
    assert claimed(body) == {
        (DesiredState.STARTED, RunStatus.CREATED),
        (DesiredState.STARTED, RunStatus.PAUSED),
    }
    assert body.is_interrupted(group(DesiredState.STARTED, RunStatus.STARTED))


def test_nothing_is_done_where_runs_wait() -> None:
    assert claimed(Body(path="tests.support.bodies:run", begins_paused=True, waits=True)) == set()
