"""The CPU time that a step request costs the server, and whether it grows with the session's length."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks import client, peer, servers
from benchmarks.figure import Figure, spread
from benchmarks.servers import Server

__all__ = ["measure"]

BUDGET = 1.0  # milliseconds
DEPTHS = (10, 100, 1_000, 10_000)
PEER_DEPTHS = (10, 100, 1_000)
FLAT = 1.25  # between the first and the last depth, what is put down to noise

Costs = dict[int, list[float]]
"""Depth → milliseconds of CPU a request, once for each round."""


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the cost of a single-step request at each depth, and its ratio from the first to the last."""
    rounds, requests = (2, 50) if quick else (5, 100)
    costs: Costs
    others: dict[str, Costs] = {}
    with servers.perdure(folder) as server:
        costs = _costs(
            server, servers.new_session, servers.take_steps, dict.fromkeys(DEPTHS, requests), rounds
        )
    if peer.there():
        state = folder / "state"
        state.mkdir()
        counts = dict.fromkeys(PEER_DEPTHS, 5)
        with ExitStack() as closing:
            for name, kept in (("FileAdapter", state), ("nothing saved", None)):
                server = closing.enter_context(peer.serving(folder, kept))
                others[name] = _costs(server, peer.new_session, peer.take_steps, counts, 2 if quick else 3)
    for depth in DEPTHS:
        yield Figure(
            f"CPU a step request at step {depth:,}",
            f"{spread(costs[depth], '.2f')} ms",
            f"< {BUDGET:g} ms",
            median(costs[depth]) < BUDGET,
            " · ".join(
                f"{name} {median(found[depth]):.1f} ms" for name, found in others.items() if depth in found
            ),
        )
    ratio = _ratio(costs, DEPTHS)
    yield Figure(
        f"  its ratio, step {DEPTHS[0]} → {DEPTHS[-1]:,}",
        f"{ratio:.2f}",
        f"flat (≤ {FLAT})",
        ratio <= FLAT,
        " · ".join(f"{name} {_ratio(found, PEER_DEPTHS):.1f} (10 → 1,000)" for name, found in others.items()),
    )


def _costs(
    server: Server,
    new_session: Callable[[Server], str],
    take_steps: Callable[[Server, str, int], None],
    requests: Mapping[int, int],
    rounds: int,
) -> Costs:
    """Measure each depth once a round, half of its requests before the depth and half behind it.

    Near the start, where there is no room for that many, they are spread over several sessions.
    """
    warm = new_session(server)
    _post(server, [warm] * 20)
    costs: Costs = {depth: [] for depth in requests}
    for _ in range(rounds):
        for depth, count in requests.items():
            each = min(count, depth)
            paths = [new_session(server) for _ in range(count // each)]
            for path in paths:
                take_steps(server, path, depth - each // 2)
            begun = server.cpu_seconds()
            _post(server, [path for path in paths for _ in range(each)])
            costs[depth].append((server.cpu_seconds() - begun) / count * 1e3)
    return costs


def _ratio(costs: Costs, depths: Sequence[int]) -> float:
    return median(costs[depths[-1]]) / median(costs[depths[0]])


def _post(server: Server, paths: list[str]) -> None:
    """Send requests one after the other over one connection."""
    asyncio.run(client.drive(server.address, [map(client.post, paths)]))
