"""Lists of runs over HTTP: filtered, ordered, page by page."""

from typing import Any

import httpx
import pytest

STATES = (
    "The parameter `state` must be one or more of created, paused, started, completed, stopped, failed, "
    "separated by commas"
)
NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}


def new(client: httpx.Client, **fields: Any) -> str:
    run_id: str = client.post("/runs", json={**NEW, **fields}).raise_for_status().json()["id"]
    return run_id


def ids(client: httpx.Client, **params: Any) -> list[str]:
    """Return the ids of all pages of a list."""
    found: list[str] = []
    page = client.get("/runs", params=params).raise_for_status()
    while True:
        found += [run["id"] for run in page.json()["runs"]]
        following = page.json()["next"]
        assert ("next" in page.links) == (following is not None)
        if following is None:
            return found
        page = client.get(page.links["next"]["url"]).raise_for_status()


@pytest.fixture(autouse=True)
def no_runs(client: httpx.Client) -> None:
    for run_id in ids(client):
        client.delete(f"/runs/{run_id}").raise_for_status()


def test_a_list_has_the_runs_that_are_asked_for(client: httpx.Client) -> None:
    created, started, stopped = (new(client) for _ in range(3))
    client.post(f"/runs/{started}/steps").raise_for_status()
    client.put(f"/runs/{stopped}/state", json={"state": "stopped"}).raise_for_status()
    assert ids(client) == [stopped, started, created]
    assert ids(client, kind="session", state="started,stopped", limit=1) == [stopped, started]
    assert ids(client, state="created") == [created]
    assert ids(client, kind="task") == []
    assert ids(client, q=created[3:20].upper()) == [created]
    made = client.get(f"/runs/{started}").json()["created"]
    assert ids(client, created_after=made) == [stopped]
    assert ids(client, created_before=made) == [created]
    for sort, expected in (
        ("created", [created, started, stopped]),
        ("updated", [created, started, stopped]),
        ("-updated", [stopped, started, created]),
        ("name", [created, started, stopped]),
        ("-name", [stopped, started, created]),
    ):
        assert ids(client, sort=sort, limit=2) == expected
    assert ids(client, owner="local", limit=1) == [stopped, started, created]
    assert ids(client, owner="someone") == []


def test_a_page_goes_on_behind_a_run_that_was_deleted(client: httpx.Client) -> None:
    first, second, third = (new(client) for _ in range(3))
    page = client.get("/runs", params={"limit": 2}).json()
    assert [run["id"] for run in page["runs"]] == [third, second]
    client.delete(f"/runs/{second}").raise_for_status()
    new(client)
    rest = client.get("/runs", params={"limit": 1, "cursor": page["next"]}).json()
    assert [run["id"] for run in rest["runs"]] == [first]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("state=startec", f"{STATES}: did you mean started?"),
        ("state=", f"{STATES}."),
        ("state=started&state=paused", "The parameter `state` is given twice."),
        ("tag=a,,b", "The parameter `tag` must be tags separated by commas."),
        ("tag=-a", "The parameter `tag` must be tags separated by commas."),
        ("sort=create", "The parameter `sort` must be "),
        ("created_after=yesterday", "The parameter `created_after` must be a Unix time, in seconds."),
        ("created_after=1_0", "The parameter `created_after` must be a Unix time, in seconds."),
        ("updated_before=nan", "The parameter `updated_before` must be a Unix time, in seconds."),
        ("updated_before=", "The parameter `updated_before` must be a Unix time, in seconds."),
        ("limit=0", "The parameter `limit` must be at least 1"),
        ("limit=1001", "The parameter `limit` must be at most 1000"),
        ("tags=a", "The parameter `tags` is not known here: did you mean tag?"),
        ("before=3", "The parameter `before` is not known here"),
        ("cursor=3!", "The parameter `cursor` must be text that matches"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_named(client: httpx.Client, query: str, message: str) -> None:
    refused = client.get(f"/runs?{query}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")
    assert refused.json()["error"]["message"].startswith(message)


def test_a_cursor_that_leads_nowhere_is_refused(client: httpx.Client) -> None:
    for _ in range(2):
        new(client)
    cursor = client.get("/runs", params={"limit": 1}).json()["next"]
    for params, words in (
        ({"cursor": cursor, "sort": "name"}, "belongs to a list ordered by '-created', not 'name'"),
        ({"cursor": cursor[:-2]}, "is no cursor"),
        ({"cursor": "17"}, "is no cursor"),
        ({"cursor": "A" * 1201}, "must have at most 1200 characters"),
    ):
        refused = client.get("/runs", params=params)
        assert refused.status_code == 422
        assert words in refused.json()["error"]["message"]


def test_a_page_anywhere_in_a_list_says_how_many_runs_there_are(client: httpx.Client) -> None:
    runs = [new(client) for _ in range(5)]
    client.post(f"/runs/{runs[1]}/steps").raise_for_status()

    def page(**params: Any) -> tuple[list[str], Any]:
        answer = client.get("/runs", params={"sort": "created", **params}).raise_for_status().json()
        return [run["id"] for run in answer["runs"]], answer["total"]

    assert page(offset=3, limit=1, total="true") == (runs[3:4], 5)
    assert page(offset=9, total="true", state="created") == ([], 4)
    assert page(total="true", owner="someone") == ([], 0)
    assert page(offset=4) == (runs[4:], None)
    first = client.get("/runs", params={"sort": "created", "limit": 1, "offset": 1, "total": "true"})
    rest = client.get(first.links["next"]["url"]).json()
    assert [run["id"] for run in rest["runs"]] == runs[2:3], "the next page leaves nothing out"
    for wrong in ({"offset": -1}, {"offset": 1_000_001}, {"offset": "1_0"}, {"total": "yes"}):
        assert client.get("/runs", params=wrong).status_code == 422


def test_a_run_knows_the_tree_of_its_forks(client: httpx.Client) -> None:
    root = new(client, name="root")
    client.post(f"/runs/{root}/steps", json={"steps": 5}).raise_for_status()

    def fork(parent: str, step: int) -> str:
        made: str = client.post(f"/runs/{parent}/fork", json={"step": step}).raise_for_status().json()["id"]
        return made

    left, right = fork(root, 2), fork(root, 4)
    client.post(f"/runs/{left}/steps").raise_for_status()
    leaf = fork(left, 3)
    new(client)  # which belongs to another tree

    def tree(run_id: str) -> list[tuple[Any, ...]]:
        answer = client.get(f"/runs/{run_id}/tree").raise_for_status().json()
        assert answer["complete"]
        fields = ("id", "parent", "step", "position", "savepoint")
        return [tuple(node[field] for field in fields) for node in answer["nodes"]]

    nodes = {
        (root, None, None, 5, None),
        (left, root, 2, 3, None),
        (right, root, 4, 4, None),
        (leaf, left, 3, 3, None),
    }
    for run_id in (root, left, right, leaf):
        found = tree(run_id)
        assert (set(found), len(found)) == (nodes, 4)
        places = [node[0] for node in found]
        assert places.index(left) < places.index(leaf), "parents come before their forks"
    client.delete(f"/runs/{left}").raise_for_status()
    assert tree(leaf) == [(leaf, left, 3, 3, None)], "its branch ends where a run is missing"
    assert {node[0] for node in tree(root)} == {root, right}
    assert client.get("/runs/unknown/tree").status_code == 404
