"""An adapter that fails: the answer is a 503, and the instance stays where it was last saved."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.bptk_servers import MANAGER, example_factory

from perdure.bptk import BptkServer, ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.client import BptkClient, BptkResponse

SESSION = {"scenario_managers": [MANAGER], "scenarios": ["base"], "equations": ["customers"], "seed": 1}


class Flaky(ExternalStateAdapter):
    """Holds instances as text, and fails when it is told to: before it saves, or after."""

    def __init__(self) -> None:
        super().__init__(False)
        self.held: dict[str, str] = {}
        self.failing = ""

    def _fail(self, when: str) -> None:
        if self.failing == when:
            raise OSError("no space left on device")

    def _save_instance(self, state: InstanceState) -> None:
        self._fail("before")
        self.held[state.instance_id] = json.dumps(
            {
                "state": state.state,
                "time": str(state.time),
                "timeout": dict(state.timeout),
                "step": state.step,
            }
        )
        self._fail("after")

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        text = self.held.get(instance_id)
        if text is None:
            return None
        data = json.loads(text)
        return InstanceState(data["state"], instance_id, data["time"], data["timeout"], data["step"])

    def _load_state(self) -> list[InstanceState]:
        self._fail("listing")
        return [state for name in list(self.held) if (state := self._load_instance(name)) is not None]

    def delete_instance(self, instance_id: str) -> None:
        self._fail("before")
        self.held.pop(instance_id, None)


@pytest.fixture
def adapter() -> Flaky:
    return Flaky()


@pytest.fixture(params=[False, True], ids=["in memory", "externalized"])
def client(request: pytest.FixtureRequest, adapter: Flaky) -> Iterator[BptkClient]:
    server = BptkServer(
        "tests",
        example_factory,
        external_state_adapter=adapter,
        externalize_state_completely=request.param,
    )
    with server.test_client() as made:
        yield made


def failing(adapter: Flaky, send: Callable[[], BptkResponse], when: str = "before") -> None:
    """Expect a 503 of a request while the adapter fails."""
    adapter.failing = when
    answer = send()
    adapter.failing = ""
    assert answer.status_code == 503, answer.text
    assert "no space left" in answer.get_json()["error"]


def customers(answer: BptkResponse) -> dict[str, float]:
    assert answer.status_code == 200, answer.text
    found: dict[str, float] = answer.get_json()[MANAGER]["base"]["customers"]
    return found


def test_every_request_that_saves_is_a_503_and_changes_nothing(client: BptkClient, adapter: Flaky) -> None:
    failing(adapter, lambda: client.post("/start-instance"))
    failing(adapter, lambda: client.post("/start-instances", json={"instances": 3}))
    assert adapter.held == {}
    assert client.get("/full-metrics").get_json()["instanceCount"] == 0
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    failing(adapter, lambda: client.post(f"/{instance}/begin-session", json=SESSION))
    assert client.post(f"/{instance}/run-step").status_code == 409  # there is no session
    client.post(f"/{instance}/begin-session", json=SESSION)
    assert customers(client.post(f"/{instance}/run-step")) == {"1.0": 0.0}

    several = {"settings": {}, "numberSteps": 3}
    failing(adapter, lambda: client.post(f"/{instance}/run-step"))
    failing(adapter, lambda: client.post(f"/{instance}/run-steps", json=several))
    failing(adapter, lambda: client.post(f"/{instance}/stream-steps"))
    failing(adapter, lambda: client.post(f"/{instance}/begin-session", json=SESSION))
    failing(adapter, lambda: client.post(f"/{instance}/end-session"))
    failing(adapter, lambda: client.post(f"/{instance}/stop-instance"))
    failing(adapter, lambda: client.post(f"/{instance}/keep-alive"))
    assert customers(client.post(f"/{instance}/run-step")) == {"2.0": 1000.0}

    assert client.post(f"/{instance}/stop-instance").status_code == 200
    assert adapter.held == {}


def test_a_step_that_was_saved_in_spite_of_the_error_is_kept(client: BptkClient, adapter: Flaky) -> None:
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    client.post(f"/{instance}/begin-session", json=SESSION)
    named = {"Idempotency-Key": "one"}
    failing(adapter, lambda: client.post(f"/{instance}/run-step", headers=named), "after")
    assert customers(client.post(f"/{instance}/run-step", headers=named)) == {"1.0": 0.0}
    assert customers(client.post(f"/{instance}/run-step")) == {"2.0": 1000.0}


def test_a_stream_breaks_off_at_the_step_that_was_not_saved(client: BptkClient, adapter: Flaky) -> None:
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    client.post(f"/{instance}/begin-session", json=SESSION)
    save, saved = adapter._save_instance, 0

    def third_fails(state: InstanceState) -> None:
        nonlocal saved
        saved += 1
        if saved == 3:
            raise OSError("no space left on device")
        save(state)

    adapter._save_instance = third_fails
    streamed = client.post(f"/{instance}/stream-steps").get_json()
    assert [list(one) for one in streamed] == [[MANAGER], [MANAGER], ["error"]]
    assert customers(client.post(f"/{instance}/run-step")).keys() == {"3.0"}


def test_a_server_starts_without_a_list_and_loads_instances_when_they_are_asked_for(adapter: Flaky) -> None:
    def server(externalize: bool) -> BptkClient:
        return BptkServer("tests", example_factory, adapter, None, externalize).test_client()

    with server(False) as client:
        instance = client.post("/start-instance").get_json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=SESSION)
        client.post(f"/{instance}/run-step")
    adapter.failing = "listing"
    with server(False) as client:
        assert client.post("/load-state").status_code == 503
        assert client.get("/full-metrics").get_json()["instanceCount"] == 0
        assert customers(client.post(f"/{instance}/run-step")).keys() == {"2.0"}
        assert client.get("/full-metrics").get_json()["instanceCount"] == 1
    adapter.failing = ""
    with server(False) as client:
        assert client.get("/full-metrics").get_json()["instanceCount"] == 1
    with server(True) as client:
        assert client.get("/full-metrics").get_json()["instanceCount"] == 0
        assert customers(client.post(f"/{instance}/run-step")).keys() == {"3.0"}


def test_an_expired_instance_is_no_longer_held(adapter: Flaky) -> None:
    for externalize in (False, True):
        with BptkServer("tests", example_factory, adapter, None, externalize).test_client() as client:
            lasting: dict[str, Any] = {"timeout": {"microseconds": 1}}
            instance = client.post("/start-instance", json=lasting).get_json()["instance_uuid"]
            assert client.post(f"/{instance}/keep-alive").status_code == 404
            assert adapter.held == {}
