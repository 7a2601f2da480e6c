"""A server killed at random moments loses nothing, doubles nothing and goes on with the same numbers.

``make test`` kills it 8 times, ``make crash KILLS=n`` as often as one likes.
"""

import asyncio
import json
import os
import random
import uuid
from pathlib import Path
from typing import Any

import httpx
from tests.support.endless_sessions import new_session, random_step, undisturbed_sessions, uninterrupted
from tests.support.server import Server

KILLS = int(os.environ.get("CRASH_KILLS", "8"))
CLIENTS = 4
SESSIONS = 8
MOST_ACKNOWLEDGED_BETWEEN_KILLS = 60


class Chaos:
    """The server, its clients, and what they were told."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.random = random.Random()
        self.server = Server(store, "tests.support.models:endless")
        self.sessions: dict[str, int] = {}  # id → seed
        self.acknowledged: dict[str, dict[int, Any]] = {}  # id → step → results
        self.count = 0
        self.counted = asyncio.Condition()
        self.over = False

    async def until_answered(self, http: httpx.AsyncClient, path: str, body: Any) -> Any:
        """Ask with one key until there is an answer, across as many servers as it takes."""
        key = str(uuid.uuid4())
        while True:
            try:
                response = await http.post(
                    self.server.url + path, json=body, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                await asyncio.sleep(0.01)  # the next server isn't there yet
                continue
            assert response.is_success, response.text
            return response.json()

    async def client(self, number: int) -> None:
        """Step random sessions, now and then with new constants or points, or several steps at once."""
        chance = random.Random(self.random.random())
        async with httpx.AsyncClient(timeout=240) as http:
            while not self.over:
                run_id = chance.choice(list(self.sessions))
                body = random_step(chance)
                answer = await self.until_answered(http, f"/runs/{run_id}/steps", body)
                assert len(answer["steps"]) == body.get("steps", 1)
                for step in answer["steps"]:
                    known = self.acknowledged[run_id]
                    assert step["step"] not in known, "a step was acknowledged to two requests"
                    known[step["step"]] = step["results"]
                async with self.counted:
                    self.count += 1
                    self.counted.notify_all()

    async def kill(self) -> None:
        """Kill the server after some acknowledgements, at a random moment, and start another."""
        target = self.count + self.random.randint(1, MOST_ACKNOWLEDGED_BETWEEN_KILLS)
        async with self.counted:
            await self.counted.wait_for(lambda: self.count >= target)
        await asyncio.sleep(self.random.uniform(0, 0.01))  # any moment of a request will do
        await asyncio.to_thread(self.server.kill)
        self.server = await asyncio.to_thread(Server, self.store, "tests.support.models:endless")

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=240) as http:
            for seed in range(SESSIONS):
                body = new_session(seed)
                made = await self.until_answered(http, "/runs", body)
                self.sessions[made["id"]] = seed
                self.acknowledged[made["id"]] = {}
        clients = [asyncio.create_task(self.client(number)) for number in range(CLIENTS)]
        for done in range(KILLS):
            killing = asyncio.create_task(self.kill())
            await asyncio.wait([killing, *clients], return_when=asyncio.FIRST_COMPLETED)
            for task in clients:
                if task.done():
                    task.result()
            await killing
            if (done + 1) % 50 == 0:
                print(f"{done + 1} kills, {self.count} requests acknowledged", flush=True)
        self.over = True
        await asyncio.gather(*clients)

    async def logs(self) -> dict[str, list[Any]]:
        """Read the whole log of every session, as the last server tells it."""
        logs: dict[str, list[Any]] = {}
        async with httpx.AsyncClient(timeout=240) as http:
            for run_id in self.sessions:
                steps: list[Any] = []
                while True:
                    query = {"after": len(steps), "limit": 1000}
                    response = await http.get(f"{self.server.url}/runs/{run_id}/steps", params=query)
                    page = response.json()
                    steps += page["steps"]
                    if page["next"] is None:
                        break
                logs[run_id] = steps
        return logs


def test_no_acknowledged_step_is_lost_or_doubled_and_every_number_is_that_of_an_uninterrupted_run(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        chaos = Chaos(tmp_path / "crash.db")
        try:
            await chaos.run()
            logs = await chaos.logs()
        finally:
            await asyncio.to_thread(chaos.server.kill)
        steps = 0
        with undisturbed_sessions() as undisturbed:
            for run_id, seed in chaos.sessions.items():
                log = logs[run_id]
                steps += len(log)
                # Every request was repeated until it was acknowledged: the log holds nothing else.
                assert [step["step"] for step in log] == list(range(1, len(log) + 1))
                assert chaos.acknowledged[run_id] == {step["step"]: step["results"] for step in log}
                expected = await uninterrupted(undisturbed, seed, log)
                assert json.dumps([step["results"] for step in log]) == json.dumps(expected)
        print(f"\n{KILLS} kills, {chaos.count} requests, {steps} steps: 0 lost, 0 doubled, all bit-identical")

    asyncio.run(work())
