"""Everything that says what a session answers next says the same."""

import asyncio
import json

import pytest
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import LASTING, clock_behind, dialect_on, stepped
from tests.support.small import bath, catalogue_of

from perdure.dialects.bptk.answers import metrics_entry
from perdure.dialects.bptk.session_clock import bounds
from perdure.dialects.bptk.session_json import state_entry
from perdure.drivers.session_requests import NewSession
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL


@pytest.mark.parametrize("dt", [None, 3.0])
def test_metrics_saved_state_and_adapter_agree_on_the_next_time(dt: float | None) -> None:
    async def run() -> None:
        specs = {"runspecs": {"starttime": 5.3, "stoptime": 90.3, "dt": 0.1}}
        catalogue = catalogue_of(bath(), late=specs)
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock_behind(), catalogue=catalogue, adapter=adapter) as dialect:
            (instance_id,) = await dialect.start(LOCAL, 1, LASTING)
            new = NewSession(scenarios={"bath": ["base", "late"]}, outputs=["water"], dt=dt, seed=1)
            await dialect.begin_session(LOCAL, instance_id, lambda new=new: new)
            for number in range(1, 8):
                times = await stepped(dialect, instance_id, LOCAL)
                (instance,) = await dialect.own(LOCAL)
                found = await dialect.current_run(instance)
                log = await dialect.log(LOCAL, instance_id)
                assert found is not None and log is not None
                state, _, _, step = json.loads(adapter.held[instance_id])
                entry = json.loads(b"".join(state_entry(instance, log)))
                expected = round(5.3 + number * (dt or 0.1), 1)  # from the latest start on
                assert {
                    metrics_entry(instance, found)["step"],
                    entry["step"],
                    entry["state"]["step"],
                    state["step"],
                    step,
                } == {expected}
                assert times[1] == pytest.approx(expected - (dt or 0.1))
            assert bounds(log.spec) == (5.3, 90.3, dt or 0.1)
            assert [state[name] for name in ("starttime", "stoptime", "dt")] == list(bounds(log.spec))

    asyncio.run(run())
