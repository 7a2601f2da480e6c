"""The law of the mirror: whatever fails, a client that repeats its requests gets the same numbers."""

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.adapters import FaultyAdapter
from tests.support.mirrored import Inside

from perdure.drivers.session_requests import NewSession
from perdure.errors import ExternalStateUnavailable
from perdure.run import Key

NEW = NewSession(scenarios={"bath": ["base", "full"]}, outputs=["water"], dt=1.0, seed=3)

WHAT = st.sampled_from(["before", "after", "before, unreadable", "after, unreadable", "dies", "forgets"])
TROUBLES = st.lists(st.tuples(st.integers(1, 4), st.lists(WHAT, max_size=4)), min_size=1, max_size=6)


def given_at(number: int) -> Any:
    return {"bath": {"base": {"constants": {"tap": float(number)}}}} if number % 2 else {}


@settings(max_examples=60, deadline=None)
@given(compress=st.booleans(), troubles=TROUBLES)
def test_every_step_is_taken_once_with_the_same_numbers(
    compress: bool, troubles: list[tuple[int, list[str]]]
) -> None:
    async def body() -> None:
        calm = Inside(FaultyAdapter())
        calm_instance = await calm.begin(await calm.start(), NEW)
        adapter = FaultyAdapter(compress)
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), NEW)
        for number, (steps, whats) in enumerate(troubles):
            key = Key(f"request {number}", b"")
            for what in whats:
                if what == "dies":
                    await inside.aclose()
                    inside = Inside(adapter)
                    assert await inside.load(instance.id) == instance
                elif what == "forgets":
                    await inside.forget(instance)
                    assert await inside.load(instance.id) == instance
                else:
                    adapter.fail_before = what.startswith("before")
                    adapter.fail_after = what.startswith("after")
                    adapter.fail_loading = what.endswith("unreadable")
                    with suppress(ExternalStateUnavailable):
                        await inside.step(instance, given_at(number), key, steps)
                    adapter.fail_before = adapter.fail_after = adapter.fail_loading = False
            rows = await inside.step(instance, given_at(number), key, steps)
            assert repr(rows) == repr(await calm.step(calm_instance, given_at(number), key, steps))
        await inside.aclose()
        inside = Inside(adapter)
        assert await inside.load(instance.id) == instance
        assert repr(await inside.log(instance)) == repr(await calm.log(calm_instance))
        await inside.aclose()
        await calm.aclose()

    asyncio.run(body())
