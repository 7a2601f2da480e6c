"""The StableConfigs dialect over HTTP, by a real server with real children."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.dense_networks import dense
from tests.support.processes import below
from tests.support.served import Served, served
from tests.support.waiting import until

HARD = {"monomers": dense(120)}
SEED_REQUEST = {
    "monomers": [["a", "b"], ["a*", "b*"], ["a*", ">mon1"], ["b*"]],
    "constraints": [["FREE", "mon1"]],
    "gen": 2,
    "init_k": 2,
}
CLASSIC = [["a", "b"], ["a*", "b*"], ["a", ">mon1"], ["b"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), max_task_processes=1, task_timeout=240) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def start(client: httpx.Client, body: dict[str, Any]) -> str:
    answer = client.post("/task", json=body)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    assert answer.json() == {"task_id": task_id}
    return task_id


def ended(client: httpx.Client, task_id: str) -> httpx.Response:
    """Ask for a task's status until it is no longer under way."""

    def over() -> httpx.Response | None:
        answer = client.get(f"/status/{task_id}")
        if answer.status_code not in (202, 203):
            return answer
        body = answer.json()
        assert body.keys() == {"status", "count", "k"}
        assert body["status"] == "Progress"
        assert type(body["count"]) is int
        assert type(body["k"]) is int
        return None

    return until(over)


def solved(client: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return ended(client, start(client, body))


def running(client: httpx.Client, task_id: str) -> None:
    """Wait until a task has told how far it is."""
    nothing = {"status": "Progress", "count": 0, "k": 0}
    until(lambda: client.get(f"/status/{task_id}").json() != nothing)


def test_a_network_is_solved(client: httpx.Client) -> None:
    answer = solved(client, {"monomers": CLASSIC})
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "COMPLETE"
    assert (body["count"], body["entropy"]) == (1, 3)
    (config,) = body["configs"]
    assert config["polymers_count"] == 3
    assert sorted(sorted(map(tuple, polymer)) for polymer in config["polymers"]) == [
        [("a", ">mon1")],
        [("a", "b"), ("a*", "b*")],
        [("b",)],
    ]


def test_the_documented_request_is_answered(client: httpx.Client) -> None:
    answer = solved(client, SEED_REQUEST)
    body = answer.json()
    assert answer.status_code == 200
    assert body["count"] == len(body["configs"]) == 2
    assert body["entropy"] == 3
    assert [config["polymers_count"] for config in body["configs"]] == [3, 2]


def test_what_is_generated_is_distinct_and_from_the_optimum_downwards(client: httpx.Client) -> None:
    body = solved(client, {"monomers": [["a"], ["a"], ["a*", "a*"], ["a", "b"], ["b*"]], "gen": 50}).json()
    counts = [config["polymers_count"] for config in body["configs"]]
    assert counts == sorted(counts, reverse=True)
    written = [
        sorted(sorted(map(tuple, polymer)) for polymer in config["polymers"]) for config in body["configs"]
    ]
    assert len(written) == body["count"] > 1
    assert all(one not in written[:index] for index, one in enumerate(written))


def test_constraints_that_cannot_be_kept_are_named(client: httpx.Client) -> None:
    body = {
        "monomers": [["a", ">one"], ["a*", ">two"]],
        "constraints": [["FREE", "one"]],
    }
    answer = solved(client, body)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["configs"], told["count"], told["entropy"]) == ("COMPLETE", [], 0, 1)
    assert told["conflict"] == [["FREE", "one"]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"monomers": []}, "Input contains no monomers."),
        ({"monomers": [["a", ">m"], ["b", ">m"]]}, "Duplicate Monomer name. 'b >m'"),
        ({"monomers": [["a", ":"]]}, "Invalid BindingSite name. 'a :'"),
        (
            {"monomers": [["a", ">m"]], "constraints": [["FREE", "n"]]},
            "Monomer 'n' does not exist. 'FREE n'",
        ),
        (
            {"monomers": CLASSIC, "init_k": 4},
            "Minimum Polymers [4] exceeds the max entropy of TBN system. No Results can be computed. "
            "Choose a lower value.",
        ),
        (
            {
                "monomers": [["a", ">t2"], ["a*", "b*", ">t1"], ["a", "b"], ["b", ">t3"]],
                "constraints": [["TOGETHER", "t2", "t3"]],
                "init_k": 3,
            },
            "Minimum Polymers [3] exceeds the max entropy of TBN system. No Results can be computed. "
            "Choose a lower value.",
        ),
    ],
)
def test_what_is_wrong_with_a_network_is_in_its_status(
    client: httpx.Client, body: dict[str, Any], message: str
) -> None:
    answer = solved(client, body)
    assert answer.status_code == 401
    assert answer.json() == {"status": "TBNException", "message": message}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "monomers"),
        ({"monomers": 1}, 422, "monomers"),
        ({"monomers": [1]}, 422, "monomers[0]"),
        ({"monomers": [["a"], ["a*", None]]}, 422, "monomers[1][1]"),
        ({"monomers": [["a"]], "constraints": {"FREE": "m"}}, 422, "constraints"),
        ({"monomers": [["a"]], "constraints": [["FREE", 1]]}, 422, "constraints[0][1]"),
        ({"monomers": [["a"]], "gen": "2"}, 422, "gen"),
        ({"monomers": [["a"]], "gen": 0}, 422, "gen"),
        ({"monomers": [["a"]], "gen": True}, 422, "gen"),
        ({"monomers": [["a"]], "gen": 1.5}, 422, "gen"),
        ({"monomers": [["a"]], "init_k": "high"}, 422, "init_k"),
    ],
)
def test_a_bad_request_names_the_field(
    client: httpx.Client, body: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post("/task", json=body)
    assert answer.status_code == status
    told = answer.json()
    assert told["status"] == "BadRequest"
    assert told["field"] == field
    assert told["message"].startswith(f"{field}: ")


def test_what_is_not_json_is_refused_in_json(client: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    answers = [
        (client.post("/task", content="monomers"), 415),
        (client.post("/task", content="{", headers=json), 400),
        (client.post("/task", content="[]", headers=json), 400),
        (client.post("/task", content=b'{"monomers": "%s"}' % (b"a" * 2_000_000), headers=json), 413),
        (client.get("/task"), 405),
        (client.post("/status/x"), 405),
        (client.get("/status/unknown"), 404),
        (client.delete("/terminate/unknown"), 404),
    ]
    for answer, status in answers:
        assert answer.status_code == status
        assert answer.json()["message"]
        if status in (400, 413, 415):
            assert answer.json()["field"] == "body"


def test_unknown_fields_and_strings_for_lists_are_taken_as_they_always_were(client: httpx.Client) -> None:
    answer = solved(client, {"monomers": ["ab", ["a*"]], "constraints": None, "colour": "red"})
    assert answer.json()["configs"][0]["polymers"] == [[["a", "b"], ["a*"]]]


def test_a_web_page_of_another_origin_may_not_ask(client: httpx.Client) -> None:
    refused = client.post("/task", json={"monomers": CLASSIC}, headers={"Origin": "https://lab.example"})
    assert refused.status_code == 403
    assert "PERDURE_CORS_ORIGINS" in refused.json()["message"]
    assert "access-control-allow-origin" not in refused.headers


def test_options_tell_what_a_path_takes(client: httpx.Client) -> None:
    asked = client.options("/task")
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-methods"] == "POST, OPTIONS"


def test_a_repeated_key_makes_one_task(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "once"}
    first = client.post("/task", json={"monomers": CLASSIC}, headers=key).json()["task_id"]
    assert client.post("/task", json={"monomers": CLASSIC}, headers=key).json()["task_id"] == first
    other = client.post("/task", json={"monomers": CLASSIC[:2]}, headers=key)
    assert other.status_code == 422


def test_a_terminated_task_leaves_no_process_and_one_that_waits_never_starts(
    server: Served, client: httpx.Client
) -> None:
    first = start(client, HARD)
    waiting = start(client, HARD)
    running(client, first)
    assert client.get(f"/status/{waiting}").json() == {"status": "Progress", "count": 0, "k": 0}
    started = below(server.process.pid)
    assert started
    for task_id in (waiting, first):
        answer = client.delete(f"/terminate/{task_id}")
        assert answer.status_code == 200
        assert answer.json() == {"status": f"terminating task: {task_id}"}
    assert not below(server.process.pid).keys() & started.keys()
    for task_id in (waiting, first):
        told = client.get(f"/status/{task_id}")
        assert told.status_code == 401
        assert told.json()["status"] == "TBNException"
        assert told.json()["message"].startswith("Early Termination at count [")
    assert client.get(f"/runs/{waiting}").json()["attempt"] == 0
    assert client.delete(f"/terminate/{first}").status_code == 200, "also when it has ended"


def test_a_native_task_is_not_the_dialects(client: httpx.Client) -> None:
    body = {"kind": "task", "task": "stable_configurations", "input": {"monomers": ["a", "a*"]}}
    run_id = client.post("/runs", json=body).raise_for_status().json()["id"]
    assert client.get(f"/status/{run_id}").status_code == 404
    session = {"kind": "session", "scenarios": {"bath": ["base"]}}
    assert client.get(f"/status/{client.post('/runs', json=session).json()['id']}").status_code == 404


def test_time_that_is_up_is_told_with_bounds_and_the_best_so_far(tmp_path: Path) -> None:
    with served(tmp_path, task_timeout=8) as server, server.client() as client:
        task_id = start(client, HARD)
        answer = ended(client, task_id)
        assert answer.status_code == 400
        body = answer.json()
        assert body["status"] == "TimedOut"
        assert body["message"]
        assert 0 < body["lower"] < body["upper"]
        assert body["configs"][0]["polymers_count"] == body["lower"]
        result = client.get(f"/runs/{task_id}/result").raise_for_status().json()["result"]
        assert {**result, "message": body["message"]} == body, "natively it is the result"


def test_a_result_expires_and_is_forgotten_also_over_a_restart(tmp_path: Path) -> None:
    with served(tmp_path, result_expires=3600) as server, server.client() as client:
        task_id = start(client, {"monomers": CLASSIC})
        assert ended(client, task_id).status_code == 200
    with served(tmp_path, result_expires=0.01) as server, server.client() as client:
        other = start(client, {"monomers": CLASSIC})
        for each in (task_id, other):
            until(lambda each=each: ended(client, each).status_code != 200)
            told = ended(client, each)
            assert told.status_code == 404
            assert told.json()["status"] == "NotFound"
            # The run is forgotten too.
            until(lambda each=each: client.get(f"/runs/{each}").status_code != 200)


def test_tokens_keep_tasks_apart(tmp_path: Path) -> None:
    with (
        served(tmp_path, tokens="ann:one,bob:two") as server,
        server.client() as nobody,
        server.client("one") as ann,
        server.client("two") as bob,
    ):
        assert nobody.post("/task", json={"monomers": CLASSIC}).status_code == 401
        task_id = start(ann, {"monomers": CLASSIC})
        assert bob.get(f"/status/{task_id}").status_code == 404
        assert bob.delete(f"/terminate/{task_id}").status_code == 404
        assert ended(ann, task_id).status_code == 200


def test_a_task_is_gone_with_a_server_that_is_killed_and_answers_under_the_next_one(tmp_path: Path) -> None:
    with served(tmp_path, max_task_processes=1) as server, server.client() as client:
        task_id = start(client, HARD)
        running(client, task_id)
        started = below(server.process.pid)
        later = start(client, {"monomers": CLASSIC})
        server.process.kill()
        server.process.wait()
    with served(tmp_path, max_task_processes=1) as server, server.client() as client:
        assert not any(Path(f"/proc/{pid}/exe").exists() for pid in started)
        running(client, task_id)
        assert client.get(f"/runs/{task_id}").json()["attempt"] == 2
        client.delete(f"/terminate/{task_id}")
        assert ended(client, later).status_code == 200
