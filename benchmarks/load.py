"""The load process: clients that step sessions as quickly as they are answered, each over its own connection.

It is a process of its own, so that its work doesn't slow down whoever measures; ``python -m benchmarks.load``
reads one `Load` as JSON from its standard input, and prints the answers a second.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import uvloop

from benchmarks import client
from benchmarks.client import Address
from benchmarks.errors import BenchmarkFailed

__all__ = ["Load", "answers_a_second"]


@dataclass(frozen=True)
class Load:
    """What the clients do.

    Attributes
    ----------
    addresses
        Hosts and ports of the servers, at which clients take turns.
    paths
        One for each client, who posts to it again and again.
    warm_up, seconds
        How long they do so before they are counted, and while they are.
    """

    addresses: Sequence[Address]
    paths: Sequence[str]
    warm_up: float
    seconds: float


def answers_a_second(load: Load) -> float:
    """Put a load on a server, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        timeout=load.warm_up + load.seconds + 60,
    )
    if done.returncode:
        raise BenchmarkFailed(f"the load failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


async def _run(given: Load) -> float:
    clients = [itertools.repeat(client.post(path)) for path in given.paths]
    addresses = [(host, port) for host, port in given.addresses]
    return await client.load(addresses, clients, given.warm_up, given.seconds)


if __name__ == "__main__":
    print(uvloop.run(_run(Load(**json.load(sys.stdin)))))
