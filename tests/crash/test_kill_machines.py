"""Whichever of several machines dies or freezes, nothing acknowledged is lost, doubled or has other numbers.

Two API processes, two workers, PostgreSQL behind pgbouncer, and Redis serve sessions, tasks and experiments.
``make crash KILLS=n`` strikes as often as one likes.
"""

import asyncio
import json
import os
import random
import sys
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.drawing import files_of, outcome
from tests.support.endless_sessions import new_session, random_step, undisturbed_sessions, uninterrupted
from tests.support.experiment_runs import ended, made, put, send
from tests.support.machines import Machines, Victim, machines
from tests.support.served import served
from tests.support.zips import zip_of

KILLS = int(os.environ.get("CRASH_KILLS", "6"))
CLIENTS = 8
SESSIONS = 200
TASKS = 50
EXPERIMENTS = 6
LEAST = 4  # tasks and experiments that wait or run until the last strike
EXAMPLE = "pendulum"
SEEDS = 2  # of the experiments, so that each has its undisturbed run computed once
SECONDS = 3.0  # of simulated time
NUMBERS = 40  # which a task adds, with a savepoint after each
BETWEEN_STRIKES = 120  # acknowledged requests
WAIT = 240.0  # seconds
KINDS = ("task", "experiment")
LOOK = 0.5  # seconds between two looks at what the runs have come to

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"
)


class Load:
    """Clients of a deployment, and what they were answered.

    The clients create all runs, then step random sessions, until all has been struck.

    Attributes
    ----------
    seeds
        The seed of each session.
    acknowledged
        Results of each step of each session.
    tasks
        The numbers that each task adds.
    experiments
        The seed of each experiment.
    ended
        The tasks and experiments that are final.
    still
        The longest time in seconds that a request of each kind took, with all repetitions; and that a task or
        an experiment made no progress since its first attempt.
    """

    def __init__(self, there: Machines, http: httpx.AsyncClient) -> None:
        self.seeds: dict[str, int] = {}
        self.acknowledged: dict[str, dict[int, Any]] = {}
        self.tasks: dict[str, list[int]] = {}
        self.experiments: dict[str, int] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.still: dict[str, float] = {}
        self._there, self._http = there, http
        self._chance = random.Random()
        self._struck = False  # by all that is to be
        self._created = 0
        self._wanted: deque[Callable[[], Awaitable[None]]] = deque()  # runs to be created
        kinds = [self._experiment] * EXPERIMENTS + [self._task] * TASKS + [self._session] * SESSIONS
        self._chance.shuffle(kinds)
        self._wanted.extend(kinds)
        self._followed = EXPERIMENTS + TASKS  # tasks and experiments, with those to be created
        self._count = 0
        self._counted = asyncio.Condition()

    async def run(self, victims: list[Victim]) -> None:
        """Strike under the load; return when all tasks and experiments are final."""
        headers = {"Content-Type": "application/zip"}
        zipped = zip_of(files_of(EXAMPLE, SECONDS, 0.5))
        parameters = {"name": EXAMPLE}
        await self.ask("POST", "/experiments", "look", params=parameters, content=zipped, headers=headers)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._work())
            group.create_task(self._strike(victims))
            group.create_task(self._follow())
        await asyncio.gather(*map(self._step, self.seeds))  # all of them are still there

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
        self._stood_still(what, begun)
        return response.json()

    async def logs(self) -> dict[str, list[Any]]:
        """Read the whole logs of all sessions."""
        return dict(zip(self.seeds, await asyncio.gather(*map(self._log, self.seeds)), strict=True))

    async def count(self, kind: str) -> int:
        """Return how many runs of a kind there are."""
        query = {"kind": kind, "limit": 1, "total": "true"}
        total: int = (await self.ask("GET", "/runs", "look", params=query))["total"]
        return total

    async def _work(self) -> None:
        while self._wanted or not self._struck:
            steps = self.seeds and not self._struck and self._chance.random() < 0.5
            if self._wanted and not steps:
                await self._wanted.popleft()()
            else:
                await self._step(self._chance.choice(list(self.seeds)))
            async with self._counted:
                self._count += 1
                self._counted.notify_all()

    async def _session(self) -> None:
        seed = self._number()
        run = await self.ask("POST", "/runs", "creation", json=new_session(seed))
        self.seeds[run["id"]], self.acknowledged[run["id"]] = seed, {}

    async def _task(self) -> None:
        numbers = self._chance.choices(range(10**6), k=NUMBERS)
        body = {"kind": "task", "task": "add", "input": {"numbers": numbers}}
        run = await self.ask("POST", "/runs", "creation", json=body)
        self.tasks[run["id"]] = numbers

    async def _experiment(self) -> None:
        seed = self._number() % SEEDS
        body = {"kind": "experiment", "experiment": EXAMPLE, "seed": seed}
        run = await self.ask("POST", "/runs", "initialization", json=body)
        self.experiments[run["id"]] = seed
        await self.ask("PUT", f"/runs/{run['id']}/state", "start", json={"state": "started"})

    def _number(self) -> int:
        self._created += 1
        return self._created

    async def _step(self, run_id: str) -> None:
        """Step a session, now and then with new constants or points, or several steps at once."""
        body = random_step(self._chance)
        answer = await self.ask("POST", f"/runs/{run_id}/steps", "step", json=body)
        assert len(answer["steps"]) == body.get("steps", 1)
        known = self.acknowledged[run_id]
        for step in answer["steps"]:
            assert step["step"] not in known, "a step was acknowledged to two requests"
            known[step["step"]] = step["results"]

    async def _strike(self, victims: list[Victim]) -> None:
        """Strike one after the other, each after some more acknowledgements."""
        for victim in victims:
            struck = False
            while not struck:
                target = self._count + self._chance.randint(1, BETWEEN_STRIKES)
                async with self._counted:
                    await self._counted.wait_for(lambda target=target: self._count >= target)
                struck = await asyncio.to_thread(self._there.strike, victim)
        self._struck = True

    async def _follow(self) -> None:
        """Look at tasks and experiments until all are final; until the last strike, always have some."""
        seen: dict[str, tuple[Any, float]] = {}  # what each has come to, and since when
        while not self._struck or len(self.ended) < self._followed:
            known = [run_id for run_id in (*self.tasks, *self.experiments) if run_id not in self.ended]
            unfinished = {run["id"]: run for kind in KINDS for run in await self._unfinished(kind)}
            for run_id, run in unfinished.items():
                position = run["state"], run["attempt"], run["progress"]
                before, since = seen.get(run_id, (None, 0.0))
                if position != before:
                    seen[run_id] = position, time.monotonic()
                elif run["attempt"]:  # it doesn't wait for its turn
                    self._stood_still(run["kind"], since)
                    assert time.monotonic() - since < WAIT, f"it stands still: {run}"
            for run_id in known:
                if run_id not in unfinished:
                    self.ended[run_id] = await self.ask("GET", f"/runs/{run_id}", "look")
            if not self._struck and len(unfinished) + len(self._wanted) < LEAST:
                self._wanted.append(self._chance.choice([self._task, self._experiment]))
                self._followed += 1
            await asyncio.sleep(LOOK)

    async def _unfinished(self, kind: str) -> list[dict[str, Any]]:
        query = {"kind": kind, "state": "created,paused,started", "limit": 1000}
        runs: list[dict[str, Any]] = (await self.ask("GET", "/runs", "look", params=query))["runs"]
        return runs

    def _stood_still(self, what: str, since: float) -> None:
        self.still[what] = max(self.still.get(what, 0.0), time.monotonic() - since)

    async def _log(self, run_id: str) -> list[Any]:
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
    with served(folder) as server, server.client() as client:
        send(client, EXAMPLE, files_of(EXAMPLE, SECONDS, 0.5))
        runs = {seed: made(client, EXAMPLE, seed=seed)["id"] for seed in range(SEEDS)}
        for run_id in runs.values():
            put(client, run_id, "started")
        return {seed: outcome(client, ended(client, run_id)) for seed, run_id in runs.items()}


async def check_sessions(load: Load, logs: dict[str, list[Any]]) -> None:
    """Check that sessions took the acknowledged steps and no others, with the undisturbed answers."""
    with undisturbed_sessions() as sessions:
        for run_id, log in logs.items():
            # Every request was repeated until it was acknowledged: the log holds nothing else.
            assert [step["step"] for step in log] == list(range(1, len(log) + 1))
            assert load.acknowledged[run_id] == {step["step"]: step["results"] for step in log}
            answers = await uninterrupted(sessions, load.seeds[run_id], log)
            assert json.dumps([step["results"] for step in log]) == json.dumps(answers)


def test_whatever_machine_dies_nothing_is_lost_or_doubled_and_all_numbers_are_the_undisturbed_ones(
    tmp_path: Path,
) -> None:
    expected = undisturbed(tmp_path / "alone")
    victims = [victim for _ in range(0, KILLS, len(Victim)) for victim in Victim][:KILLS]
    random.Random().shuffle(victims)

    async def work(there: Machines) -> tuple[Load, dict[str, list[Any]]]:
        limits = httpx.Limits(max_connections=CLIENTS + 1)
        async with httpx.AsyncClient(timeout=WAIT, limits=limits) as http:
            load = Load(there, http)
            await load.run(victims)
            for kind, runs in (
                ("session", load.seeds),
                ("task", load.tasks),
                ("experiment", load.experiments),
            ):
                assert await load.count(kind) == len(runs), "a run was created twice"
            for run_id, numbers in load.tasks.items():
                assert load.ended[run_id]["outcome"] == "succeeded", load.ended[run_id]
                result = await load.ask("GET", f"/runs/{run_id}/result", "look")
                assert result["result"]["total"] == sum(numbers)
            with httpx.Client(base_url=there.url(), timeout=WAIT) as client:
                for run_id, seed in load.experiments.items():
                    found = await asyncio.to_thread(outcome, client, load.ended[run_id])
                    assert found == expected[seed]
            return load, await load.logs()

    with machines(tmp_path, "tests.support.models:endless", "tests.support.small_tasks:ADD") as there:
        load, logs = asyncio.run(work(there))
    asyncio.run(check_sessions(load, logs))
    steps = sum(map(len, logs.values()))
    still = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in load.still.items())
    print(
        f"\n{', '.join(there.happened)}: {SESSIONS} sessions, {steps} steps, {len(load.tasks)} tasks, "
        f"{len(load.experiments)} experiments: 0 lost, 0 doubled, all bit-identical; longest wait: {still}"
    )
