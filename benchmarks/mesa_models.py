"""Models of Mesa: in the engine beside Mesa alone, and what their savepoints cost."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.exchange import AGENTS, Exchange
from benchmarks.figure import Figure, spread
from perdure.engines.mesa import MesaEngine
from perdure.settings import Settings
from perdure.state.codec import decode, encode

__all__ = ["measure"]

CONFIG = {"model": "benchmarks.exchange:Exchange", "seed": 5, "timestep": 1.0}
SHARE = 5.0  # per cent of a run that its savepoints may take


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield agents a second, and the costs of a savepoint and of a restore, in CPU time."""
    rounds, steps = (2, 5) if quick else (5, 20)
    alone = Exchange(seed=5)
    with closing(MesaEngine()) as engine, closing(MesaEngine()) as resumed:
        for one in (engine, resumed):
            one.initialize(CONFIG)
        engine.step({})
        mesas, ours, savepoints, restores = [], [], [], []
        blob = b""
        for _ in range(rounds):
            mesas.append(_seconds(alone.step, steps) / steps)
            ours.append(_seconds(lambda: engine.step({}), steps) / steps)
            started = time.process_time()
            blob = encode(engine.snapshot())
            savepoints.append(time.process_time() - started)
            state = decode(blob)
            restores.append(_seconds(lambda kept=state: resumed.restore(kept), 1))  # type: ignore[misc]
    yield Figure(
        f"{AGENTS:,} agents, each once a step: agents a second",
        spread([AGENTS / seconds for seconds in ours], ",.0f"),
        peers=f"Mesa {spread([AGENTS / seconds for seconds in mesas], ',.0f')}",
    )
    every = Settings.model_fields["savepoint_every"].default
    share = 100.0 * min(savepoints) / (every * min(ours))
    yield Figure(
        f"a savepoint of them, {len(blob) / 1000:,.0f} kB: ms",
        spread([1000.0 * seconds for seconds in savepoints], ".0f"),
    )
    yield Figure(
        f"of the run's time, one every {every} steps: %",
        f"{share:.1f}",
        budget=f"< {SHARE:.0f}",
        within=share < SHARE,
    )
    yield Figure("a restore, the model built again: ms", spread([1000.0 * one for one in restores], ".0f"))


def _seconds(work: Callable[[], Any], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - started
