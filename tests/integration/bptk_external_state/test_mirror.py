"""The mirror: what was acknowledged is outside, comes back bit for bit, and memory never runs ahead."""

import asyncio
import json
from contextlib import suppress

import pytest
import structlog.testing
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import begun, clock_behind, dialect_on, stepped
from tests.support.mirrored import BOTH, SETTINGS, Inside, run, undisturbed
from tests.support.small import NEW

from perdure.errors import ExternalStateRefused, ExternalStateUnavailable, RunNotFound
from perdure.run import Key
from perdure.stores.memory import MemoryStore


@pytest.mark.parametrize("compress", [False, True])
def test_a_session_loaded_afresh_before_every_step_answers_like_an_undisturbed_one(compress: bool) -> None:
    async def body() -> None:
        adapter = FaultyAdapter(compress)
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.aclose()
        for number in range(1, 11):
            inside = Inside(adapter)
            loaded = await inside.load(instance.id)
            assert loaded == instance
            await inside.step(loaded, SETTINGS.get(number))
            log = await inside.log(loaded)
            await inside.aclose()
        assert log == await undisturbed(10)

    run(body)


def test_an_idempotency_key_is_known_after_a_reload_also_of_many_steps_and_of_the_session() -> None:
    async def body() -> None:
        adapter, key, begun = FaultyAdapter(), Key("once", b"body"), Key("begun", b"new")
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH, begun)
        await inside.step(instance, SETTINGS[2])
        rows = await inside.step(instance, SETTINGS[4], key, steps=5)
        await inside.aclose()

        inside = Inside(adapter)
        loaded = await inside.load(instance.id)
        assert loaded is not None
        assert await inside.step(loaded, SETTINGS[4], key, steps=5) == rows
        assert len(await inside.log(loaded)) == 6
        again = await inside.sessions.create("local", BOTH, begun)
        assert (again.run.id, again.replayed) == (loaded.run, True)
        await inside.aclose()

    run(body)


def test_a_session_that_has_ended_comes_back_ended() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), NEW)
        await inside.step(instance)
        assert instance.run is not None
        stopped = await inside.sessions.stop("local", instance.run)
        await inside.mirror.save(instance)
        await inside.aclose()
        inside = Inside(adapter)
        await inside.load(instance.id)
        loaded = inside.store.run(stopped.id)
        assert (loaded.state, loaded.outcome, loaded.reason, loaded.position, loaded.created) == (
            stopped.state,
            stopped.outcome,
            stopped.reason,
            1,
            stopped.created,
        )
        await inside.aclose()

    run(body)


def test_an_adapter_that_fails_before_it_saved_leaves_the_session_at_the_former_step() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        former = await inside.log(instance)
        adapter.fail_before = True
        for _ in range(3):
            with pytest.raises(ExternalStateUnavailable, match="no connection"):
                await inside.step(instance, SETTINGS[2], Key("again", b""))
            assert await inside.log(instance) == former
        adapter.fail_before = False
        await inside.step(instance, SETTINGS[2], Key("again", b""))
        assert await inside.log(instance) == await undisturbed(2)
        await inside.aclose()

    run(body)


def test_an_adapter_that_fails_after_it_saved_keeps_the_new_step() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        adapter.fail_after = True
        with pytest.raises(ExternalStateUnavailable, match="TimeoutError"):
            await inside.step(instance, SETTINGS[2], Key("again", b""))
        adapter.fail_after = False
        rows = await inside.step(instance, SETTINGS[2], Key("again", b""))
        assert [rows[0]] == [(await undisturbed(2))[1][0]]
        assert await inside.log(instance) == await undisturbed(2)
        await inside.aclose()

    run(body)


def test_after_an_adapter_could_neither_save_nor_load_the_session_is_where_it_holds_it() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        adapter.fail_after = adapter.fail_loading = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.step(instance, SETTINGS[2])
        with pytest.raises(ExternalStateUnavailable):
            await inside.log(instance)
        adapter.fail_after = adapter.fail_loading = False
        assert await inside.log(instance) == await undisturbed(2)
        again = Inside(adapter)
        loaded = await again.load(instance.id)
        assert loaded is not None
        assert await again.log(loaded) == await undisturbed(2)
        await inside.aclose()
        await again.aclose()

    run(body)


def test_what_could_not_be_started_or_begun_or_ended_is_as_it_was() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        adapter.fail_before = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.start()
        assert inside.store.documents("bptk") == []
        adapter.fail_before = False
        instance = await inside.start()
        adapter.fail_before = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.begin(instance)
        assert await inside.load(instance.id) == instance
        assert inside.store.runs() == []
        adapter.fail_before = False
        begun = await inside.begin(instance, BOTH)
        await inside.step(begun)
        adapter.fail_before = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.keep(instance)  # ended
        assert await inside.load(instance.id) == begun
        with pytest.raises(ExternalStateUnavailable):
            await inside.begin(begun)  # replaced
        assert await inside.load(instance.id) == begun
        assert len(await inside.log(begun)) == 1
        assert len(inside.store.runs()) == 1
        await inside.aclose()

    run(body)


def test_when_the_former_run_is_gone_the_instance_is_loaded_anew() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        begun = await inside.begin(await inside.start(), BOTH)
        await inside.step(begun)
        assert begun.run is not None
        await inside.sessions.delete(None, begun.run)
        adapter.fail_before = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.begin(begun)
        assert inside.in_memory(begun.id) is None
        assert await inside.load(begun.id) == begun
        assert await inside.log(begun) == await undisturbed(1)
        await inside.aclose()

    run(body)


def test_a_client_that_goes_away_does_not_stop_a_save() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock_behind(), adapter=adapter) as dialect:
            instance = await begun(dialect, "local")
            held = adapter.held[instance]
            request = asyncio.create_task(stepped(dialect, instance, "local"))
            await asyncio.sleep(0)
            request.cancel()
            with suppress(asyncio.CancelledError):
                await request
            assert await stepped(dialect, instance, "local") == [1.0]
        assert adapter.held[instance] != held

    run(body)


def test_an_adapter_is_called_on_one_thread_only() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        await inside.open()
        instances = [await inside.begin(await inside.start()) for _ in range(4)]
        await asyncio.gather(*(inside.step(instance) for instance in instances))
        await inside.mirror.save_all(instances)
        await inside.load("unknown")
        await inside.load_all()
        await inside.mirror.delete(instances[0].id)
        await inside.aclose()
        assert len(adapter.threads) == 1
        assert {"save", "load", "list", "delete"} <= set(adapter.calls)

    run(body)


def test_a_forgotten_instance_is_loaded_again() -> None:
    async def body() -> None:
        inside = Inside(FaultyAdapter())
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        await inside.forget(instance)
        assert inside.in_memory(instance.id) is None
        assert inside.store.runs() == []
        assert instance.run is not None
        with pytest.raises(RunNotFound):
            inside.store.run(instance.run)
        assert await inside.load(instance.id) == instance
        await inside.step(instance, SETTINGS[2])
        assert await inside.log(instance) == await undisturbed(2)
        await inside.aclose()

    run(body)


def test_at_start_everything_is_loaded_and_a_failure_is_lived_with() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instances = [await inside.begin(await inside.start()), await inside.start()]
        await inside.aclose()
        inside = Inside(adapter)
        assert sorted(await inside.open(), key=lambda i: i.id) == sorted(instances, key=lambda i: i.id)
        assert await inside.load_all() == []
        await inside.aclose()
        adapter.fail_listing = True
        inside = Inside(adapter)
        assert await inside.open() == []
        assert await inside.load(instances[0].id) == instances[0]
        with pytest.raises(ExternalStateUnavailable):
            await inside.load_all()
        adapter.fail_listing = False
        assert await inside.load_all() == [instances[1]]
        await inside.aclose()

    run(body)


def test_what_is_damaged_is_refused_and_the_others_are_loaded() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        good, damaged = await inside.begin(await inside.start()), await inside.begin(await inside.start())
        await inside.aclose()
        held = adapter.held[damaged.id]
        adapter.held[damaged.id] = held.replace('"equations"', '"equation"')
        inside = Inside(adapter)
        assert await inside.open() == [good]
        with pytest.raises(ExternalStateRefused, match="equations"):
            await inside.load(damaged.id)
        assert adapter.held[damaged.id] == held.replace('"equations"', '"equation"')
        await inside.aclose()

    run(body)


def test_an_unknown_instance_is_none_and_a_failing_adapter_is_unavailable() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        assert await inside.load("nobody") is None
        adapter.fail_loading = True
        with pytest.raises(ExternalStateUnavailable):
            await inside.load("nobody")
        await inside.aclose()

    run(body)


def test_the_state_is_plain_json_and_complete_in_itself() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.start()
        state, _, timeout, step = json.loads(adapter.held[instance.id])
        assert (state, timeout["hours"], step) == (None, 12, None)
        instance = await inside.begin(instance, BOTH)
        await inside.step(instance)
        await inside.step(instance, SETTINGS[2], Key("k", b"b"))
        state, _, _, step = json.loads(adapter.held[instance.id])
        assert step == state["step"] == 2.0
        assert state["scenario_managers"] == ["bath"]
        assert state["scenarios"] == ["base", "full"]
        assert state["equations"] == ["water", "inflow"]
        assert state["settings_log"] == {"2": SETTINGS[2]}
        assert state["results_log"]["bath"]["base"]["times"] == [0.0, 1.0]
        assert (state["seed"], state["owner"]) == (7, "local")
        assert [key["text"] for key in state["keys"]] == ["k"]
        assert set(state["engine_states"]["states"]) == {"bath/base", "bath/full"}
        assert state["engine_states"]["position"] == 0  # the schedule asked for no other savepoint
        await inside.aclose()

    run(body)


def test_a_full_memory_of_keys_keeps_the_latest_requests() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        for number in range(40):
            await inside.step(instance, None, Key(f"k{number}", b""))
        state = json.loads(adapter.held[instance.id])[0]
        assert [key["text"] for key in state["keys"]] == [f"k{number}" for number in range(8, 40)]
        await inside.aclose()

    run(body)


def test_a_shared_adapter_is_looked_at_when_it_starts_and_nothing_stays_in_memory() -> None:
    async def body() -> None:
        adapter = FaultyAdapter()
        inside = Inside(adapter)
        await inside.begin(await inside.start(), BOTH)
        await inside.start()
        damaged = await inside.begin(await inside.start())
        await inside.aclose()
        adapter.held[damaged.id] = adapter.held[damaged.id].replace('"equations"', '"equation"')
        inside = Inside(adapter, shared=True)
        for look in (inside.open, inside.load_all):
            adapter.calls.clear()
            with structlog.testing.capture_logs() as lines:
                assert await look() == []
            assert "list" in adapter.calls
            assert {line["event"]: line.get("instance") for line in lines} == {
                "external_state_refused": damaged.id,
                "external_state_listed": None,
            }
            assert inside.store.runs() == inside.store.documents("bptk") == []
        # Now and then only their times are looked at.
        assert len(await inside.mirror.survey(check=False)) == 3
        await inside.aclose()

    run(body)
