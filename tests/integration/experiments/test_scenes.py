"""Scenes of experiments on a real server: of savepoints, and of a run while it is worked on."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import ended, example, identity, made, put, send
from tests.support.processes import marked
from tests.support.scenes import GREY, grey_experiment, off_screen_library, pixels_of
from tests.support.served import Served

__all__ = ["off_screen_library"]

ENDLESS = "while True:\n    nrp.run_loop(1)\n"
SLOW = "import time\nwhile True:\n    nrp.run_loop(1)\n    time.sleep(0.02)\n"
HALF_A_SECOND = "nrp.run_loop(50)\n"


def drawn(client: httpx.Client, run_id: str, tag: str = "", **query: Any) -> httpx.Response:
    """Ask for a picture, again while there are too many processes that draw."""
    while True:
        response = client.get(f"/runs/{run_id}/scene", params=query, headers={"If-None-Match": tag})
        if response.status_code != 429:
            return response
        assert response.json()["error"]["code"] == "too_many_scenes"
        time.sleep(0.1)


def until(client: httpx.Client, run_id: str, wanted: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Ask for pictures of a run as it is now until one is as wanted."""
    tag = ""
    while True:
        response = drawn(client, run_id, tag)
        assert response.status_code in (200, 304), response.text
        tag = response.headers["ETag"]
        if response.status_code == 200 and wanted(response):
            return response
        time.sleep(0.05)


def is_live(response: httpx.Response) -> bool:
    return response.headers["Scene-Live"] == "true"


def steps_in(response: httpx.Response) -> int:
    """Return how many steps the environment of a picture has taken."""
    (value,) = set(pixels_of(response.content).ravel().tolist())
    return int(value)


def drawing(server: Served) -> list[int]:
    """Return the processes that draw scenes."""
    found = []
    for pid in marked(identity(server.log.parent)):
        with suppress(OSError):  # it has ended
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"scene_process" in command and b"guard.py" not in command:
                found.append(pid)
    return found


def views_kept(server: Served) -> int:
    """Return how many documents the store has of what was seen."""
    with closing(sqlite3.connect(f"file:{server.log.parent}/perdure.db?mode=ro", uri=True)) as store:
        counted = store.execute("SELECT count(*) FROM records WHERE dialect IN ('views', 'watched')")
        return int(counted.fetchone()[0])


def test_a_run_lists_the_engines_that_have_a_scene(client: httpx.Client) -> None:
    run_id = made(client, send(client, "listed", example("pendulum")))["id"]
    (scene,) = client.get(f"/runs/{run_id}/scenes").json()["scenes"]
    assert (scene["engine"], scene["simulator"], scene["world"]) == ("plant", "Mujoco", "pendulum.xml")
    without = made(client, send(client, "exchanged", example("exchange")))["id"]
    assert client.get(f"/runs/{without}/scenes").json() == {"scenes": []}
    missing = client.get(f"/runs/{without}/scene")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "scene_not_found")
    session = client.post("/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}}).json()["id"]
    assert client.get(f"/runs/{session}/scenes").json()["error"]["code"] == "wrong_kind"


def test_a_picture_shows_the_state_of_its_savepoint(client: httpx.Client) -> None:
    run_id = made(client, send(client, "grey", grey_experiment(HALF_A_SECOND)))["id"]
    assert steps_in(drawn(client, run_id)) == 0
    put(client, run_id, "started")
    ended(client, run_id)
    saved = [it["timestamp"] for it in client.get(f"/runs/{run_id}/savepoints").json()["savepoints"]]
    assert len(saved) >= 6
    for timestamp in (saved[-1], saved[0], saved[3]):
        response = drawn(client, run_id, engine="box", savepoint=timestamp)
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert (response.headers["Scene-Timestamp"], response.headers["Scene-Live"]) == (
            f"{timestamp}",
            "false",
        )
        assert steps_in(response) == timestamp // 10**7
    again = drawn(client, run_id, response.headers["ETag"], savepoint=saved[3])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == response.headers["ETag"]
    nowhere = drawn(client, run_id, savepoint=12345)
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "savepoint_not_found")


@pytest.mark.parametrize("isolated", [False, True])
def test_a_running_simulation_is_seen_and_nothing_is_kept_of_it(
    client: httpx.Client, server: Served, isolated: bool
) -> None:
    files = grey_experiment(SLOW, every=1000.0, Isolated=isolated)
    run_id = made(client, send(client, f"live-{isolated}", files))["id"]
    put(client, run_id, "started")
    first = until(client, run_id, is_live)
    later = until(
        client, run_id, lambda it: int(it.headers["Scene-Timestamp"]) > 0 and it.content != first.content
    )
    for response in (first, later):
        assert steps_in(response) == int(response.headers["Scene-Timestamp"]) // 10**7 % 256
    assert int(later.headers["Scene-Timestamp"]) > int(first.headers["Scene-Timestamp"])
    assert drawing(server)
    assert views_kept(server)

    put(client, run_id, "paused")  # which makes a savepoint, as new as anything that was shown
    paused = until(client, run_id, lambda it: True)
    newest = client.get(f"/runs/{run_id}/savepoints").json()["savepoints"][-1]["timestamp"]
    assert (paused.headers["Scene-Live"], int(paused.headers["Scene-Timestamp"])) == ("false", newest)
    put(client, run_id, "stopped")
    while views_kept(server):  # the worker forgets them a moment later
        time.sleep(0.05)


def test_a_model_of_mujoco_is_drawn_in_the_size_that_is_asked_for(
    client: httpx.Client, off_screen_library: None
) -> None:
    files = example("pendulum")
    config = json.loads(files["simulation_config.json"]) | {
        "SimulationTimeout": 0.5,
        "Savepoint": {"every": 0.2},
    }
    files["simulation_config.json"] = json.dumps(config).encode()
    run_id = made(client, send(client, "pendulum", files))["id"]
    put(client, run_id, "started")
    ended(client, run_id)
    saved = [it["timestamp"] for it in client.get(f"/runs/{run_id}/savepoints").json()["savepoints"]]
    pictures = {at: drawn(client, run_id, savepoint=at, width=320, height=200) for at in saved[:2]}
    pixels = [pixels_of(response.content) for response in pictures.values()]
    assert [it.shape for it in pixels] == [(200, 320, 3)] * 2
    assert len({it.tobytes() for it in pixels}) == 2  # it has swung
    assert pixels[0].std() > 5  # it isn't one colour
    assert pixels_of(drawn(client, run_id).content).shape == (480, 640, 3)


BROKEN = {
    "raises": ("raise ValueError('no paint')", "no paint"),
    "draws nothing": ("return None", "rgb_array"),
    "ends its process": ("import os; print('gone', flush=True); os._exit(3)", "gone"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_environment_that_cannot_be_drawn_says_why_and_its_run_goes_on(
    client: httpx.Client, what: str
) -> None:
    code, words = BROKEN[what]
    broken = GREY.replace("return np.full((40, 60, 3), self.count % 256, np.uint8)", code)
    run_id = made(client, send(client, what.replace(" ", "-"), grey_experiment(HALF_A_SECOND, broken)))["id"]
    refused = drawn(client, run_id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "scene_unavailable")
    assert words in refused.json()["error"]["message"]
    put(client, run_id, "started")
    assert ended(client, run_id)["state"] == "completed"


def test_a_state_that_cannot_be_saved_is_no_scene_and_says_so(client: httpx.Client) -> None:
    odd = GREY.replace(
        "        self.count = 0\n\n", "        self.odd = iter(())\n        self.count = 0\n\n", 1
    )
    run_id = made(client, send(client, "odd", grey_experiment(HALF_A_SECOND, odd)))["id"]
    refused = drawn(client, run_id)
    assert refused.json()["error"]["code"] == "scene_unavailable"
    assert "can't be saved" in refused.json()["error"]["message"]


def test_no_more_processes_draw_than_may(client: httpx.Client, server: Served) -> None:
    runs = [made(client, send(client, f"many-{i}", grey_experiment(ENDLESS)))["id"] for i in range(3)]
    for run_id in runs:
        assert steps_in(drawn(client, run_id)) == 0
        assert len(drawing(server)) <= 2
