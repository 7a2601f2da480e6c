"""Durable steps a second, beside what the disk and the route without a store would allow."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import bare, peer, servers, unkept
from benchmarks.disk import fsync_rate
from benchmarks.figure import Figure, spread
from benchmarks.load import Load, answers_a_second
from benchmarks.servers import Server

__all__ = ["measure", "rate"]

CLIENTS = (1, 16, 64)
BUDGETED = (16, 64)
PEER_CLIENTS = 16
CPU_CLIENTS = 64
CPU_RATIO = 1.8  # of a durable step to one of the bare route
SHARE = 0.5  # of the lesser of clients × fsync rate and the route without a store
WARM_UP, SECONDS = 0.3, 1.0


@dataclass
class _Rates:
    """What was measured with a number of clients; one of each a round, all a second."""

    fsyncs: list[float] = field(default_factory=list)
    unkept: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    durable: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # milliseconds a durable step
    bare: list[float] = field(default_factory=list)  # the same of the bare route
    peer: list[float] = field(default_factory=list)

    def share(self, clients: int) -> float:
        """Return the median of the rounds' shares, each of what was possible in its own round."""
        possible = (min(clients * f, u) for f, u in zip(self.fsyncs, self.unkept, strict=True))
        return median(d / p for d, p in zip(self.durable, possible, strict=True))


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the rates at each number of clients, from short rounds in which all take turns."""
    found = {clients: _Rates() for clients in CLIENTS}
    with ExitStack() as closing:
        sqlite = closing.enter_context(servers.perdure(folder))
        memory = closing.enter_context(servers.perdure(folder, "memory://"))
        baseline = closing.enter_context(unkept.serving(folder))
        least = closing.enter_context(bare.serving(folder))
        other = closing.enter_context(peer.serving(folder)) if peer.there() else None
        for _ in range(2 if quick else 5):
            for clients, rates in found.items():
                before = fsync_rate(folder, SECONDS / 2)
                durable, cpu = rate(sqlite, servers.new_session, clients)
                after = fsync_rate(folder, SECONDS / 2)
                rates.fsyncs.append((before + after) / 2)
                rates.durable.append(durable)
                rates.cpu.append(cpu)
                rates.bare.append(rate(least, bare.new_session, clients)[1])
                rates.unkept.append(rate(baseline, servers.new_session, clients)[0])
                rates.memory.append(rate(memory, servers.new_session, clients)[0])
                if other is not None and clients == PEER_CLIENTS:
                    rates.peer.append(rate(other, peer.new_session, clients)[0])
    for clients, rates in found.items():
        name = f"{clients} client" + ("s" if clients > 1 else "")
        compared = f"nothing saved {spread(rates.peer, ',.0f')}" if rates.peer else ""
        yield Figure(f"durable steps/s, {name}", spread(rates.durable, ",.0f"), peers=compared)
        yield Figure("  the same route without a store", spread(rates.unkept, ",.0f"))
        yield Figure(f"  {clients} × bare fsync rate", spread([clients * f for f in rates.fsyncs], ",.0f"))
        share = rates.share(clients)
        yield Figure(
            "  share of the lesser of these",
            f"{share:.2f}",
            f"≥ {SHARE}" if clients in BUDGETED else "",
            share >= SHARE if clients in BUDGETED else None,
        )
        yield Figure("  CPU a durable step", f"{spread(rates.cpu, '.3f')} ms")
        yield Figure("  CPU a step of the bare route", f"{spread(rates.bare, '.3f')} ms")
        ratio = median(step / bare_step for step, bare_step in zip(rates.cpu, rates.bare, strict=True))
        budgeted = clients == CPU_CLIENTS
        yield Figure(
            "  ratio of the two",
            f"{ratio:.2f}",
            f"≤ {CPU_RATIO}" if budgeted else "",
            ratio <= CPU_RATIO if budgeted else None,
        )
        yield Figure("  steps/s on memory://", spread(rates.memory, ",.0f"))


def rate(server: Server, new_session: Callable[[Server], str], clients: int) -> tuple[float, float]:
    """Let each client step its own session; return the steps a second and the CPU of one in milliseconds."""
    paths = [new_session(server) for _ in range(clients)]
    begun = server.cpu_seconds()
    rate = answers_a_second(Load([server.address], paths, WARM_UP, SECONDS))
    return rate, (server.cpu_seconds() - begun) / (rate * (WARM_UP + SECONDS)) * 1e3
