"""A backup of a store that is stepped, forked and written to meanwhile, served as it is."""

import json
import os
import stat
import threading
from pathlib import Path

import httpx
from tests.support.commands import BATH, perdure
from tests.support.server import running
from tests.support.zips import zip_of

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}
FILES = {"main_script.py": b"nrp.run_loop(10)\n", "simulation_config.json": b"{}", "empty": b""}


def begun(url: str) -> str:
    return str(httpx.post(f"{url}/runs", json=NEW).raise_for_status().json()["id"])


def water(url: str, run: str) -> list[float]:
    answer = httpx.get(f"{url}/runs/{run}/results", params={"limit": 1000}).raise_for_status().json()
    values: list[float] = answer["results"]["bath"]["base"]["values"]["water"]
    return values


def test_a_backup_of_a_store_that_is_stepped_is_served_and_goes_on_alike(tmp_path: Path) -> None:
    store, copy = tmp_path / "s.db", tmp_path / "copies" / "monday"
    with running(store, BATH) as server:
        runs = [begun(server.url) for _ in range(3)]
        sent = httpx.post(
            f"{server.url}/experiments",
            params={"name": "one"},
            content=zip_of(FILES),
            headers={"Content-Type": "application/zip"},
        )
        assert sent.status_code == 201, sent.text
        stop, acknowledged, before = threading.Event(), dict.fromkeys(runs, 0), dict.fromkeys(runs, 0)

        def step(run: str) -> None:
            with httpx.Client(base_url=server.url) as client:
                while not stop.is_set() and acknowledged[run] < 900:
                    client.post(f"/runs/{run}/steps").raise_for_status()
                    acknowledged[run] += 1

        threads = [threading.Thread(target=step, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        while min(acknowledged.values()) < 5:
            threads[0].join(0.01)
        before = dict(acknowledged)
        made = perdure("backup", str(copy), "--store", f"sqlite:///{store}")
        stop.set()
        for thread in threads:
            thread.join()
        assert made.returncode == 0, made.stderr
        assert f"perdure serve --store sqlite:///{copy}" in made.stdout
        assert f"perdure.db, {(copy / 'perdure.db').stat().st_size} bytes" in made.stdout
        theirs = {run: water(server.url, run) for run in runs}

        again = perdure("backup", str(copy), "--store", f"sqlite:///{store}")
        assert (again.returncode, "there is something at that place" in again.stderr) == (1, True)
        remote = httpx.post(f"{server.url}/backup", json={"folder": str(tmp_path / "other")})
        assert (remote.status_code, remote.json()["error"]["code"]) == (403, "administrator_only")
        # The server holds its store as before.
        assert httpx.get(f"{server.url}/ready").status_code == 200
        assert httpx.post(f"{server.url}/runs/{runs[0]}/steps").status_code == 200
        assert server.stop() == 0

    assert sorted(made_of.name for made_of in copy.iterdir()) == ["perdure.db", "perdure.db.artifacts"]
    for made_of in copy.iterdir():
        assert stat.S_IMODE(made_of.stat().st_mode) & 0o077 == 0
    checked = perdure("doctor", "--dry-run", "--store", f"sqlite:///{copy}", "--models", BATH)
    assert checked.returncode == 0, checked.stdout
    # In a folder of its own it opens without a question.
    with running(copy, BATH) as server:
        for run in runs:
            mine = water(server.url, run)
            assert before[run] <= len(mine) <= len(theirs[run])
            assert mine == theirs[run][: len(mine)]
            missing = len(theirs[run]) - len(mine)
            if missing:
                httpx.post(f"{server.url}/runs/{run}/steps", json={"steps": missing}).raise_for_status()
            assert water(server.url, run) == theirs[run]
        for name, content in FILES.items():
            assert httpx.get(f"{server.url}/experiments/one/files/{name}").content == content
        assert server.stop() == 0


def test_a_store_that_is_not_served_is_backed_up_and_a_failed_backup_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    with running(store, BATH) as server:
        run = begun(server.url)
        httpx.post(f"{server.url}/runs/{run}/steps", json={"steps": 4}).raise_for_status()
        assert server.stop() == 0
    copy = tmp_path / "100% #1"
    made = perdure("backup", str(copy), "--store", f"sqlite:///{store}")
    assert made.returncode == 0, made.stderr
    url = made.stdout.split("--store ")[1].strip().strip("'")
    assert url == f"sqlite:///{tmp_path}/100%25%20%231"
    shown = perdure("runs", "show", run, "--store", url)
    assert json.loads(shown.stdout)["step"] == 4
    assert perdure("runs", "show", run, "--store", f"sqlite:///{store}").returncode == 0

    file = tmp_path / "file"
    file.write_text("mine")
    refused = perdure("backup", str(file), "--store", f"sqlite:///{store}")
    assert (refused.returncode, file.read_text()) == (1, "mine")
    content = bytearray(store.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    store.write_bytes(content)
    damaged = perdure("backup", str(tmp_path / "damaged"), "--store", f"sqlite:///{store}")
    assert damaged.returncode == 1
    assert not (tmp_path / "damaged" / "perdure.db").exists()
