"""Where the server stands: all of it for administrators, their own queue for others."""

import platform
import time
from collections.abc import Iterator

import pytest
from tests.support.in_process import TASKS, Client, in_process
from tests.support.waiting import until

from perdure import __version__
from perdure.execution.presence import Announcement, Presence
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import ANY_TAG

ADA, BOB = ({"Authorization": f"Bearer {token}"} for token in ("one", "two"))
TOKENS = {"ada": ("one",), "bob": ("two",)}
SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Client]:
    settings = Settings(store="memory://", tokens=TOKENS, administrators=("ada",), tasks=(TASKS,))
    with in_process(settings) as made:
        yield made


@pytest.fixture(scope="module")
def free() -> Iterator[Client]:
    with in_process() as made:
        yield made


def pause(client: Client, headers: dict[str, str]) -> str:
    body = {"kind": "task", "task": "add", "input": {"numbers": list(range(9))}}
    run: str = client.post("/runs", json=body, headers=headers).json()["id"]
    client.put(f"/runs/{run}/state", json={"state": "paused"}, headers=headers)
    return run


def test_without_tokens_everybody_sees_everything(free: Client) -> None:
    assert free.get("/system").json()["server"] is not None


def test_it_says_where_the_server_and_its_store_stand(free: Client) -> None:
    before = free.get("/system").json()["server"]["steps"]
    run = free.post("/runs", json=SESSION).json()["id"]
    free.post(f"/runs/{run}/steps", json={})
    # What the server's own work writes may be on its way.
    found = until(lambda: (it := free.get("/system").json())["server"]["store"]["waiting"] == 0 and it)
    assert found["version"] == __version__
    assert found["started"] <= time.time()
    server = found["server"]
    assert (server["python"], server["host"]) == (platform.python_version(), platform.node())
    assert len(server["numerics"]) == 16
    assert server["store"] == {
        "ready": True,
        "problem": None,
        "shared": False,
        "ephemeral": True,
        "bytes": server["store"]["bytes"],
        "waiting": 0,
        "commits": server["store"]["commits"],
    }
    commits = server["store"]["commits"]
    assert commits["count"] >= 2  # the run and its step
    assert commits["seconds"] > 0
    assert commits["buckets"][-1] == {"seconds": None, "count": commits["count"]}
    assert server["live_sessions"] >= 1
    assert server["steps"]["count"] == before["count"] + 1
    assert server["steps"]["seconds"] > before["seconds"]
    assert server["steps"]["buckets"][-1] == {"seconds": None, "count": server["steps"]["count"]}
    limits = [bucket["seconds"] for bucket in server["steps"]["buckets"][:-1]]
    assert limits == sorted(limits)
    assert server["workers"] is None and server["broker"] is None


def test_an_administrator_sees_the_queue_of_all_and_others_their_own(guarded: Client) -> None:
    def paused(headers: dict[str, str]) -> int:
        parts = guarded.get("/system", headers=headers).json()["queue"]
        return sum(it["runs"] for it in parts if (it["kind"], it["state"]) == ("task", "paused"))

    before = paused(ADA), paused(BOB)
    pause(guarded, ADA)
    pause(guarded, BOB)
    pause(guarded, BOB)
    assert (paused(ADA), paused(BOB)) == (before[0] + 3, before[1] + 2)
    assert guarded.get("/system", headers=BOB).json()["server"] is None
    assert guarded.get("/system", headers=ADA).json()["server"] is not None
    assert guarded.get("/system").status_code == 401


class SharedStore(MemoryStore):
    """A store in memory that other processes might have open, too."""

    shared = True


def test_it_says_what_the_workers_of_a_shared_store_do_and_what_they_lack() -> None:
    store = SharedStore()
    lacks = {"task": {"sha:1": "The package 'pandas' is missing."}, "experiment": {}}
    Announcement(store, "one").put(Presence(lacks, (ANY_TAG,), {"task": 2}, {"task": 1}, ("run",)))
    Announcement(store, "two").put(Presence({"task": {}}, ("gpu",), {"task": 1}))
    settings = Settings(store="memory://", artifacts_shared=True, tasks=(TASKS,))
    with in_process(settings, store) as client:
        workers = {it["name"]: it for it in client.get("/system").json()["server"]["workers"]}
    assert workers["one"] == {
        "name": "one",
        "host": platform.node(),
        "tags": None,
        "slots": {"task": 2},
        "busy": {"task": 1},
        "runs": ["run"],
        "lacks": ["The package 'pandas' is missing."],
    }
    assert (workers["two"]["tags"], workers["two"]["runs"]) == (["gpu"], [])
