"""Experiments on a server: how soon they start, pause, stop and go on, and what others notice of that."""

import io
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

import httpx

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from benchmarks.servers import perdure

__all__ = ["measure"]

SOON = 0.3  # seconds
AGAIN = 1.0
ANSWER = 0.05  # seconds for GET state while others start and stop
ROUNDS = 10

SCRIPTS = {
    "steps": "while True:\n    nrp.run_loop(10)\n",
    "sleeps": "import time\ntime.sleep(1e6)\n",
    "swallows what stops it": (
        "while True:\n    try:\n        nrp.run_loop()\n    except BaseException:\n        pass\n"
    ),
    "never calls run_loop": "while True:\n    pass\n",
    "computes in C": "sum(range(10**15))\n",
    "floods its output": "while True:\n    print(1)\n",
    "floods its log": "while True:\n    file_logger.info('1')\n",
    "floods both between steps": "while True:\n    nrp.run_loop()\n    print(1)\n    file_logger.info('1')\n",
}


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the seconds from a request to its answer, at which it is so."""
    rounds = ROUNDS // 5 if quick else ROUNDS
    with perdure(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        made = []
        for number, (what, script) in enumerate(SCRIPTS.items()):
            found: dict[str, list[float]] = {"paused": [], "started": [], "stopped": []}
            pipe = folder / f"pipe{number}"
            os.mkfifo(pipe)
            _send(client, f"script{number}", f"open({str(pipe)!r}, 'w').close()\n{script}")
            for _ in range(rounds):
                begun = time.monotonic()
                run_id = _made(client, f"script{number}")
                made.append(time.monotonic() - begun)
                _put(client, run_id, "started")
                pipe.read_bytes()
                for state in ("paused", "started", "stopped"):
                    found[state].append(_put(client, run_id, state))
            for state, name in (("paused", "paused"), ("started", "resumed"), ("stopped", "stopped")):
                within = max(found[state]) < SOON
                yield Figure(f"{name} while it {what}", _seconds(found[state]), f"< {SOON} s", within)
        yield Figure("made: fetched, engines loaded, paused", _seconds(made))
        _send(
            client, "again", "while True:\n    nrp.run_loop(1000)\n", config=b'{"Savepoint": {"every": 50}}'
        )
        again = [_again(client) for _ in range(rounds)]
        told = _seconds(again)
        yield Figure(
            "killed simulation server, until the next one steps", told, f"< {AGAIN} s", max(again) < AGAIN
        )
        answers = _answers(client, rounds)
        yield Figure(
            f"GET state while {rounds * 3} others start and stop ({len(answers)} requests)",
            f"{spread([1000 * it for it in answers], '.1f')} ms",
        )
        most = quantiles(answers, n=100)[-1]
        told = f"{1000 * most:.1f} ms"
        yield Figure("  99 of 100 within", told, f"< {1000 * ANSWER:g} ms", most < ANSWER)


def _answers(client: httpx.Client, rounds: int) -> list[float]:
    """Return the seconds that each question for a state took while others started and stopped."""
    _send(client, "asked", SCRIPTS["steps"])
    place = client.post("/simulation", json={"experimentID": "asked", "state": "started"}).headers["Location"]
    answers = []

    def start_and_stop() -> None:
        for _ in range(rounds):
            run_id = _made(client, "script0")
            _put(client, run_id, "stopped")

    with ThreadPoolExecutor(3) as threads, httpx.Client(base_url=client.base_url) as asking:
        others = [threads.submit(start_and_stop) for _ in range(3)]
        while not all(other.done() for other in others):
            begun = time.monotonic()
            asking.get(f"{place}/state").raise_for_status()
            answers.append(time.monotonic() - begun)
        for other in others:
            other.result()
    client.put(f"{place}/state", json={"state": "stopped"}).raise_for_status()
    return answers


def _again(client: httpx.Client) -> float:
    """Kill a simulation server; return the seconds until the next one has made a savepoint."""
    run_id = _made(client, "again")
    _put(client, run_id, "started")

    def newest() -> int:
        savepoints = client.get(f"/runs/{run_id}/savepoints").json()["savepoints"]
        return int(savepoints[-1]["timestamp"])

    while not newest():
        pass
    listed = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in listed.splitlines()]
    (child,) = [int(line[0]) for line in lines if line[-1] == run_id and "guard.py" not in " ".join(line)]
    os.kill(child, signal.SIGKILL)
    begun = time.monotonic()
    while client.get(f"/runs/{run_id}").json()["attempt"] < 2:
        pass
    left = newest()
    while newest() == left:
        pass
    seconds = time.monotonic() - begun
    _put(client, run_id, "stopped")
    return seconds


def _send(client: httpx.Client, name: str, script: str, config: bytes = b"{}") -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("simulation_config.json", config)
        made.writestr("main_script.py", script)
    headers = {"Content-Type": "application/zip"}
    client.post(
        "/experiments", params={"name": name}, content=archive.getvalue(), headers=headers
    ).raise_for_status()


def _made(client: httpx.Client, experiment: str) -> str:
    answer = client.post("/runs", json={"kind": "experiment", "experiment": experiment})
    answer.raise_for_status()
    run_id: str = answer.json()["id"]
    return run_id


def _put(client: httpx.Client, run_id: str, state: str) -> float:
    """Bring a run to a state; return how long that took."""
    begun = time.monotonic()
    answer = client.put(f"/runs/{run_id}/state", json={"state": state})
    seconds = time.monotonic() - begun
    if answer.status_code != 200 or answer.json()["state"] != state:
        raise BenchmarkFailed(f"An experiment couldn't be {state}: {answer.text}")
    return seconds


def _seconds(found: list[float]) -> str:
    return f"{spread(found, '.3f')} s"
