"""Many machines in one: API processes, workers, PostgreSQL behind pgbouncer, and Redis; any may be killed."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tests.support.brokers import redis_server
from tests.support.commands import command
from tests.support.forked import Forked
from tests.support.postgres import pgbouncer, postgres_server
from tests.support.processes import below, end
from tests.support.server import ROOT, Server

DATABASE = "postgres"
RESTART = 0.3  # seconds until a supervisor starts what has died
FROZEN = (1.0, 8.0)  # seconds; a lease lasts 5
MOST_DEATHS = 2  # of a run's child: the third in a row without a savepoint is its end


class Victim(StrEnum):
    """What is killed or frozen."""

    API = "API process"
    WORKER = "worker"
    CHILD = "child"
    REDIS = "Redis"
    POSTGRES = "PostgreSQL"
    BOUNCER = "pgbouncer"


class Member(Protocol):
    """A process that a supervisor keeps running."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Worker:
    """A running `perdure worker`."""

    def __init__(self, tasks: str, environment: Mapping[str, str]) -> None:
        arguments = ("worker", "--tasks", tasks)
        self.process = Forked(command, arguments, folder=ROOT, environment=dict(environment))
        assert self.process.stdout.readline().startswith("Perdure works on"), "the worker did not start"


class Supervised:
    """A server or a worker, as a member."""

    def __init__(self, begin: Callable[[], Server | Worker]) -> None:
        self._begin = begin
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.running = self._begin()

    def kill(self) -> None:
        """Kill it."""
        end(self.running.process)

    def freeze(self) -> None:
        """Let it do nothing until `thaw`."""
        self.running.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.running.process.send_signal(signal.SIGCONT)


class Machines:
    """The members of a deployment.

    Attributes
    ----------
    happened
        What was done to what, in its order.
    """

    def __init__(self, members: Mapping[Victim, list[Member]]) -> None:
        self.happened: list[str] = []
        self._members = members
        self._chance = random.Random()
        self._deaths: dict[str, int] = {}  # of the child of each run

    def url(self) -> str:
        """Return the address of an API process, chosen as a balancer does."""
        return str(self._chance.choice(self._ours(Victim.API)).url)

    def strike(self, victim: Victim) -> bool:
        """Kill or freeze something, and put it right again; return whether it was there."""
        if victim is Victim.CHILD:
            return self._kill_child()
        member, kills = self._chance.choice(self._members[victim]), self._chance.random() < 0.6
        self.happened.append(f"{victim} {'killed' if kills else 'frozen'}")
        if kills:
            member.kill()
            time.sleep(RESTART)
            member.start()
        else:
            member.freeze()
            time.sleep(self._chance.uniform(*FROZEN))
            member.thaw()
        return True

    def _kill_child(self) -> bool:
        workers = self._ours(Victim.WORKER)
        children = {
            pid: line.split()[-1]
            for worker in workers
            for pid, line in below(worker.process.pid).items()
            if line and "guard.py" not in line
        }
        spared = {run for run, deaths in self._deaths.items() if deaths == MOST_DEATHS}
        if chosen := [(pid, run) for pid, run in children.items() if run not in spared]:
            pid, run = self._chance.choice(chosen)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._deaths[run] = self._deaths.get(run, 0) + 1
            self.happened.append("child killed")
        return bool(chosen)

    def _ours(self, victim: Victim) -> list[Server | Worker]:
        return [member.running for member in self._members[victim] if isinstance(member, Supervised)]


@contextlib.contextmanager
def machines(folder: Path, models: str, tasks: str) -> Iterator[Machines]:
    """Run two API processes and two workers on a durable PostgreSQL behind a pgbouncer, with a Redis.

    Parameters
    ----------
    folder
        Where artifacts and working folders are.
    models, tasks
        What the servers serve, and what the workers work on besides.
    """
    with (
        postgres_server(durable=True) as postgres,
        pgbouncer(postgres) as bouncer,
        redis_server() as redis,
        contextlib.ExitStack() as stack,
    ):
        environment = {
            **os.environ,
            "PERDURE_LOG_LEVEL": "ERROR",
            "PERDURE_STORE": bouncer.url(DATABASE),
            "PERDURE_STORE_LISTEN": postgres.url(DATABASE),
            "PERDURE_BROKER": redis.url(),
            "PERDURE_ARTIFACTS": f"{folder}/artifacts",
            "PERDURE_ARTIFACTS_SHARED": "yes",
        }

        def begin_api(name: str) -> Server:
            given = {**environment, "PERDURE_WORKING_FOLDERS": f"{folder}/{name}"}
            return Server(given["PERDURE_STORE"], models, given, ("--tasks", tasks))

        def begin_worker(name: str) -> Worker:
            return Worker(tasks, {**environment, "PERDURE_WORKING_FOLDERS": f"{folder}/{name}"})

        def supervised(begin: Callable[[str], Server | Worker], name: str) -> Supervised:
            member = Supervised(lambda: begin(name))
            stack.callback(member.kill)
            return member

        members: dict[Victim, list[Member]] = {
            Victim.POSTGRES: [postgres.service],
            Victim.BOUNCER: [bouncer.service],
            Victim.REDIS: [redis.service],
            Victim.API: [supervised(begin_api, "api-1"), supervised(begin_api, "api-2")],
            Victim.WORKER: [supervised(begin_worker, "worker-1"), supervised(begin_worker, "worker-2")],
        }
        yield Machines(members)
