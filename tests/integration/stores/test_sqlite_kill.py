"""A server that is killed at any moment has kept every step that it acknowledged, once."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from perdure.stores.commands import CreateRun, encoded
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import a_key, a_run, a_savepoint

RUNS = 4
ROUNDS = 30

# It has everything imported, and forks a server for each line that it reads.
SERVERS = """
import os, sys, threading
from perdure.run import Entry, Key
from perdure.stores.commands import Append, Unleased, encoded
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import a_savepoint

def say(text):
    os.write(1, f"{text}\\n".encode())  # a line in one piece, whichever thread it comes from

def drive(store, run):
    while True:
        position = store.run(run).position + 1
        entry = Entry(inputs=None, outputs=b"%d" % position, key=Key(str(position), b"hash"))
        savepoint = a_savepoint(position) if position % 5 == 0 else None
        store.submit(Append(run, Unleased(0), position - 1, [entry], encoded(savepoint))).result()
        say(f"{run} {position}")

def serve(path, runs):
    store = SqliteStore(path)
    for run in range(runs):
        threading.Thread(target=drive, args=(store, f"r{run}")).start()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        serve(sys.argv[1], int(sys.argv[2]))
        break
    say(f"server {child}")
    os.waitpid(child, 0)
    say("killed")
"""


def test_what_was_acknowledged_before_a_kill_is_there_once(tmp_path: Path) -> None:
    draw = random.Random(20)
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        for run in range(RUNS):
            store.submit(CreateRun(a_run(f"r{run}"), encoded(a_savepoint()))).result()
    acknowledged: Counter[str] = Counter()
    command = [sys.executable, "-c", SERVERS, str(path), str(RUNS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as servers:
        assert servers.stdin is not None
        assert servers.stdout is not None
        for _ in range(ROUNDS):
            servers.stdin.write("serve\n")
            servers.stdin.flush()
            server = int(servers.stdout.readline().removeprefix("server "))
            until = draw.randrange(1, 60)
            for heard, line in enumerate(servers.stdout, 1):
                if line == "killed\n":
                    break
                run, position = line.split()
                acknowledged[run] = max(acknowledged[run], int(position))
                if heard == until:
                    os.kill(server, signal.SIGKILL)
            with closing(SqliteStore(path)) as store:
                for run in (f"r{run}" for run in range(RUNS)):
                    steps = store.steps(run, limit=1 << 30)
                    assert [step.position for step in steps] == list(range(1, len(steps) + 1))
                    assert [step.outputs for step in steps] == [b"%d" % step.position for step in steps]
                    assert store.run(run).position == len(steps)
                    # At most the one that was under way comes on top.
                    assert acknowledged[run] <= len(steps) <= acknowledged[run] + 1
                    assert store.step_by_key(run, a_key(str(len(steps) + 1))) is None
                    newest = store.savepoints(run)[-1].timestamp
                    assert newest == len(steps) - len(steps) % 5
                    assert store.savepoint(run, newest).position == newest
                    acknowledged[run] = len(steps)
        servers.stdin.close()
    assert sum(acknowledged.values()) > ROUNDS
