"""Runs over HTTP: made once, listed by pages, stopped, forked, saved, deleted."""

import httpx
import pytest
from tests.support.served import catalogue

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}


def error(response: httpx.Response) -> str:
    code: str = response.json()["error"]["code"]
    return code


def test_a_new_run_says_what_it_is_made_of(client: httpx.Client) -> None:
    body = {**NEW, "outputs": ["water", "inflow"], "dt": 2.0, "seed": 11}
    made = client.post("/runs", json=body)
    assert made.status_code == 201
    run = made.json()
    assert made.headers["Location"] == f"/runs/{run['id']}"
    assert (run["kind"], run["owner"], run["state"], run["step"]) == ("session", "local", "created", 0)
    assert run["scenarios"] == {"bath": ["base"]}
    assert run["seed"] == 11
    assert run["specs"]["bath"]["base"] == {
        "model": "bath",
        "fingerprint": catalogue().scenario("bath", "base").fingerprint,
        "starttime": 0.0,
        "stoptime": 1000.0,
        "dt": 1.0,
        "timestep": 2.0,
        "outputs": ["water", "inflow"],
        "constants": {},
        "points": {},
        "inputs": {},
    }
    assert client.get(made.headers["Location"]).json() == run


def test_a_run_of_system_dynamics_says_that_it_is_saved(client: httpx.Client, run: str) -> None:
    saved = {"kept": "saved", "reason": None}
    assert client.get(f"/runs/{run}").json()["parts"] == {"bath/base": saved, "bath/full": saved}


def test_a_run_says_what_its_scenarios_began_with(client: httpx.Client) -> None:
    run = client.post("/runs", json={**NEW, "scenarios": {"bath": ["full"]}}).json()
    assert run["specs"]["bath"]["full"]["constants"] == {"tap": 9.0}


def test_a_seed_that_is_not_given_is_made_and_kept(client: httpx.Client) -> None:
    seeds = {client.post("/runs", json=NEW).json()["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_a_repeated_creation_makes_nothing(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "make-once"}
    first = client.post("/runs", json={**NEW, "seed": 1}, headers=headers)
    reordered = {"seed": 1, "scenarios": NEW["scenarios"], "kind": "session"}
    again = client.post("/runs", json=reordered, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    other = client.post("/runs", json={**NEW, "seed": 2}, headers=headers)
    assert (other.status_code, error(other)) == (422, "key_reused")


def test_the_list_goes_on_where_the_page_before_ended(client: httpx.Client) -> None:
    made = [client.post("/runs", json=NEW).json()["id"] for _ in range(6)]
    found: list[str] = []
    cursor: str | None = None
    while len(found) < 6:
        params = {"limit": "2"} if cursor is None else {"limit": "2", "cursor": cursor}
        page = client.get("/runs", params=params).json()
        assert len(page["runs"]) == 2
        found += [run["id"] for run in page["runs"]]
        cursor = page["next"]
    assert found == made[::-1]


def test_the_last_page_has_no_next(client: httpx.Client) -> None:
    page = client.get("/runs", params={"limit": 1000}).json()
    assert page["next"] is None
    assert page["runs"][0].keys() >= {"id", "owner", "state", "step", "scenarios", "created", "updated"}


def test_a_stopped_run_takes_no_steps_but_stays_readable(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps")
    stopped = client.put(f"/runs/{run}/state", json={"state": "stopped"})
    assert stopped.status_code == 200
    assert (stopped.json()["state"], stopped.json()["outcome"]) == ("stopped", "terminated")
    assert error(client.post(f"/runs/{run}/steps")) == "run_finished"
    again = client.put(f"/runs/{run}/state", json={"state": "stopped"})
    assert (again.status_code, error(again)) == (409, "trigger_refused")
    assert client.get(f"/runs/{run}/results").json()["results"]["bath"]["base"]["step"] == [1]


def test_a_deleted_run_is_gone(client: httpx.Client, run: str) -> None:
    gone = client.delete(f"/runs/{run}")
    assert (gone.status_code, gone.content) == (204, b"")
    for again in (
        client.get(f"/runs/{run}"),
        client.delete(f"/runs/{run}"),
        client.post(f"/runs/{run}/steps"),
    ):
        assert (again.status_code, error(again)) == (404, "run_not_found")


def test_a_fork_begins_where_it_is_told_and_goes_its_own_way(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 6})
    made = client.post(f"/runs/{run}/fork", json={"step": 4})
    assert made.status_code == 201
    fork = made.json()
    assert (fork["parent"], fork["parent_step"], fork["step"]) == (run, 4, 4)
    assert made.headers["Location"] == f"/runs/{fork['id']}"
    theirs = client.get(f"/runs/{run}/results").json()["results"]["bath"]["full"]["values"]["water"]
    client.post(f"/runs/{fork['id']}/steps", json={"steps": 2})
    ours = client.get(f"/runs/{fork['id']}/results").json()["results"]["bath"]["full"]["values"]["water"]
    assert ours == theirs
    assert client.get(f"/runs/{run}").json()["step"] == 6


def test_a_repeated_fork_makes_nothing_and_beyond_the_end_there_is_none(
    client: httpx.Client, run: str
) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 2})
    headers = {"Idempotency-Key": f"fork-{run}"}
    first = client.post(f"/runs/{run}/fork", headers=headers)
    again = client.post(f"/runs/{run}/fork", json={"step": None}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    beyond = client.post(f"/runs/{run}/fork", json={"step": 3})
    assert (beyond.status_code, error(beyond)) == (404, "step_not_found")


def test_a_fork_takes_a_seed_and_a_stop_time(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 3})
    fork = client.post(f"/runs/{run}/fork", json={"seed": 5, "stoptime": 4}).json()
    assert (fork["seed"], fork["step"], fork["specs"]["bath"]["full"]["stoptime"]) == (5, 3, 4.0)
    answer = client.post(f"/runs/{fork['id']}/steps", json={"steps": 10}).json()
    assert answer["finished"]
    assert client.get(f"/runs/{fork['id']}").json()["state"] == "completed"
    alone = client.post(f"/runs/{fork['id']}/fork", json={"seed": 6})
    assert (alone.status_code, error(alone)) == (409, "run_finished")
    later = client.post(f"/runs/{fork['id']}/fork", json={"seed": 6, "stoptime": 9.5})
    assert (later.status_code, later.json()["state"]) == (201, "started")
    early = client.post(f"/runs/{run}/fork", json={"stoptime": 1})
    assert (early.status_code, error(early)) == (422, "invalid")


def test_many_forks_are_made_by_one_request_and_once(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 3})
    body = {"forks": [{"seed": 1}, {"seed": 2, "step": 2}, {}]}
    headers = {"Idempotency-Key": f"forks-{run}"}
    made = client.post(f"/runs/{run}/forks", json=body, headers=headers)
    assert made.status_code == 201
    runs = made.json()["runs"]
    assert [(fork["parent"], fork["parent_step"], fork["seed"]) for fork in runs] == [
        (run, 3, 1),
        (run, 2, 2),
        (run, 3, 7),
    ]
    again = client.post(f"/runs/{run}/forks", json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, made.json())
    other = client.post(f"/runs/{run}/forks", json={"forks": [{"seed": 1}]}, headers=headers)
    assert (other.status_code, error(other)) == (422, "key_reused")
    before = client.get("/runs", params={"limit": 1}).json()
    for wrong, status, code in (
        ({"forks": []}, 422, "invalid_request"),
        ({"forks": [{"seed": 1}] * 101}, 422, "limit_exceeded"),
        ({"forks": [{}, {"step": 4}]}, 404, "step_not_found"),
        ({"forks": [{}, {"savepoint": 4}]}, 422, "invalid"),
        ({"forks": [{}, {"seed": -1}]}, 422, "invalid_request"),
    ):
        refused = client.post(f"/runs/{run}/forks", json=wrong)
        assert (refused.status_code, error(refused)) == (status, code), wrong
    assert client.get("/runs", params={"limit": 1}).json() == before


def test_a_savepoint_is_found_by_its_very_name(client: httpx.Client, run: str) -> None:
    for name in ("calm", "calm 2"):
        client.post(f"/runs/{run}/steps").raise_for_status()
        client.post(f"/runs/{run}/savepoints", json={"name": name}).raise_for_status()

    def named(name: str) -> list[str]:
        found = client.get(f"/runs/{run}/savepoints", params={"name": name}).json()["savepoints"]
        return [point["name"] for point in found]

    assert named("calm") == ["calm"]
    assert named("calm 2") == ["calm 2"]
    assert named("Calm") == []
    assert client.get(f"/runs/{run}/savepoints", params={"name": ""}).status_code == 422


def test_savepoints_are_taken_named_pinned_and_released(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 3})
    taken = client.post(f"/runs/{run}/savepoints", json={"name": "three"})
    assert taken.status_code == 201
    point = taken.json()
    assert (point["step"], point["name"], point["pinned"]) == (3, "three", False)
    listed = client.get(f"/runs/{run}/savepoints").json()["savepoints"]
    assert [one["step"] for one in listed] == [0, 3]
    place = f"/runs/{run}/savepoints/{point['timestamp']}"
    pinned = client.patch(place, json={"pinned": True}).json()
    assert (pinned["name"], pinned["pinned"]) == ("three", True)
    released = client.patch(place, json={"name": None, "pinned": False}).json()
    assert (released["name"], released["pinned"]) == (None, False)
    missing = client.patch(f"/runs/{run}/savepoints/77", json={})
    assert (missing.status_code, error(missing)) == (404, "savepoint_not_found")


def test_a_check_of_a_sound_run_finds_nothing(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 3})
    assert client.post(f"/runs/{run}/check").json() == {"findings": []}
    assert client.post(f"/runs/{run}/check", json={"repair": True}).json() == {"findings": []}


def test_an_upgrade_without_a_changed_model_is_refused(client: httpx.Client, run: str) -> None:
    refused = client.post(f"/runs/{run}/upgrade")
    assert (refused.status_code, error(refused)) == (409, "model_unchanged")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**NEW, "scenarios": {"bath": ["bas"]}}, 404, "scenario_not_found"),
        ({**NEW, "scenarios": {"bad": ["base"]}}, 404, "scenario_not_found"),
        ({**NEW, "outputs": ["watr"]}, 404, "output_not_found"),
        ({**NEW, "dt": 0.3}, 422, "invalid_run_specs"),
        ({**NEW, "kind": "task"}, 422, "invalid_request"),
        ({**NEW, "seed": True}, 422, "invalid_request"),
        ({**NEW, "sed": 1}, 422, "invalid_request"),
        ({**NEW, "scenarios": {}}, 422, "invalid_request"),
        ({**NEW, "scenarios": {"bath": []}}, 422, "invalid_request"),
    ],
)
def test_a_session_that_cannot_be_made_is_refused(
    client: httpx.Client, body: object, status: int, code: str
) -> None:
    refused = client.post("/runs", json=body)
    assert (refused.status_code, error(refused)) == (status, code)
