"""BPTK's routes with agents: what was measured with BPTK-Py, or what is right where it has a fault."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bptk_agents import town
from tests.support.bptk_servers import CONFIGURATIONS, client_of

from perdure.bptk import Model, bptk
from perdure.dialects.bptk.client import BptkClient

HERE = Path(__file__).parent
CALLS = json.loads((HERE / "agent_exchanges.json").read_text())["calls"]
PRELUDE = json.loads((HERE.parents[1] / "unit" / "agents" / "agent_vectors.json").read_text())["prelude"]

LEVEL = {"0.0": 1.0, "1.0": 3.0, "2.0": 5.0, "3.0": 7.0}
JOBS = {
    "taken": {"1": 2, "2": 2, "3": 1},
    "waiting": {"1": 1.0, "2": 1.0, "3": 0.0},
    "finished": {"1": 0.0, "2": 0.0, "3": 2.0},
}
PROPERTIES = {"finished": {"type": "Integer", "value": 0}}


def of_a(answer: Any) -> dict[str, Any]:
    return {"sm": {"a": answer}}


RIGHT: dict[int, tuple[int, Any]] = {
    # A client's mistake is a 4xx with the same text.
    3: (400, {"error": "expecting scenarioManager to be set"}),
    4: (400, {"error": "expecting scenario to be set"}),
    5: (400, {"error": "expecting the model to have agents"}),
    6: (404, {"error": "There is no scenario manager 'zz'."}),
    11: (
        400,
        {
            "error": "no data was returned from simulation: agent_properties and agent_property_types need "
            "each other"
        },
    ),
    14: (400, {"error": "expecting either equations or agents to be set"}),
    # Equations and agents in one call.
    17: (
        200,
        {
            **of_a({"agents": {"worker": {"busy": {"1": 2, "3": 1}}}}),
            "smSd": {"base": {"equations": {"level": LEVEL}}},
        },
    ),
    # Settings hold for their call alone, and each run begins at the start.
    20: (200, of_a({"agents": {"job": {"taken": {"1": 2, "2": 2}, "waiting": {"1": 1, "2": 1}}}})),
    22: (
        200,
        {
            "job": {"properties": ["size"], "states": ["waiting"]},
            "worker": {"properties": ["skill", "finished"], "states": ["idle"]},
        },
    ),
    23: (200, of_a({"agents": {"job": JOBS}})),
    # Agents have sessions.
    26: (200, of_a({"agents": {"worker": {"busy": {"1": 2}}}})),
    27: (
        200,
        [
            of_a({"agents": {"worker": {"busy": {"2": 0}}}}),
            of_a({"agents": {"worker": {"busy": {"3": 1}}}}),
        ],
    ),
    28: (200, of_a({"agents": {"worker": {"busy": {"1": 2, "2": 0, "3": 1}}}})),
    29: (200, of_a({"agents": {"worker": {"busy": [2, 0, 1]}}})),
    30: (200, []),
    31: (404, {"error": "No selected scenario has an element 'level'."}),
    33: (
        200,
        of_a({"agents": {"worker": {"busy": {"1": 2}, "instances": {"0": PROPERTIES, "1": PROPERTIES}}}}),
    ),
    34: (400, {"error": "expecting either equations or agents to be set"}),
}
"""What is answered otherwise than by BPTK-Py, by the number of the exchange."""


def shop() -> "bptk":
    names: dict[str, Any] = {}
    exec(PRELUDE.replace("BPTK_Py", "perdure.bptk"), names)
    scenario = names["scen"](runspecs={"starttime": 1, "stoptime": 3, "dt": 1})
    made = bptk()
    model = names["Shop"](name="shop")
    made.register_scenario_manager(
        {"sm": {"type": "abm", "model": model, "scenarios": {"a": scenario, "b": scenario}}}
    )
    level = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="sd")
    stock = level.stock("level")
    stock.initial_value, stock.equation = 1.0, 2.0
    made.register_model(level)
    return made


@pytest.fixture
def client(tmp_path: Path) -> Iterator[BptkClient]:
    with client_of("memory", tmp_path, shop) as made:
        yield made


def test_every_exchange_that_was_measured(client: BptkClient) -> None:
    instance = ""
    for number, call in enumerate(CALLS):
        method, path, *body = call["request"]
        path = path.replace("<ID>", instance)
        send = {"GET": client.get, "POST": client.post, "PUT": client.put}[method]
        answer = send(path) if method == "GET" else send(path, json=body[0] if body else {})
        if path == "/start-instance":
            instance = answer.get_json()["instance_uuid"]
            continue
        status, right = RIGHT.get(number, (call["status"], call["answer"]))
        assert (answer.status_code, answer.get_json()) == (status, right), (number, path, body)


def begin(client: BptkClient, **asked: Any) -> str:
    instance: str = client.post("/start-instance").get_json()["instance_uuid"]
    body = {"scenario_managers": ["sm"], "scenarios": ["a"], **asked}
    begun = client.post(f"/{instance}/begin-session", json=body)
    assert begun.status_code == 200, begun.get_json()
    return instance


def test_a_session_of_all_states_and_of_properties(client: BptkClient) -> None:
    instance = begin(client, agents=["worker"])
    streamed = client.post(f"/{instance}/stream-steps", json={"settings": {}}).get_json()
    assert [step["sm"]["a"]["agents"]["worker"] for step in streamed] == [
        {"busy": {"1": 2}},
        {"idle": {"2": 2}},
        {"busy": {"3": 1}, "idle": {"3": 1}},
    ]
    assert client.get(f"/{instance}/session-results").get_json() == of_a(
        {
            "agents": {
                "worker": {"busy": {"1": 2, "2": 0, "3": 1}, "idle": {"1": 0, "2": 2, "3": 1}},
            }
        }
    )
    instance = begin(
        client,
        agents="worker",
        agent_states="busy",
        agent_properties="finished",
        agent_property_types="total,mean",
    )
    step = client.post(f"/{instance}/run-step", json={"settings": {}, "flatResults": True}).get_json()
    assert step == of_a(
        {"agents": {"worker": {"busy": {"properties": {"finished": {"total": 0, "mean": 0.0}}}}}}
    )


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ({"agents": ["nobody"]}, 404, "agents/nobody"),
        ({"agents": ["worker"], "agent_properties": ["finished"]}, 422, "need each other"),
        ({"agents": ["worker"], "individual_agent_properties": ["finished"]}, 400, "to be an object"),
        ({"agents": ["worker"], "equations": ["nothing"]}, 404, "nothing"),
    ],
)
def test_what_a_session_cannot_answer_is_refused(
    client: BptkClient, asked: dict[str, Any], status: int, text: str
) -> None:
    instance: str = client.post("/start-instance").get_json()["instance_uuid"]
    body = {"scenario_managers": ["sm"], "scenarios": ["a"], **asked}
    answer = client.post(f"/{instance}/begin-session", json=body)
    assert answer.status_code == status
    assert text in answer.get_json()["error"]


def steps(client: BptkClient, instance: str) -> list[Any]:
    return [client.post(f"/{instance}/run-step", json={"settings": {}}).get_json() for _ in range(4)]


@pytest.mark.parametrize("configuration", [each for each in CONFIGURATIONS if each != "memory"])
def test_a_session_of_a_hybrid_goes_on_after_a_restart_with_the_same_numbers(
    configuration: str, tmp_path: Path
) -> None:
    body = {
        "scenario_managers": ["town"],
        "scenarios": ["base"],
        "agents": ["person"],
        "equations": ["burden", "late"],
        "individual_agent_properties": {"person": ["age"]},
        "seed": 3,
    }
    answers: list[list[Any]] = []
    for restarts in (False, True):
        folder = tmp_path / str(restarts)
        folder.mkdir()
        taken: list[Any] = []
        with client_of(configuration, folder, town) as client:
            instance: str = client.post("/start-instance").get_json()["instance_uuid"]
            assert client.post(f"/{instance}/begin-session", json=body).status_code == 200
            taken += steps(client, instance)
            if not restarts:
                rest = client.post(f"/{instance}/run-steps", json={"settings": {}, "numberSteps": 4})
                taken += rest.get_json()
        if restarts:
            with client_of(configuration, folder, town) as client:
                taken += steps(client, instance)
        answers.append(taken)
    assert len(answers[0]) == 8
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "given",
    [
        {"agents": 5},
        {"agents": [5]},
        {"agents": [{"name": "job"}]},
        {"agents": [{"name": "job", "count": "many"}]},
        {"agents": [{"name": "job", "count": -1}]},
        {"agents": [{"name": "job", "count": 10**9}]},
        {"agents": [{"name": "nothing", "count": 1}]},
        {"agents": [{"name": "job", "count": 1, "properties": 5}]},
        {"properties": {"bonus": 5}},
        {"properties": {"bonus": {"type": "Double"}}},
        {"runspecs": {"dt": 0.3}},
        {"runspecs": {"starttime": 0.5}},
    ],
)
def test_wrong_settings_of_agents_are_a_clients_mistake_and_change_nothing(
    client: BptkClient, given: dict[str, Any]
) -> None:
    asked = {"scenario_managers": ["sm"], "scenarios": ["a"], "agents": ["job"]}
    before = client.post("/run", json=asked).get_json()
    answer = client.post("/run", json={**asked, "settings": {"sm": {"a": given}}})
    assert 400 <= answer.status_code < 500, answer.get_json()
    assert answer.get_json().keys() == {"error"}
    assert client.post("/run", json=asked).get_json() == before
