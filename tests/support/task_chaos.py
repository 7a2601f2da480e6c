"""A queue of tasks whose processes are killed at random moments: child, guard, server, and all at once.

What the tasks compute is up to a test, as long as they take savepoints.
"""

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from tests.support.processes import marked

from perdure.run import Execution, Run
from perdure.stores.commands import CreateRun
from perdure.stores.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
WAIT = 120.0  # seconds


class Victim(StrEnum):
    """What is killed."""

    CHILD = "child"
    GUARD = "guard"
    SERVER = "server"
    ALL = "all"


class TaskChaos:
    """A server of tasks, and who kills it.

    Parameters
    ----------
    folder
        Where the store is.
    body
        The tasks' body.
    specs
        Id to spec of each task.
    slots
        How many tasks are worked on at a time.

    Attributes
    ----------
    kills
        How often each was killed.
    resumed_after
        Seconds from a server being up to the first savepoint that one of its tasks took, for each server.
    """

    def __init__(self, folder: Path, body: str, specs: Mapping[str, bytes], *, slots: int = 2) -> None:
        self.folder, self.body, self.slots = folder, body, slots
        self.identity = secrets.token_hex(8)
        self.kills: Counter[Victim] = Counter()
        self.resumed_after: list[float] = []
        self._chance = random.Random()
        self._changed = threading.Condition()  # guards what follows, which the server's reader writes
        self._savepoints = 0
        self._attempts: dict[str, int] = {}
        self._saved_in: dict[str, int] = {}  # the attempt in which a task last took a savepoint
        self._newest = dict.fromkeys(specs, 0)
        store = SqliteStore(folder)
        for id, spec in specs.items():
            now = time.time()
            run = Run(id=id, kind="task", owner="ann", spec=spec, created=now, updated=now)
            execution = Execution(run_id=id, kind="task", owner="ann")
            store.submit(CreateRun(run, execution=execution)).result(WAIT)
        store.close()
        self._start()

    def __enter__(self) -> "TaskChaos":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self._await_server()

    def kill_often(self, kills: int, most_savepoints: int) -> None:
        """Kill something after every few savepoints, at a random moment; each kind as often as the others."""
        victims = [victim for _ in range(0, kills, len(Victim)) for victim in Victim][:kills]
        self._chance.shuffle(victims)
        for number, victim in enumerate(victims):
            target = self._savepoints + self._chance.randint(1, most_savepoints)
            with self._changed:
                assert self._changed.wait_for(lambda target=target: self._savepoints >= target, WAIT)
            time.sleep(self._chance.uniform(0, 0.02))  # any moment of an item will do
            self._kill(victim)
            if (number + 1) % 50 == 0:
                print(f"{number + 1} kills", flush=True)

    def finish(self) -> dict[str, tuple[Run, Execution]]:
        """Wait until all tasks are final and the server has ended; return them."""
        assert self.server.wait(WAIT) == 0
        self._await_server()
        store = SqliteStore(self.folder)
        try:
            return {id: (store.run(id), store.execution(id)) for id in self._newest}
        finally:
            store.close()

    def left_over(self) -> list[int]:
        """Return the processes that are left, of all that ever ran."""
        return marked(self.identity)

    def _kill(self, victim: Victim) -> None:
        processes = {pid: _command(pid) for pid in marked(self.identity)}
        guards = [pid for pid, command in processes.items() if "guard.py" in " ".join(command)]
        children = [
            pid
            for pid, command in processes.items()
            # One that hasn't saved anything in this attempt is spared: the third death in a row is the end.
            if "guard.py" not in " ".join(command) and self._has_saved(command)
        ]
        match victim:
            case Victim.CHILD:
                chosen = [self._chance.choice(children)] if children else []
            case Victim.GUARD:
                chosen = [self._chance.choice(guards)] if guards else []
            case Victim.SERVER:
                chosen = [self.server.pid]
            case Victim.ALL:
                chosen = [self.server.pid, *processes]
                self._chance.shuffle(chosen)
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills[victim] += bool(chosen)
        if self.server.pid in chosen:
            self._await_server()
            self._start()

    def _has_saved(self, command: list[str]) -> bool:
        with self._changed:
            task = command[-1] if command else ""
            return task in self._attempts and self._saved_in.get(task) == self._attempts[task]

    def _start(self) -> None:
        self.server = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.task_server"),
                *(str(self.folder), self.identity, self.body, str(self.slots)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        # It ends with the server, whose output it reads; `_await_server` joins it.
        self._reader = threading.Thread(target=self._read, args=(self.server,))
        self._reader.start()

    def _await_server(self) -> None:
        self.server.wait(WAIT)
        self._reader.join(WAIT)

    def _read(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdout is not None
        up = None
        known: set[str] = (
            set()
        )  # whose first line of this server, which tells how far it was before, has come
        with server.stdout:
            for line in server.stdout:
                with contextlib.suppress(json.JSONDecodeError):  # the last one may be cut off
                    told = json.loads(line)
                    if isinstance(told, dict):
                        up = time.monotonic()
                        continue
                    saved = self._take(*told, first=told[0] not in known)
                    known.add(told[0])
                    if saved and up is not None:
                        self.resumed_after.append(time.monotonic() - up)
                        up = None

    def _take(self, task: str, newest: int, attempt: int, *, first: bool) -> bool:
        """Take note of a change; return whether it is a savepoint."""
        with self._changed:
            self._attempts[task] = attempt
            saved = not first and newest > self._newest[task]
            self._newest[task] = newest
            if saved:
                self._saved_in[task] = attempt
                self._savepoints += 1
                self._changed.notify_all()
            return saved


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")
    return []
