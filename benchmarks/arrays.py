"""Arrays: a chain of stocks written as one array, beside the same written by hand with NumPy."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import peer
from benchmarks.figure import Figure, spread
from benchmarks.simulation import times_of
from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate

__all__ = ["measure"]

SIZE, STEPS, PEER_STEPS = 200, 2_000, 200
MOST_RATIO = 1.3
DELAY, INFLOW = 10.0, 3.0
LAST = f"level[{SIZE - 1}]"


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the CPU time of an Euler step of the chain, in bulk and of an engine."""
    if simulate(chain(Model, 50), {"outputs": [LAST]})[1][LAST] != by_hand(50):
        raise AssertionError("the chain written by hand gives other numbers")
    times = times_of(_work(), 3 if quick else 15)
    hand = times["by hand"]
    ratios = [mine / other for mine, other in zip(times["bulk"], hand, strict=True)]
    compared = f"Rust {median(times['rust']):.0f} µs" if peer.there() else ""
    yield Figure(
        f"chain of {SIZE} stocks as one array, an Euler step in bulk",
        f"{spread(times['bulk'], '.2f')} µs, NumPy by hand {median(hand):.2f}",
        peers=compared,
    )
    yield Figure(
        "its ratio to NumPy by hand",
        spread(ratios, ".2f"),
        f"≤ {MOST_RATIO}",
        median(ratios) <= MOST_RATIO,
    )
    yield Figure("a step of an engine", f"{spread(times['engine'], '.2f')} µs")


def chain(make_model: Callable[..., Any], steps: int) -> Any:
    """Make a chain in which each stock flows into the next one, of so many Euler steps."""
    model = make_model(starttime=0.0, stoptime=float(steps), dt=1.0, name="chain")
    level, flow = model.stock("level"), model.flow("flow")
    delay, inflow = model.constant("delay"), model.constant("inflow")
    delay.equation, inflow.equation = DELAY, INFLOW
    level.setup_vector(SIZE, _first_levels())
    flow.equation = level / delay
    level[0].equation = inflow - flow[0]
    for before, i in pairwise(range(SIZE)):
        level[i].equation = flow[before] - flow[i]
    return model


def by_hand(steps: int) -> list[float]:
    """Compute the same with NumPy; return the last stock at each time."""
    level, net = np.array(_first_levels()), np.empty(SIZE)
    found = []
    for _ in range(steps + 1):
        flow = level / DELAY
        np.maximum(flow, 0.0, out=flow)
        found.append(level.item(-1))
        net[0] = INFLOW - flow[0]
        np.subtract(flow[:-1], flow[1:], out=net[1:])
        level = level + 1.0 * net
    return found


def _first_levels() -> list[float]:
    return [float(i % 7) for i in range(SIZE)]


def _work() -> Mapping[str, tuple[Callable[[], object], int]]:
    model, config = chain(Model, STEPS), {"outputs": [LAST]}
    engine = SystemDynamicsEngine(model)

    def step_by_step() -> None:
        engine.initialize(config)
        for _ in range(STEPS):
            engine.step({})

    work: dict[str, tuple[Callable[[], object], int]] = {
        "bulk": (lambda: simulate(model, config), STEPS),
        "by hand": (lambda: by_hand(STEPS), STEPS),
        "engine": (step_by_step, STEPS),
    }
    if peer.there():
        bptk = peer.library()
        theirs = chain(bptk.Model, PEER_STEPS)
        rust = peer.library("BPTK_Py._rust_engine").RustSdEngine().load_model(theirs.to_json())
        # Its Python engine recurses from stock to stock, and reaches the limit after 160 steps.
        work["rust"] = lambda: rust.simulate([LAST]), PEER_STEPS
    return work
