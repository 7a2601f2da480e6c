"""Exactly once: what is repeated under its key is answered again, and goes on with what is missing."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import LASTING, Clock, begun, clock_behind, dialect_on, stepped
from tests.support.bptk_servers import CONFIGURATIONS, MANAGER, client_of
from tests.support.small import bath, catalogue_of

from perdure.dialects.bptk import instance_sessions
from perdure.dialects.bptk.client import BptkClient
from perdure.dialects.bptk.in_process import Bptk
from perdure.dialects.bptk.instance import DIALECT
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.errors import KeyReused, PositionConflict, TooMany
from perdure.run import Key
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.web.auth import LOCAL

SESSION = {"scenario_managers": [MANAGER], "scenarios": ["base"], "equations": ["customers"], "seed": 1}
DURABLE = [name for name in CONFIGURATIONS if name != "memory"]
MONDAY = {"Idempotency-Key": "monday"}
KEY = Key("monday", b"1")


def begin(client: BptkClient) -> str:
    instance: str = client.post("/start-instance").get_json()["instance_uuid"]
    assert client.post(f"/{instance}/begin-session", json=SESSION).status_code == 200
    return instance


# Starting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_an_instance_is_started_once_for_a_key(configuration: str, tmp_path: Path) -> None:
    with client_of(configuration, tmp_path) as client:
        body = {"timeout": {"hours": 1}}
        started = client.post("/start-instance", json=body, headers=MONDAY)
        assert client.post("/start-instance", json=body, headers=MONDAY).data == started.data
        instance = started.get_json()["instance_uuid"]
        assert len(instance) == 32
        for path, other in (
            ("/start-instance", {"timeout": {"hours": 2}}),
            ("/start-instance", None),
            ("/start-instances", body),
        ):
            refused = client.post(path, headers=MONDAY, **({} if other is None else {"json": other}))
            assert refused.status_code == 422, path
            assert "'monday' was used with another request" in refused.get_json()["error"]
        client.post(f"/{instance}/begin-session", json=SESSION)
        client.post(f"/{instance}/run-step")
        assert client.post("/start-instance", json=body, headers=MONDAY).data == started.data
        taken = client.post(f"/{instance}/run-step").get_json()
        assert taken[MANAGER]["base"]["customers"].keys() == {"2.0"}
        assert client.post("/start-instance", json=body).get_json()["instance_uuid"] != instance
        client.post(f"/{instance}/stop-instance")  # the key goes with it
        assert client.post("/start-instance", headers=MONDAY).status_code == 200


@pytest.mark.parametrize("begun_before", [False, True])
@pytest.mark.parametrize("configuration", DURABLE)
def test_a_key_of_starting_is_known_to_the_next_server(
    configuration: str, begun_before: bool, tmp_path: Path
) -> None:
    three = {"instances": 3}
    with client_of(configuration, tmp_path) as client:
        started = client.post("/start-instances", json=three, headers=MONDAY)
        ids = started.get_json()["instance_uuids"]
        if begun_before:
            for instance in ids:
                assert client.post(f"/{instance}/begin-session", json=SESSION).status_code == 200
    with client_of(configuration, tmp_path) as client:
        assert client.post("/start-instances", json={"instances": 2}, headers=MONDAY).status_code == 422
        client.post(f"/{ids[1]}/stop-instance")
        again = client.post("/start-instances", json=three, headers=MONDAY)  # the one that is missing
        assert again.data == started.data
        status = 200 if begun_before else 409
        assert [client.post(f"/{one}/run-step").status_code for one in ids] == [status, 409, status]


def test_what_was_started_under_a_key_stays_and_the_repeated_request_starts_the_rest() -> None:
    class Failing(FaultyAdapter):
        saves = 0

        def _save_instance(self, state: Any) -> None:
            self.saves += 1
            self.fail_before = self.saves == 3
            super()._save_instance(state)

    async def run() -> None:
        adapter = Failing()
        async with dialect_on(MemoryStore(), Clock(), adapter=adapter, max_instances=3) as dialect:
            with pytest.raises(Exception, match="no connection"):
                await dialect.start(LOCAL, 3, LASTING, KEY)
            held = set(adapter.held)
            assert len(held) == 2
            started = await dialect.start(LOCAL, 3, LASTING, KEY)
            assert set(adapter.held) == set(started) > held
            assert await dialect.start(LOCAL, 3, LASTING, KEY) == started  # also when there can be no more
            with pytest.raises(TooMany):
                await dialect.start(LOCAL, 1, LASTING, Key("tuesday", b"1"))

    asyncio.run(run())


def test_requests_at_once_under_one_key_start_the_same_instances() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, Clock(), max_instances=5) as dialect:
            several = await asyncio.gather(*(dialect.start("ada", 5, LASTING, KEY) for _ in range(4)))
            assert several.count(several[0]) == 4
            assert len(store.documents(DIALECT)) == 5
            assert await dialect.start("bob", 5, LASTING, KEY) != several[0]  # a key is its owner's

    asyncio.run(run())


# Streaming --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_stream_is_answered_again_for_its_key(configuration: str, tmp_path: Path) -> None:
    body = {"settings": {MANAGER: {"base": {"constants": {"initial_customers": 5.0}}}}}
    with client_of(configuration, tmp_path) as client:
        instance = begin(client)
        path = f"/{instance}/stream-steps"
        streamed = client.post(path, json=body, headers=MONDAY)
        assert len(streamed.get_json()) == 60
        assert client.post(path, json=body, headers=MONDAY).data == streamed.data
        assert client.post(path, json=body).get_json() == []
        assert client.post(path, json={"settings": {}}, headers=MONDAY).status_code == 422
        assert client.post(f"/{instance}/run-step", json=body, headers=MONDAY).status_code == 422
    if configuration in DURABLE:
        with client_of(configuration, tmp_path) as client:
            assert client.post(path, json=body, headers=MONDAY).data == streamed.data


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_stream_begins_with_the_expected_step_or_not_at_all(configuration: str, tmp_path: Path) -> None:
    with client_of(configuration, tmp_path) as client:
        instance = begin(client)
        path = f"/{instance}/stream-steps"
        client.post(f"/{instance}/run-step")
        for step in (1, 3):
            refused = client.post(path, headers={"Expected-Step": str(step)})
            assert refused.status_code == 409
            assert f"Step {step} was expected next" in refused.get_json()["error"]
        assert client.post(path, headers={"Expected-Step": "x"}).status_code == 400
        streamed = client.post(path, json={"settings": {}, "expectedStep": 2}, headers=MONDAY)
        assert len(streamed.get_json()) == 59
        again = client.post(path, json={"settings": {}, "expectedStep": 2}, headers=MONDAY)
        assert again.data == streamed.data


async def streamed(
    dialect: InstanceSessions, instance: str, key: Key | None = KEY, at_most: int = 100_000
) -> Any:
    """Return the positions that a stream answers; its client goes away after `at_most` or a few more."""
    taken: list[int] = []
    given = {"bath": {"base": {"constants": {"tap": 3.0}}}}
    async with aclosing(dialect.stream(LOCAL, instance, given, None, key)) as answers:
        async for answer in answers:
            taken += [step.position for step in answer.steps]
            if len(taken) >= at_most:
                break
    return taken


@pytest.mark.parametrize("kind", ["store", "adapter", "externalized"])
def test_a_stream_that_was_broken_off_goes_on_where_it_was(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = None if kind == "store" else FaultyAdapter()
    catalogue = catalogue_of(bath(stoptime=99.0))

    def store() -> Store:
        return SqliteStore(tmp_path / "perdure.db") if kind == "store" else MemoryStore()

    async def run() -> None:
        instance = ""
        for at_once, most in ((16, 20), (5, 47), (16, 60), (16, 1000), (1, 1000)):
            monkeypatch.setattr(instance_sessions, "STREAMED_AT_ONCE", at_once)
            opened = store()
            async with dialect_on(
                opened,
                clock_behind(),
                catalogue=catalogue,
                adapter=adapter,
                externalize=kind == "externalized",
            ) as dialect:
                instance = instance or await begun(dialect, LOCAL)
                positions = await streamed(dialect, instance, at_most=most)
                assert positions == list(range(1, len(positions) + 1))
                assert min(most, 100) <= len(positions) <= 100
                log = await dialect.log(LOCAL, instance)
                assert log is not None
                given = [step.position for page in log.pages() for step in page if step.inputs is not None]
                assert given == [1]  # what it sets is logged once
                with pytest.raises(KeyReused):
                    await streamed(dialect, instance, Key("monday", b"2"))
            opened.close()

    asyncio.run(run())


def test_a_stream_counts_as_one_request_of_those_whose_keys_are_held() -> None:
    async def run() -> None:
        adapter = FaultyAdapter()
        catalogue = catalogue_of(bath(stoptime=99.0))
        async with dialect_on(MemoryStore(), Clock(), catalogue=catalogue, adapter=adapter) as dialect:
            instance = await begun(dialect, LOCAL)
            await streamed(dialect, instance)
            (group,) = json.loads(adapter.held[instance])[0]["keys"]
            assert (group["text"], group["ordinal"], group["count"]) == ("monday", 0, 100)

    asyncio.run(run())


def test_a_step_between_ends_a_stream_that_is_repeated() -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), Clock()) as dialect:
            instance = await begun(dialect, LOCAL)
            first = await streamed(dialect, instance, at_most=10)
            await stepped(dialect, instance, LOCAL)
            again: list[int] = []
            with pytest.raises(PositionConflict):
                async for answer in dialect.stream(LOCAL, instance, {}, None, KEY):
                    again += [step.position for step in answer.steps]
            assert again == first

    asyncio.run(run())


# Sessions ---------------------------------------------------------------------------------------------------


def test_what_was_begun_and_stepped_under_a_key_is_answered_whatever_is_configured_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    five, tuesday = {"numberSteps": 5, "settings": {}}, {"Idempotency-Key": "tuesday"}
    with client_of("perdure serve", tmp_path) as client:
        instance = client.post("/start-instance").get_json()["instance_uuid"]
        begun_ = client.post(f"/{instance}/begin-session", json=SESSION, headers=MONDAY)
        taken = client.post(f"/{instance}/run-steps", json=five, headers=tuesday)
        assert len(taken.get_json()) == 5

    def others() -> Bptk:
        made = Bptk()
        made.register_model(bath())
        return made

    monkeypatch.setenv("PERDURE_MAX_STEPS_PER_REQUEST", "3")
    with client_of("perdure serve", tmp_path, others) as client:
        for path, body, headers, answer in (
            ("begin-session", SESSION, MONDAY, begun_),
            ("run-steps", five, tuesday, taken),
        ):
            again = client.post(f"/{instance}/{path}", json=body, headers=headers)
            assert (again.status_code, again.data) == (200, answer.data)
        assert client.post(f"/{instance}/begin-session", json=SESSION).status_code == 404
        wrong = client.post(f"/{instance}/begin-session", json={**SESSION, "seed": 2}, headers=MONDAY)
        assert wrong.status_code == 422
        assert client.post(f"/{instance}/run-steps", json=five).status_code != 200
