"""Whichever of several machines dies or freezes, nothing acknowledged is lost, doubled or has other numbers.

Two API processes, two workers, PostgreSQL behind pgbouncer, and Redis serve sessions, tasks and experiments.
``make crash KILLS=n`` strikes as often as one likes; it takes too long to be a part of ``make test``.
"""

import asyncio
import json
import os
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.drawing import files_of, outcome
from tests.support.endless_sessions import new_session, random_step, uninterrupted
from tests.support.experiment_runs import ended, made, put, send
from tests.support.machines import Machines, Victim, machines
from tests.support.served import served
from tests.support.zips import zip_of

KILLS = int(os.environ.get("CRASH_KILLS", "6"))
CLIENTS = 8
SESSIONS = 200
TASKS = 50
EXPERIMENTS = 6
EXAMPLE = "pendulum"
SECONDS = 3.0  # of simulated time
NUMBERS = 40  # which a task adds, with a savepoint after each
BETWEEN_STRIKES = 60  # acknowledged requests
WAIT = 240.0  # seconds

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"),
    pytest.mark.skipif("CRASH_KILLS" not in os.environ, reason="`make crash` runs it"),
]


class Load:
    """Clients of a deployment, and what they were answered.

    Attributes
    ----------
    acknowledged
        Results of each step of each session.
    still
        The longest time in seconds that a request of each kind took, with all repetitions.
    """

    def __init__(self, there: Machines, http: httpx.AsyncClient) -> None:
        self.acknowledged: dict[str, dict[int, Any]] = {}
        self.seeds: dict[str, int] = {}
        self.tasks: dict[str, list[int]] = {}  # what each adds
        self.experiments: dict[str, int] = {}  # the seed of each
        self.still: dict[str, float] = {}
        self.over = False
        self._there, self._http = there, http
        self._count = 0
        self._counted = asyncio.Condition()

    async def ask(self, method: str, path: str, what: str, **given: Any) -> Any:
        """Ask with one key until there is an answer, at any server, as often as it takes."""
        begun = time.monotonic()
        headers = {"Idempotency-Key": str(uuid.uuid4()), **given.pop("headers", {})}
        while True:
            try:
                response = await self._http.request(
                    method, self._there.url() + path, headers=headers, **given
                )
            except httpx.TransportError:
                await asyncio.sleep(0.02)  # what was struck is not there yet
                continue
            if response.status_code != 503:
                break
            await asyncio.sleep(0.1)
        assert response.is_success, f"{response.status_code} {response.text}"
        self.still[what] = max(self.still.get(what, 0.0), time.monotonic() - begun)
        return response.json()

    async def create(self) -> None:
        """Create all runs; experiments and tasks start at once."""
        zipped = zip_of(files_of(EXAMPLE, SECONDS, 0.5))
        parameters, headers = {"name": EXAMPLE}, {"Content-Type": "application/zip"}
        await self.ask(
            "POST", "/experiments", "experiment", params=parameters, content=zipped, headers=headers
        )
        for seed in range(EXPERIMENTS):
            body: dict[str, Any] = {"kind": "experiment", "experiment": EXAMPLE, "seed": seed}
            run = await self.ask("POST", "/runs", "creation", json=body)
            self.experiments[run["id"]] = seed
            await self.ask("PUT", f"/runs/{run['id']}/state", "creation", json={"state": "started"})
        for seed in range(SESSIONS):
            body = new_session(seed)
            run = await self.ask("POST", "/runs", "creation", json=body)
            self.seeds[run["id"]], self.acknowledged[run["id"]] = seed, {}
        for seed in range(TASKS):
            numbers = random.Random(seed).choices(range(10**6), k=NUMBERS)
            body = {"kind": "task", "task": "add", "input": {"numbers": numbers}}
            run = await self.ask("POST", "/runs", "creation", json=body)
            self.tasks[run["id"]] = numbers

    async def step(self) -> None:
        """Step random sessions, now and then with new constants or points, or several steps at once."""
        chance = random.Random()
        while not self.over:
            run_id = chance.choice(list(self.seeds))
            body = random_step(chance)
            answer = await self.ask("POST", f"/runs/{run_id}/steps", "step", json=body)
            assert len(answer["steps"]) == body.get("steps", 1)
            known = self.acknowledged[run_id]
            for step in answer["steps"]:
                assert step["step"] not in known, "a step was acknowledged to two requests"
                known[step["step"]] = step["results"]
            async with self._counted:
                self._count += 1
                self._counted.notify_all()

    async def strike(self, victims: list[Victim]) -> None:
        """Strike one after the other, each after some more acknowledgements."""
        chance = random.Random()
        for victim in victims:
            target = self._count + chance.randint(1, BETWEEN_STRIKES)
            async with self._counted:
                await self._counted.wait_for(lambda target=target: self._count >= target)
            await asyncio.to_thread(self._there.strike, victim)

    async def finish(self, run_id: str, what: str) -> dict[str, Any]:
        """Wait until a run is final; return it."""
        position, since = None, time.monotonic()
        while True:
            run: dict[str, Any] = await self.ask("GET", f"/runs/{run_id}", "look")
            if run["outcome"] is not None:
                return run
            if (now := (run["attempt"], run["progress"])) != position:
                position, since = now, time.monotonic()
            elif run["attempt"]:  # it doesn't wait for its turn
                self.still[what] = max(self.still.get(what, 0.0), time.monotonic() - since)
                assert time.monotonic() - since < WAIT, f"{what} {run_id} stands still: {run}"
            await asyncio.sleep(0.25)

    async def log(self, run_id: str) -> list[Any]:
        """Read the whole log of a session."""
        steps: list[Any] = []
        while True:
            query = {"after": len(steps), "limit": 1000}
            page = await self.ask("GET", f"/runs/{run_id}/steps", "look", params=query)
            steps += page["steps"]
            if page["next"] is None:
                return steps


def undisturbed(folder: Path) -> dict[int, dict[str, Any]]:
    """Return what the experiments come to on one machine where nothing dies, by their seeds."""
    folder.mkdir()
    with served(folder, max_simulations=EXPERIMENTS) as server, server.client() as client:
        send(client, EXAMPLE, files_of(EXAMPLE, SECONDS, 0.5))
        runs = {seed: made(client, EXAMPLE, seed=seed)["id"] for seed in range(EXPERIMENTS)}
        for run_id in runs.values():
            put(client, run_id, "started")
        return {seed: outcome(client, ended(client, run_id)) for seed, run_id in runs.items()}


def test_whatever_machine_dies_nothing_is_lost_or_doubled_and_all_numbers_are_the_undisturbed_ones(
    tmp_path: Path,
) -> None:
    expected = undisturbed(tmp_path / "alone")
    victims = [victim for _ in range(0, KILLS, len(Victim)) for victim in Victim][:KILLS]
    random.Random().shuffle(victims)

    async def work(there: Machines) -> Load:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=30.0, limits=limits) as http:
            load = Load(there, http)
            await load.create()
            async with asyncio.TaskGroup() as stepping:
                for _ in range(CLIENTS):
                    stepping.create_task(load.step())
                async with asyncio.TaskGroup() as group:
                    group.create_task(load.strike(victims))
                    following = [
                        group.create_task(load.finish(run_id, what))
                        for what, runs in (("task", load.tasks), ("experiment", load.experiments))
                        for run_id in runs
                    ]
                load.over = True
            runs = {run["id"]: run for run in (task.result() for task in following)}
            for run_id, numbers in load.tasks.items():
                assert runs[run_id]["outcome"] == "succeeded", runs[run_id]
                result = await load.ask("GET", f"/runs/{run_id}/result", "look")
                assert result["result"]["total"] == sum(numbers)
            for run_id, seed in load.seeds.items():
                log = await load.log(run_id)
                # Every request was repeated until it was acknowledged: the log holds nothing else.
                assert [step["step"] for step in log] == list(range(1, len(log) + 1))
                assert load.acknowledged[run_id] == {step["step"]: step["results"] for step in log}
                answers = await uninterrupted(seed, log)
                assert json.dumps([step["results"] for step in log]) == json.dumps(answers)
        with httpx.Client(base_url=there.url(), timeout=WAIT) as client:
            for run_id, seed in load.experiments.items():
                assert outcome(client, runs[run_id]) == expected[seed]
        return load

    with machines(tmp_path, "tests.support.models:endless", "tests.support.small_tasks:ADD") as there:
        load = asyncio.run(work(there))
        happened = ", ".join(there.happened)
    steps = sum(len(known) for known in load.acknowledged.values())
    still = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in load.still.items())
    print(
        f"\n{happened}: {steps} steps, {TASKS} tasks, {EXPERIMENTS} experiments: 0 lost, 0 doubled, all "
        f"bit-identical; longest wait: {still}"
    )
