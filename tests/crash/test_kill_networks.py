"""Binding networks enumerated by a server whose processes are killed: the same answers, none from zero.

``make test`` kills twice, ``make crash KILLS=n`` n times, but 50 at most: each takes seconds.
"""

import contextlib
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.processes import below, until_gone
from tests.support.served import Served, served

from perdure.solvers.binding_networks import solve
from perdure.solvers.binding_networks.answer import in_detail
from perdure.solvers.binding_networks.grammar import parse_tokens

KILLS = min(int(os.environ.get("CRASH_KILLS", "2")), 50)
VICTIMS = ("child", "guard", "server", "all")
TASKS = 3
COPIES = 5 if len(VICTIMS) >= KILLS else 8
BETWEEN_LOOKS = 0.02  # seconds that are left to those who work

WENT_ON = re.compile(r"Attempt (\d+) goes on from (\d+) configurations\.")

# An OR gate with leaks: its copies have a number of stable configurations that grows beyond any patience.
GATE = ["a b", "a b e", "a* b*", "b e f", "b* e*", "c d", "c d e", "c* d*", "d e f", "d* e*", "e f", "e* f*"]
MONOMERS = [line.split() for line in GATE] * COPIES

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"
)


class Queue:
    """A server with a queue of enumerations, of which some are always under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.tasks: list[str] = []
        self.again: list[float] = []
        self._start()

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self) -> None:
        body = {
            "kind": "task",
            "task": "stable_configurations",
            "input": {"monomers": MONOMERS, "all": True},
        }
        self.tasks.append(self.client.post("/runs", json=body).raise_for_status().json()["id"])

    def runs(self) -> dict[str, dict[str, Any]]:
        runs = {task: self.client.get(f"/runs/{task}").raise_for_status().json() for task in self.tasks}
        assert not any(run["state"] == "failed" for run in runs.values()), runs
        return runs

    def until_all_have_found(self, more: int) -> None:
        """Wait until each that is worked on has found so many more; queue another one if none is."""
        before: dict[tuple[str, int], int] = {}
        while True:
            working = {id: run for id, run in self.runs().items() if run["state"] == "started"}
            if not working:
                if all(run["state"] == "completed" for run in self.runs().values()):
                    self.add()
                time.sleep(BETWEEN_LOOKS)
                continue
            found = {(id, run["attempt"]): _count(run) for id, run in working.items()}
            before = {key: before.get(key, count) for key, count in found.items()}
            if all(count >= before[key] + more for key, count in found.items()):
                return
            time.sleep(BETWEEN_LOOKS)

    def went_on(self, task: str) -> list[tuple[int, int]]:
        """Return which attempts of a task went on, and from how many configurations."""
        lines = self.client.get(f"/runs/{task}/logs").raise_for_status().json()["lines"]
        matches = (WENT_ON.fullmatch(line["text"]) for line in lines)
        return [(int(match[1]), int(match[2])) for match in matches if match]

    def kill(self, victim: str, chance: random.Random) -> set[int]:
        """Kill one process of a kind, or all; return all there were."""
        attempts = {task: run["attempt"] for task, run in self.runs().items() if run["state"] == "started"}
        children = below(self.server.process.pid)
        guards = sorted(pid for pid, command in children.items() if "guard.py" in command)
        works = sorted(children.keys() - guards)
        match victim:
            case "child":
                chosen = [chance.choice(works)] if works else []
            case "guard":
                chosen = [chance.choice(guards)] if guards else []
            case "server":
                chosen = [self.server.process.pid]
            case _:
                chosen = [self.server.process.pid, *guards, *works]
                chance.shuffle(chosen)
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.server.process.pid in chosen:
            self.server.process.wait()
            self._stack.close()
            self._start()
            up = time.monotonic()
            while attempts and not any(
                attempt > before for task, before in attempts.items() for attempt, _ in self.went_on(task)
            ):
                time.sleep(BETWEEN_LOOKS)
            self.again.append(time.monotonic() - up)
        return {self.server.process.pid, *children}

    def finished(self) -> dict[str, dict[str, Any]]:
        while any(run["state"] != "completed" for run in self.runs().values()):
            time.sleep(BETWEEN_LOOKS)
        return self.runs()

    def _start(self) -> None:
        self.server: Served = self._stack.enter_context(
            served(self._folder, max_task_processes=2, task_timeout=3600)
        )
        self.client: httpx.Client = self._stack.enter_context(self.server.client())


def _count(run: dict[str, Any]) -> int:
    count: int = (run["progress"] or {}).get("count", 0)
    return count


def test_killed_enumerations_end_with_the_answers_of_undisturbed_ones(tmp_path: Path) -> None:
    chance = random.Random()
    victims = [victim for _ in range(0, KILLS, len(VICTIMS)) for victim in VICTIMS][:KILLS]
    chance.shuffle(victims)
    processes: set[int] = set()
    attempts = 0
    with Queue(tmp_path) as queue:
        for _ in range(TASKS):
            queue.add()
        for victim in victims:
            queue.until_all_have_found(chance.randint(1, 300))
            processes |= queue.kill(victim, chance)
        expected = in_detail(solve(parse_tokens(MONOMERS), all=True))
        for task, run in queue.finished().items():
            assert (run["state"], run["outcome"]) == ("completed", "succeeded"), run["reason"]
            assert queue.client.get(f"/runs/{task}/result").json()["result"] == expected
            went_on = queue.went_on(task)
            assert went_on == sorted(went_on), "what was found isn't searched again"
            if run["attempt"] > 1:
                assert went_on[-1][0] == run["attempt"]
                assert went_on[-1][1] > 0, "the attempt that came to the end didn't begin at zero"
            attempts += run["attempt"]
        processes |= {queue.server.process.pid, *below(queue.server.process.pid)}
    assert all(until_gone(pid) for pid in processes)
    print(f"\n{KILLS} kills, {attempts} attempts at {len(queue.tasks)} tasks: all answers the same", end="")
    if queue.again:
        print(f"; running again at most {max(queue.again):.2f} s after the server was up")
