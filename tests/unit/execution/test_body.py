"""A body says when there is something to do for a run that nobody works on."""

import pytest

from perdure.execution.body import Body
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.testing.store_samples import a_run, an_execution


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", sorted(FINAL))
def test_there_is_nothing_to_do_for_a_run_that_has_ended(state: RunState, wanted: Wanted) -> None:
    body = Body(path="tests.support.bodies:run", begins_paused=True)
    assert not body.is_due(a_run(state=state), an_execution("run", wanted=wanted))


def test_a_run_that_is_wanted_started_is_due_until_it_ends() -> None:
    body = Body(path="tests.support.bodies:run")
    execution = an_execution("run", wanted=Wanted.STARTED)
    assert {state for state in RunState if body.is_due(a_run(state=state), execution)} == set(
        RunState
    ) - FINAL
