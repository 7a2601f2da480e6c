"""Model files: reading an XMILE file of 200 stocks, and running it, beside PySD and pysimlin."""

import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, spread
from perdure.engines.system_dynamics import Model, simulate

__all__ = ["measure"]

STOCKS = 200
STEPS = 400


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield CPU times of reading the file, and of reading, compiling and running it."""
    path = folder / "chain.xmile"
    path.write_text(_chain())
    rounds = 2 if quick else 7
    read = [_seconds(lambda: Model.from_xmile(path)) for _ in range(rounds)]
    run = [_seconds(lambda: simulate(Model.from_xmile(path), {"outputs": ["s199"]})) for _ in range(rounds)]
    reading, running = _peers(path, rounds)
    yield Figure(
        f"reading an XMILE file of {STOCKS} stocks: ms",
        spread([1000.0 * seconds for seconds in read], ".1f"),
        peers=reading,
    )
    yield Figure(
        f"reading, compiling and running it {STEPS} steps: ms",
        spread([1000.0 * seconds for seconds in run], ".1f"),
        peers=running,
    )


def _peers(path: Path, rounds: int) -> tuple[str, str]:
    """Return what the same takes elsewhere, where that is installed."""
    reading: list[str] = []
    running: list[str] = []
    if importlib.util.find_spec("simlin"):
        simlin = importlib.import_module("simlin")
        read = [_seconds(lambda: simlin.load(str(path))) for _ in range(rounds)]
        run = [_seconds(lambda: simlin.load(str(path)).run(analyze_loops=False)) for _ in range(rounds)]
        reading.append(f"pysimlin {spread([1000.0 * seconds for seconds in read], '.1f')}")
        running.append(f"pysimlin {spread([1000.0 * seconds for seconds in run], '.1f')}")
    if importlib.util.find_spec("pysd"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pysd = importlib.import_module("pysd")
            reading.append(f"PySD {1000.0 * _seconds(lambda: pysd.read_xmile(str(path))):,.0f}")
            running.append(f"PySD {1000.0 * _seconds(lambda: pysd.read_xmile(str(path)).run()):,.0f}")
    return ", ".join(reading), ", ".join(running)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _chain() -> str:
    """Return a chain of stocks, each flowing into the next by a flow that isn't linear."""
    variables = '<aux name="rate"><eqn>0.1</eqn></aux>'
    for i in range(STOCKS):
        inflow = f"<inflow>f{i - 1}</inflow>" if i else ""
        variables += f'<stock name="s{i}"><eqn>{100 - i % 7}</eqn>{inflow}<outflow>f{i}</outflow></stock>'
        variables += f'<flow name="f{i}"><eqn>s{i}*rate*EXP(-s{i}/1000)</eqn></flow>'
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<xmile version="1.0" xmlns="http://docs.oasis-open.org/xmile/ns/XMILE/v1.0">'
        '<header><vendor>x</vendor><name>chain</name><product version="1" lang="en">x</product></header>'
        f'<sim_specs method="Euler" time_units="Months"><start>0</start><stop>{STEPS // 4}</stop>'
        f"<dt>0.25</dt></sim_specs><model><variables>{variables}</variables></model></xmile>\n"
    )
