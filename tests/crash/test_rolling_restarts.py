"""Servers on PostgreSQL are restarted one after the other, each time with another version of their task.

No run is computed in part by one version and in part by the other, none stands still for good, and no request
gets a 5xx. ``make test`` does it with a few runs, ``make crash KILLS=n`` with as many runs as one likes.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
from tests.support.commands import ROOT, command
from tests.support.forked import Forked

from perdure.drivers.computed_by import ComputedBy
from perdure.lifecycle import Outcome
from perdure.settings import Settings
from perdure.state.codec import decode
from perdure.stores.open import open_configured

RUNS = int(os.environ.get("CRASH_KILLS", "8"))
RESTARTS = 10 if RUNS > 100 else 2
LEAST = 100  # numbers that each run counts
PACE = 0.04 if RUNS <= 100 else 0.01  # seconds for each
TASKS = "tests.support.saving_tasks:COUNT"  # found by name, in the version of the server
PATIENCE = 60 + RUNS * 5  # seconds
VERSIONS = ("1", "2")


class Servers:
    """Two servers on one database, each in one of the versions of the task."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "PERDURE_STORE": url,
            "PERDURE_ARTIFACTS": str(folder / "artifacts"),
            "PERDURE_ARTIFACTS_SHARED": "yes",
            "PERDURE_WORKING_FOLDERS": str(folder / "working"),
            "PERDURE_PORT": "0",
            "PERDURE_LOG_JSON": "yes",
            "PERDURE_TASKS": TASKS,
        }
        self._started = 0
        self._processes: dict[int, Forked] = {}
        self.urls: dict[int, str] = {}
        self.versions: dict[int, str] = {}

    def start(self, number: int, version: str) -> None:
        """Start one of them."""
        self._started += 1
        process = Forked(
            command,
            ("serve",),
            folder=ROOT,
            environment={**self._environment, "SAVING_VERSION": version},
            errors=self.folder / f"server{self._started}.log",
        )
        self._processes[number], self.versions[number] = process, version
        self.urls[number] = json.loads(process.stdout.readline())["url"]

    def stop(self, number: int) -> None:
        """End one as an upgrade does."""
        process = self._processes.pop(number)
        process.terminate()
        assert process.wait(PATIENCE) == 0
        process.stdout.close()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
            process.stdout.close()


class Clients:
    """Clients that ask all servers for runs until they are closed, in threads of their own."""

    def __init__(self, servers: Servers, runs: list[str]) -> None:
        self.statuses: Counter[int] = Counter()
        self._servers, self._runs = servers, runs
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        chance = random.Random()
        with httpx.Client(timeout=PATIENCE) as client:
            while not self._over.wait(0.02):
                run_id = chance.choice(self._runs)
                path = chance.choice([f"/runs/{run_id}", "/runs?kind=task&limit=20", f"/runs/{run_id}/logs"])
                url = chance.choice([*self._servers.urls.values()])
                try:
                    self.statuses[client.get(f"{url}{path}").status_code] += 1
                except httpx.TransportError:  # that server is being restarted: a balancer asks another one
                    continue


def test_rolling_restarts_wedge_no_run_and_mix_no_versions(postgres: str, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    given = {"until": str(tmp_path / "go"), "least": LEAST, "pace": PACE}
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_configured(Settings(store=postgres))))
        servers = stack.enter_context(closing(Servers(postgres, tmp_path)))
        for number in range(2):
            servers.start(number, VERSIONS[0])
        runs = []
        with httpx.Client(base_url=servers.urls[0], timeout=PATIENCE) as client:
            for _ in range(RUNS):
                answer = client.post("/runs", json={"kind": "task", "task": "count", "input": given})
                assert answer.status_code == 201, answer.text
                runs.append(answer.json()["id"])
        clients = stack.enter_context(closing(Clients(servers, runs)))

        def until_unfinished(most: int) -> None:
            until = time.monotonic() + PATIENCE
            while (unfinished := len(store.executions())) > most:
                assert time.monotonic() < until, f"{unfinished} runs stand still"
                time.sleep(0.2)

        def until_they_say_what_is_missing(there: str) -> None:
            """Wait until runs that were begun by another version than is there say so."""
            for execution in store.executions():
                begun = ComputedBy.from_text(execution.needs).version
                until = time.monotonic() + PATIENCE
                while begun not in ("", there):
                    page = httpx.get(f"{servers.urls[0]}/runs/{execution.run_id}", timeout=PATIENCE).json()
                    if f"version {begun}" in (page["missing"] or ""):
                        break
                    assert time.monotonic() < until, page
                    time.sleep(0.2)

        interrupted = 0
        for restart in range(RESTARTS):
            until_unfinished(RUNS - (restart + 1) * RUNS // (RESTARTS + 2))
            number, version = (
                restart % 2,
                VERSIONS[(restart + 2) // 2 % 2],
            )  # first one, then both, have another
            servers.stop(number)
            interrupted += sum(it.attempt > 0 and not it.holder for it in store.executions())
            servers.start(number, version)
            if len({*servers.versions.values()}) == 1:
                until_they_say_what_is_missing(version)
        for number, version in enumerate(VERSIONS):  # so that both are there
            if servers.versions[number] != version:
                servers.stop(number)
                servers.start(number, version)
        until_unfinished(0)
        clients.close()
        results: list[Any] = []
        for run_id in runs:
            run, execution = store.run(run_id), store.execution(run_id)
            assert run.outcome is Outcome.SUCCEEDED, run.reason
            result = decode(execution.result or b"")
            assert result["number"] == LEAST
            version = ComputedBy.from_text(execution.computed_by).version
            assert result["versions"] == [version]
            results.append((version, len(result["begins"])))
        assert {version for version, _ in results} == {*VERSIONS}
        assert not [status for status in clients.statuses if status >= 500], clients.statuses
        assert clients.statuses[200] > 0
        print(
            f"\n{RUNS} runs, {interrupted} of them interrupted in {RESTARTS} rolling restarts and more, "
            f"{sum(attempts for _, attempts in results)} attempts, statuses {dict(clients.statuses)}"
        )
