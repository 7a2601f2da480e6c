"""How much the settled store grows with each step: what a session costs on disk for good."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import client, peer, servers
from benchmarks.figure import Figure
from benchmarks.servers import Server

__all__ = ["measure"]

BUDGET = 300  # bytes
BUDGET_WITH_KEY = 400
STEPS = 10_000
PEER_STEPS = 1_000


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the bytes a step, without and with an idempotency key."""
    steps = STEPS // 10 if quick else STEPS
    without = _growth(folder / "without", steps, servers.take_steps)
    with_key = _growth(folder / "with", steps, _take_steps_with_keys)
    yield Figure(
        f"growth of the store a step ({steps:,} steps)",
        f"{without:.0f} bytes",
        f"≤ {BUDGET} bytes",
        without <= BUDGET,
        _peers(folder) if peer.there() else "",
    )
    yield Figure(
        "  each with a key of 36 characters",
        f"{with_key:.0f} bytes",
        f"≤ {BUDGET_WITH_KEY} bytes",
        with_key <= BUDGET_WITH_KEY,
    )


def _growth(folder: Path, steps: int, take_steps: Callable[[Server, str, int], None]) -> float:
    """Return the bytes a step by which a stopped server's store is larger after the steps than before."""
    folder.mkdir()
    with servers.perdure(folder) as server:
        path = servers.new_session(server)
    before = _settled_size(folder)
    with servers.perdure(folder) as server:
        take_steps(server, path, steps)
    return (_settled_size(folder) - before) / steps


def _settled_size(folder: Path) -> int:
    """Return the size of the store, its log included should there be one."""
    return sum(file.stat().st_size for file in folder.glob("perdure.db*"))


def _take_steps_with_keys(server: Server, path: str, count: int) -> None:
    """Take each step in a request of its own, since random keys fill a store less well than ordered ones."""
    requests = (client.post(path, Idempotency_Key=str(uuid.uuid4())) for _ in range(count))
    asyncio.run(client.drive(server.address, [requests]))


def _peers(folder: Path) -> str:
    state = folder / "state"
    state.mkdir()
    with peer.serving(folder, state) as server:
        path = peer.new_session(server)
        peer.take_steps(server, path, PEER_STEPS)
        (file,) = state.iterdir()
        size = file.stat().st_size
    return f"FileAdapter {size / PEER_STEPS:.0f} bytes; step {PEER_STEPS:,} rewrites all {size / 1e3:.0f} kB"
