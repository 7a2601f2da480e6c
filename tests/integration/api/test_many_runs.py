"""Many runs at once: each is stopped or deleted by itself, whatever the others are."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.in_process import TASKS, Client, in_process

from perdure.api import many_runs
from perdure.drivers.session_requests import Owner
from perdure.settings import Settings
from perdure.web.services import AppServices

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}
WAITING = {"kind": "task", "task": "add", "input": {"numbers": [1]}}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    tokens = {"ann": ("one",), "bob": ("two",)}
    settings = Settings.model_validate({"store": "memory://", "tasks": (TASKS,), "tokens": tokens})
    with in_process(settings) as made:
        yield made


def of(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def made(client: Client, body: dict[str, Any], token: str = "one") -> str:
    run_id: str = client.post("/runs", json=body, headers=of(token)).raise_for_status().json()["id"]
    return run_id


def treat(client: Client, what: str, *run_ids: str) -> list[dict[str, Any]]:
    answer = client.post(what, json={"runs": run_ids}, headers=of("one")).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["runs"]
    assert [each["run"] for each in found] == [*run_ids]
    return found


def test_each_run_is_stopped_and_answered_for_by_itself(client: Client) -> None:
    session, task, other = made(client, SESSION), made(client, WAITING), made(client, SESSION, "two")
    client.get(f"/runs/{task}/events", headers=of("one"))  # it is there when the task has ended
    first, unknown, ended, foreign = treat(client, "/stop", session, "unknown", task, other)
    assert first == {"run": session, "done": True}
    assert [each["error"]["code"] for each in (unknown, foreign)] == ["run_not_found"] * 2
    assert (ended["error"]["code"], ended["error"]["details"]["state"]) == ("trigger_refused", "completed")
    assert client.get(f"/runs/{session}", headers=of("one")).json()["state"] == "stopped"
    assert client.get(f"/runs/{other}", headers=of("two")).json()["state"] == "created"


def test_many_runs_of_all_kinds_are_deleted(client: Client) -> None:
    many = [*(made(client, SESSION) for _ in range(30)), made(client, WAITING)]
    assert treat(client, "/delete", *many) == [{"run": run_id, "done": True} for run_id in many]
    assert {each["error"]["code"] for each in treat(client, "/delete", *many)} == {"run_not_found"}
    assert treat(client, "/delete") == []


@pytest.mark.parametrize("runs", [None, "x", [1], ["a b"], ["x" * 65], ["x"] * 1001])
def test_what_are_no_ids_is_refused_as_a_whole(client: Client, runs: object) -> None:
    answer = client.post("/delete", json={"runs": runs}, headers=of("one"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_what_fails_unexpectedly_for_one_run_hinders_no_other(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = many_runs.delete

    async def delete(serving: AppServices, owner: Owner, run_id: str) -> None:
        if run_id == "odd":
            raise RuntimeError("a secret")
        await deleted(serving, owner, run_id)

    monkeypatch.setattr(many_runs, "delete", delete)
    first, second = made(client, SESSION), made(client, SESSION)
    done, failed, last = treat(client, "/delete", first, "odd", second)
    assert (done["done"], last["done"]) == (True, True)
    assert failed["error"]["code"] == "internal_error"
    assert "a secret" not in str(failed), "what was raised is in the log alone"


def test_a_caller_learns_who_it_is(client: Client) -> None:
    me = client.get("/me", headers=of("two")).json()
    assert me == {"owner": "bob", "administrator": False, "token_needed": True, "expires": None}
    assert client.get("/me").status_code == 401
    with in_process() as alone:
        local = {"owner": "local", "administrator": False, "token_needed": False, "expires": None}
        assert alone.get("/me").json() == local
