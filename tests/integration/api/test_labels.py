"""Names and tags of runs over HTTP: given, inherited, changed, listed by."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}


def new(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = client.post("/runs", json={**SESSION, **fields}).raise_for_status().json()
    return made


def found(client: httpx.Client, **params: Any) -> list[str]:
    return [run["id"] for run in client.get("/runs", params=params).raise_for_status().json()["runs"]]


def test_a_run_has_the_name_and_the_tags_it_is_made_with(client: httpx.Client) -> None:
    run = new(client, name="Höhe 3", tags=["b", "a=1", "b"])
    assert (run["name"], run["tags"]) == ("Höhe 3", ["a=1", "b"])
    assert client.get(f"/runs/{run['id']}").json() == run
    bare = new(client)
    assert (bare["name"], bare["tags"]) == ("", [])
    listed = {each["id"]: (each["name"], each["tags"]) for each in client.get("/runs").json()["runs"]}
    assert listed[run["id"]] == ("Höhe 3", ["a=1", "b"])
    assert found(client, tag="a=1") == found(client, tag="b,a=1") == found(client, name="Hö") == [run["id"]]
    assert found(client, q="ÖHE") == []
    assert found(client, q="öHE") == [run["id"]]
    assert found(client, tag="a=1,c") == found(client, name="hö") == []


def test_a_fork_has_the_tags_of_its_parent_unless_it_gets_others(client: httpx.Client) -> None:
    run = new(client, name="parent", tags=["p"])["id"]
    plain = client.post(f"/runs/{run}/fork").json()
    assert (plain["name"], plain["tags"]) == ("", ["p"])
    other = client.post(f"/runs/{run}/fork", json={"name": "fork", "tags": []}).json()
    assert (other["name"], other["tags"]) == ("fork", [])
    forks = client.post(f"/runs/{run}/forks", json={"forks": [{"tags": ["q"]}, {"name": "two"}]}).json()[
        "runs"
    ]
    assert [(fork["name"], fork["tags"]) for fork in forks] == [("", ["q"]), ("two", ["p"])]


def test_a_name_and_tags_are_changed_while_the_run_is_stepped_and_after_its_end(client: httpx.Client) -> None:
    run = new(client, tags=["old"])["id"]
    client.post(f"/runs/{run}/steps", json={"expected_step": 1}).raise_for_status()
    named = client.patch(f"/runs/{run}", json={"name": "Name"}).raise_for_status().json()
    assert (named["name"], named["tags"], named["step"]) == ("Name", ["old"], 1)
    added = client.patch(
        f"/runs/{run}", json={"add_tags": ["new", "x"], "remove_tags": ["old", "none"]}
    ).json()
    assert (added["name"], added["tags"]) == ("Name", ["new", "x"])
    assert added["updated"] == named["updated"]
    client.post(f"/runs/{run}/steps", json={"expected_step": 2}).raise_for_status()
    client.put(f"/runs/{run}/state", json={"state": "stopped"}).raise_for_status()
    ended = client.patch(f"/runs/{run}", json={"tags": ["done"], "name": ""}).raise_for_status().json()
    assert (ended["name"], ended["tags"], ended["state"]) == ("", ["done"], "stopped")
    assert client.patch(f"/runs/{run}", json={}).json() == ended == client.get(f"/runs/{run}").json()
    assert found(client, tag="done") == [run]
    assert found(client, tag="old") == []


def test_tags_that_are_added_at_the_same_time_are_all_there(client: httpx.Client) -> None:
    run = new(client)["id"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda number: client.patch(f"/runs/{run}", json={"add_tags": [f"t{number}"]}).status_code,
                range(16),
            )
        )
    assert answers == [200] * 16
    assert client.get(f"/runs/{run}").json()["tags"] == sorted(f"t{number}" for number in range(16))


def test_a_label_is_a_part_of_the_request_that_a_key_names(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "labelled"}
    first = client.post("/runs", json={**SESSION, "name": "a", "seed": 1}, headers=headers)
    again = client.post("/runs", json={**SESSION, "name": "a", "seed": 1}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    other = client.post("/runs", json={**SESSION, "name": "b", "seed": 1}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")
    fork = {"Idempotency-Key": "labelled-fork"}
    path = f"/runs/{first.json()['id']}/fork"
    made = [
        client.post(path, json={"tags": tags}, headers=fork).status_code for tags in (["a"], ["a"], ["b"])
    ]
    assert made == [201, 200, 422]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "a\nb"}, "`name` must have no control character, line end or half of a surrogate pair."),
        ({"name": "a\u2028b"}, "`name` must have no control character"),
        ({"name": "\x7f"}, "`name` must have no control character"),
        ({"name": "n" * 201}, "`name` must have at most 200 characters, got 201."),
        ({"name": 3}, "`name` must be text, got 3."),
        (
            {"tags": ["a b"]},
            "`tags.0` must have letters, digits and _ - . : / = only, and begin with a letter",
        ),
        ({"tags": ["ok", "-a"]}, "`tags.1` must have letters"),
        ({"tags": ["é"]}, "`tags.0` must have letters"),
        ({"tags": ["a\n"]}, "`tags.0` must have letters"),
        ({"tags": [""]}, "`tags.0` must not be empty."),
        ({"tags": ["t" * 65]}, "`tags.0` must have at most 64 characters, got 65."),
        ({"tags": "a"}, "`tags` must be "),
        ({"tags": [str(number) for number in range(33)]}, "`tags` must have at most 32 "),
    ],
)
def test_a_name_or_tag_that_can_not_be_is_refused_wherever_it_is_given(
    client: httpx.Client, body: dict[str, Any], message: str
) -> None:
    run = new(client)["id"]
    for refused in (
        client.post("/runs", json={**SESSION, **body}),
        client.patch(f"/runs/{run}", json=body),
        client.post(f"/runs/{run}/fork", json=body),
        client.post("/runs", json={"kind": "task", "task": "t", "input": {}, **body}),
        client.post("/runs", json={"kind": "experiment", "experiment": "e", **body}),
    ):
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (422, "invalid_request")
        assert error["message"].startswith(message)


def test_more_tags_than_a_run_can_have_are_refused_when_they_are_added(client: httpx.Client) -> None:
    run = new(client, tags=[f"t{number}" for number in range(32)])["id"]
    refused = client.patch(f"/runs/{run}", json={"add_tags": ["one-more"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")
    assert "at most 32 tags, not 33" in refused.json()["error"]["message"]
    swapped = client.patch(f"/runs/{run}", json={"add_tags": ["one-more"], "remove_tags": ["t0"]})
    assert swapped.status_code == 200
    gone = client.patch("/runs/none", json={"name": "x"})
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "run_not_found")
