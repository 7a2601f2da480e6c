"""The adapters for PostgreSQL and Redis: servers that share one lose no update, and read BPTK-Py's data."""

import asyncio
import datetime
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_files import BATH, catalogue, from_the_start
from tests.support.mirrored import Inside, bath_with_curve
from tests.support.waiting import until

from perdure.bptk import BptkServer, PostgresAdapter, RedisAdapter
from perdure.dialects.bptk.client import BptkClient
from perdure.dialects.bptk.external_state import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.timeouts import checked_timeout
from perdure.errors import ExternalStateChanged, ExternalStateRefused, Invalid

RECORDS = Path(__file__).parents[2] / "fixtures" / "bptk" / "records"
NOW = datetime.datetime(2030, 1, 2, 3, 4, 5)
ID, OTHER = "0123456789abcdef" * 2, "f" * 32
BEGIN = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"], "seed": 5}

Make = Callable[..., ExternalStateAdapter]


@pytest.fixture(params=["postgres", "redis"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make adapters with a client each of one storage."""
    opened: list[Any] = []
    url = request.getfixturevalue("postgres" if request.param == "postgres" else "redis_url")

    def adapter(compress: bool = True) -> ExternalStateAdapter:
        if request.param == "postgres":
            opened.append(psycopg.connect(url))
            return PostgresAdapter(opened[-1], compress)
        opened.append(redis.from_url(url))
        return RedisAdapter(opened[-1], compress)

    yield adapter
    for client in opened:
        client.close()


def instance(state: Any = None, instance_id: str = ID, step: float | None = None) -> InstanceState:
    return InstanceState(state, instance_id, NOW, checked_timeout({"minutes": 1.5}), step)


def opened(adapter: ExternalStateAdapter, *, shared: bool = True) -> ExternalStateAdapter:
    adapter._open(shared)
    return adapter


def server(adapter: ExternalStateAdapter, externalize: bool) -> BptkServer:
    return BptkServer(
        "test", bath_with_curve, external_state_adapter=adapter, externalize_state_completely=externalize
    )


def begun(client: BptkClient) -> str:
    found: str = client.post("/start-instance").get_json()["instance_uuid"]
    assert client.post(f"/{found}/begin-session", json=BEGIN).status_code == 200
    return found


def times(client: BptkClient, instance_id: str) -> list[float]:
    results = client.get(f"/{instance_id}/session-results").get_json()
    return [float(time) for time in results["bath"]["base"]["equations"]["water"]]


# One adapter ------------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_with_fractional_steps_and_timeouts(make: Make) -> None:
    state = {"x": [0.1, 1e300, -0.0, 5e-324], "ü": {"n": 10**30, "s": "NaN\0"}}
    saving, loading = opened(make()), opened(make())
    saving._save_state([instance(state, ID, 2.25), instance(None, OTHER)])
    loaded = loading._load_instance(ID)
    assert loaded is not None
    assert repr(loaded.state) == repr(state)
    assert (loaded.instance_id, loaded.step, loaded.timeout) == (ID, 2.25, instance().timeout)
    assert isinstance(loaded.time, datetime.datetime)
    assert loaded.time.timestamp() == NOW.timestamp()
    assert [held.instance_id for held in loading._load_state()] == [ID, OTHER]
    loading.delete_instance(ID)
    loading.delete_instance(ID)
    assert saving._load_instance(ID) is None
    assert [held.instance_id for held in loading._load_state()] == [OTHER]


@pytest.mark.parametrize("name", ["", "a\0b", "a*", "' OR 1=1 --", "ü" * 300])
def test_any_text_can_be_asked_for(make: Make, name: str) -> None:
    adapter = opened(make())
    adapter._save_instance(instance())
    assert adapter._load_instance(name) is None
    adapter.delete_instance(name)
    adapter._expire_instance(name)
    assert adapter._load_instance(ID) is not None


def test_an_instance_that_another_adapter_has_changed_is_not_overwritten(make: Make) -> None:
    one, two = opened(make()), opened(make())
    one._save_instance(instance({"n": 1}, step=1.5))
    assert two._load_instance(ID) is not None
    one._save_instance(instance({"n": 2}, step=2.0))
    one._save_instance(instance({"n": 3}, step=2.0))  # at the same step, as the begin of a session is
    for attempt in (two._save_instance, opened(make())._save_instance):
        with pytest.raises(ExternalStateChanged):
            attempt(instance({"n": "lost"}, step=2.0))
    with pytest.raises(ExternalStateChanged):
        two._expire_instance(ID)
    held = two._load_instance(ID)
    assert held is not None
    assert held.state == {"n": 3}
    two._save_instance(instance({"n": 4}, step=2.25))
    with pytest.raises(ExternalStateChanged):
        one._save_instance(instance({"n": "lost"}, step=2.25))
    two.delete_instance(ID)
    with pytest.raises(ExternalStateChanged):
        one._save_instance(instance({"n": "revived"}, step=3.0))
    one._expire_instance(ID)
    one._save_instance(instance({"n": "new"}))


def test_after_its_lock_an_adapter_remembers_nothing_of_an_instance(make: Make) -> None:
    adapter = opened(make())
    unlock = adapter._lock_instance(ID)
    adapter._save_instance(instance({"n": 1}))
    unlock()
    with pytest.raises(ExternalStateChanged):
        adapter._save_instance(instance({"n": 2}))
    assert len(adapter._load_state()) == 1
    with pytest.raises(ExternalStateChanged):  # a list of all doesn't count as loading one
        adapter._save_instance(instance({"n": 2}))


# Servers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("externalize", [True, False])
def test_of_forty_concurrent_updates_at_two_servers_none_is_lost(make: Make, externalize: bool) -> None:
    with (
        server(make(), externalize).test_client() as one,
        server(make(), externalize).test_client() as two,
        ThreadPoolExecutor(8) as threads,
    ):
        instance_id = begun(one)

        def step(number: int) -> float:
            answer = (one, two)[number % 2].post(f"/{instance_id}/run-step")
            assert answer.status_code == 200, answer.text
            (time,) = answer.get_json()["bath"]["base"]["water"]
            return float(time)

        answered = sorted(threads.map(step, range(40)))
        assert answered == [float(time) for time in range(40)]
        assert two.post(f"/{instance_id}/keep-alive").status_code == 200  # which reads it again
        assert times(two, instance_id) == answered


@pytest.mark.parametrize("externalize", [True, False])
def test_whatever_two_servers_change_the_other_goes_on_from(make: Make, externalize: bool) -> None:
    with (
        server(make(), externalize).test_client() as one,
        server(make(False), externalize).test_client() as two,
    ):
        instance_id = begun(one)
        settings = {"settings": {"bath": {"base": {"constants": {"tap": 3.0}}}}}
        first = [
            client.post(f"/{instance_id}/run-step", json=given).get_json()
            for client, given in ((two, settings), (one, {}), (two, {}))
        ]
        assert two.post(f"/{instance_id}/begin-session", json=BEGIN).status_code == 200
        again = [
            client.post(f"/{instance_id}/run-step", json=given).get_json()
            for client, given in ((one, settings), (two, {}), (one, {}))
        ]
        assert again == first
        one.post(f"/{instance_id}/end-session")
        assert two.post(f"/{instance_id}/run-step").status_code == 409
        assert two.post(f"/{instance_id}/begin-session", json=BEGIN).status_code == 200
        one.post(f"/{instance_id}/stop-instance")
        assert two.post(f"/{instance_id}/run-step").status_code == 404
        assert two.post(f"/{instance_id}/begin-session", json=BEGIN).status_code == 404


@pytest.mark.parametrize("externalize", [True, False])
def test_requests_with_a_key_are_executed_once_by_two_servers(make: Make, externalize: bool) -> None:
    with (
        server(make(), externalize).test_client() as one,
        server(make(), externalize).test_client() as two,
        ThreadPoolExecutor(2) as threads,
    ):

        def both(path: str, key: str, **body: Any) -> list[Any]:
            def ask(client: BptkClient) -> Any:
                return client.post(path, headers={"Idempotency-Key": key}, **body)

            answers = list(threads.map(ask, (one, two)))
            assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
            return [answer.get_json() for answer in answers]

        started = both("/start-instance", "start")
        assert started[0] == started[1]
        instance_id = started[0]["instance_uuid"]
        both(f"/{instance_id}/begin-session", "begin", json=BEGIN)
        for number in range(4):
            first, second = both(
                f"/{instance_id}/run-steps", f"step-{number}", json={"numberSteps": 2, "settings": {}}
            )
            assert first == second
        one.post(f"/{instance_id}/keep-alive")
        assert times(one, instance_id) == [float(time) for time in range(8)]


def test_a_stream_that_another_server_steps_into_ends_without_a_gap(make: Make) -> None:
    with (
        server(make(), True).test_client() as one,
        server(make(), True).test_client() as two,
        ThreadPoolExecutor(1) as threads,
    ):
        made: str = one.post("/start-instance").get_json()["instance_uuid"]
        assert one.post(f"/{made}/begin-session", json=BEGIN).status_code == 200
        stream = threads.submit(one.post, f"/{made}/stream-steps")
        try:
            until(lambda: "bath" in two.get(f"/{made}/session-results").get_json())  # the stream has begun
            stepped = []
            while not stream.done():
                answer = two.post(f"/{made}/run-step")
                if answer.status_code == 200:
                    stepped += [float(time) for time in answer.get_json()["bath"]["base"]["water"]]
                    break
            streamed = [
                float(time)
                for chunk in json.JSONDecoder().raw_decode(_closed(stream.result().text))[0]
                if "bath" in chunk
                for time in chunk["bath"]["base"]["water"]
            ]
            assert streamed == [float(time) for time in range(len(streamed))]
            assert sorted({*streamed, *stepped}) == times(two, made)
        finally:
            two.post(f"/{made}/stop-instance")  # ends the stream, which has many steps before it


def _closed(text: str) -> str:
    """Return the JSON list of a stream that may have been broken off."""
    return text if text.rstrip().endswith("]") else text.rstrip().rstrip(",") + "]"


# BPTK-Py's data ---------------------------------------------------------------------------------------------


RECORDED = sorted(path.stem for path in RECORDS.glob("*.json"))


def put(name: str, url: str, instead: str | None = None) -> tuple[str, float]:
    """Store a record as BPTK-Py did, with another text of the session; return its id and its next step."""
    held = json.loads((RECORDS / f"{name}.json").read_text())
    if "redis" in name:
        value = json.loads(held["value"])
        value["state"] = instead or value["state"]
        with redis.from_url(url) as client:
            client.set(held["key"], json.dumps(value))
        return held["key"].rpartition(":")[2], value["step"]
    state, *others = held["row"]
    with psycopg.connect(url) as connection:
        connection.execute(held["table"])
        marks = ", ".join(["%s"] * len(held["row"]))
        connection.execute(f"INSERT INTO state VALUES ({marks})", (instead or state, *others))
    return others[0], others[-1]


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_of_bptk_is_taken_over_and_goes_on_like_a_run_from_the_start(
    request: pytest.FixtureRequest, name: str
) -> None:
    url = request.getfixturevalue("redis_url" if "redis" in name else "postgres")
    case = "every-step" if "every-step" in name else "some-steps"
    _, _, steps = BATH.CASES[case]
    if name.endswith("at-once"):
        steps = [steps[-1]] * len(steps)

    def adapter() -> tuple[ExternalStateAdapter, Any]:
        if "redis" in name:
            client: Any = redis.from_url(url, decode_responses=True)
            return RedisAdapter(client, False), client
        connection: Any = psycopg.connect(url, row_factory=dict_row)
        return PostgresAdapter(connection, False), connection

    async def body() -> None:
        instance_id, step = put(name, url)
        more: list[Any] = [None, {"constants": {"tap": 0.5}}, None]
        for number, settings in enumerate(
            more
        ):  # each at another server: from the second on it is in our form
            made, client = adapter()
            inside = Inside(made, catalogue(), shared=True)
            loaded = await inside.load(instance_id)
            assert loaded is not None
            assert time.time() - loaded.accessed < 3600  # loading counts as a use
            if number == 0:
                assert len(await inside.log(loaded)) == len(steps)
            await inside.step(loaded, {} if settings is None else {BATH.MANAGER: {"base": settings}})
            rows = [rows for rows, _ in await inside.log(loaded)]
            await inside.aclose()
            client.close()
        inside = Inside(FaultyAdapter(), catalogue())
        assert repr(rows) == repr(await from_the_start(inside, f"3.2.0-plain-{case}", more, steps))
        assert rows[len(steps)][0][0] == step
        await inside.aclose()

    asyncio.run(body())


@pytest.mark.parametrize("name", ["3.2.0-postgres-plain-some-steps", "3.2.0-redis-plain-some-steps"])
def test_what_jsonpickle_would_execute_is_refused_and_stays(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    url = request.getfixturevalue("redis_url" if "redis" in name else "postgres")
    touched = tmp_path / "executed"
    call = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": [str(touched)]}]}
    for bad in (json.dumps(call), '{"scenarios": ' + json.dumps(call) + "}", "[" * 100_000, "{", "nonsense"):
        instance_id, _ = put(name, url, bad)
        client: Any = redis.from_url(url) if "redis" in name else psycopg.connect(url)
        adapter = RedisAdapter(client) if "redis" in name else PostgresAdapter(client, True)

        async def body(adapter: ExternalStateAdapter = adapter, instance_id: str = instance_id) -> None:
            inside = Inside(adapter, catalogue(), shared=True)
            with pytest.raises(ExternalStateRefused):
                await inside.load(instance_id)
            await inside.aclose()

        asyncio.run(body())
        assert not touched.exists()
        if "redis" in name:
            assert json.loads(client.get(f"bptk:state:{instance_id}"))["state"] == bad
        else:
            assert client.execute("SELECT state FROM state").fetchall() == [(bad,)]
            client.execute("DROP TABLE state")
            client.commit()
        client.close()


# Redis ------------------------------------------------------------------------------------------------------


def test_a_key_lives_a_tenth_longer_than_the_timeout_whatever_unit_it_has(redis_url: str) -> None:
    with redis.from_url(redis_url) as client:
        adapter = opened(RedisAdapter(client, key_prefix="mine[*]?"))
        client.set("mine[*]?:other", "x")
        client.set("minex:" + ID, "x")
        for number, (timeout, lasts) in enumerate(
            [({"milliseconds": 500}, 0.5), ({"minutes": 1.5}, 90), ({"hours": 12}, 43_200)]
        ):
            id = f"{number:032x}"
            adapter._save_instance(InstanceState(None, id, NOW, checked_timeout(timeout), None))
            assert lasts * 1000 - 400 < client.pttl(f"mine[*]?:{id}") <= lasts * 1100
        assert [it.instance_id for it in adapter._load_state()][-1] == f"{2:032x}"
        client.pexpire(f"mine[*]?:{2:032x}", 1)
        until(lambda: not client.exists(f"mine[*]?:{2:032x}"))
        assert adapter._load_instance(f"{2:032x}") is None
        adapter._expire_instance(f"{2:032x}")


def test_a_save_whose_answer_was_lost_and_that_the_client_repeats_is_done_once(redis_url: str) -> None:
    class Repeating(redis.Redis):
        """Sends each script twice, as clients do when a connection breaks off after the first."""

        def eval(self, *args: Any) -> Any:
            super().eval(*args)
            return super().eval(*args)

    with Repeating.from_url(redis_url) as client:
        adapter = opened(RedisAdapter(client))
        for step in range(3):
            adapter._save_instance(instance({"n": step}, step=step / 4))
        adapter._expire_instance(ID)
        assert adapter._load_instance(ID) is None


# PostgreSQL -------------------------------------------------------------------------------------------------


def test_a_table_of_bptk_gets_fractions_and_one_row_an_instance(postgres: str) -> None:
    held = json.loads((RECORDS / "3.2.0-postgres-plain-some-steps.json").read_text())
    with psycopg.connect(postgres) as connection:
        connection.execute(held["table"])
        timeouts = (0, 0, 12, 0, 0, 0, 0)
        for step, time_of in (
            (3, "2026-01-01 10:00:00.5"),
            (7, "2026-01-01 11:00:00.5"),
            (None, "2026-01-01"),
        ):
            marks = ", ".join(["%s"] * 11)
            row = (f'{{"n": {step}}}'.replace("None", "0"), ID, time_of, *timeouts, step)
            connection.execute(f"INSERT INTO state VALUES ({marks})", row)
        connection.commit()
        with ThreadPoolExecutor(3) as threads:  # servers that start at the same time

            def start(_: int) -> ExternalStateAdapter:
                return opened(PostgresAdapter(psycopg.connect(postgres, autocommit=True), False))

            adapters = list(threads.map(start, range(3)))
        loaded = adapters[0]._load_instance(ID)
        assert loaded is not None
        assert (loaded.state, loaded.step, loaded.timeout["hours"]) == ({"n": 7}, 7, 12)
        adapters[0]._save_instance(InstanceState({"n": 8}, ID, NOW, {**loaded.timeout, "hours": 0.25}, 7.125))
        again = adapters[1]._load_instance(ID)
        assert again is not None
        assert (again.step, again.timeout["hours"]) == (7.125, 0.25)
        assert connection.execute("SELECT count(*) FROM state").fetchone() == (1,)
        for adapter in adapters:
            adapter._client.close()  # type: ignore[attr-defined]


def test_a_lost_connection_is_opened_again_and_a_lost_save_is_an_error(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as other, psycopg.connect(postgres) as given:
        adapter = opened(PostgresAdapter(given, True))
        adapter._save_instance(instance({"n": 1}))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        other.execute(end)
        held = adapter._load_instance(ID)  # a read is repeated
        assert held is not None
        assert held.state == {"n": 1}
        other.execute(end)
        with pytest.raises(psycopg.OperationalError):
            adapter._save_instance(instance({"n": 2}))
        assert adapter._load_instance(ID) is not None
        adapter._save_instance(instance({"n": 3}))
        adapter._close()
        assert other.execute("SELECT state FROM state").fetchall() == [('{"n":3}',)]


def test_a_pool_and_pgbouncer_serve_as_a_connection_does(bounced: str) -> None:
    with ConnectionPool(bounced, min_size=1, max_size=2) as pool, psycopg.connect(bounced) as connection:
        one = opened(PostgresAdapter(pool, True))
        two = opened(PostgresAdapter(connection, True))
        one._save_instance(instance({"n": 1}))
        for number in range(2, 20):  # statements are prepared after some executions, unless told not to be
            saving, other = (one, two) if number % 2 else (two, one)
            assert saving._load_instance(ID) is not None
            saving._save_instance(instance({"n": number}, step=number / 8))
            with pytest.raises(ExternalStateChanged):
                other._save_instance(instance({"n": "lost"}))


def test_what_is_no_connection_is_refused_at_once(postgres: str) -> None:
    for wrong in (postgres, None, object()):
        with pytest.raises(Invalid, match=r"psycopg\.connect"):
            PostgresAdapter(wrong, True)  # type: ignore[arg-type]
