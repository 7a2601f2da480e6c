"""Simulation alone, without a server: the SIR model in bulk, step by step, and a thousand scenarios of it."""

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peer
from benchmarks.figure import Figure, spread
from benchmarks.models import SIR_STOCKS, sir
from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.scenarios import Catalogue

__all__ = ["measure", "times_of"]

STEPS = 10_000
SCENARIOS, SCENARIO_STEPS = 1_000, 1_000
DOCUMENTED = 0.40  # microseconds a step of BPTK's Rust engine, from the design's budgets
DOCUMENTED_STEP = 0.77  # of its method `step`, which answers the stocks in a dict too
PEER_STEPS = 2_000  # for its Python engine
PEER_SCENARIOS = {"rust": 50, "python": 5}

Work = Callable[[], object]


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the CPU time of an Euler step in bulk, of an engine's step, and of many scenarios."""
    steps = times_of(_step_work(), 3 if quick else 15)
    yield _bulk_figure(steps)
    yield _step_figure(steps)
    yield from _scenario_figures(quick)


def _bulk_figure(steps: Mapping[str, list[float]]) -> Figure:
    found, compared, least, how = steps["bulk"], "", DOCUMENTED, "documented"
    if peer.there():
        least, how = median(steps["rust"]), "Rust, this run"
        compared = (
            f"Python {median(steps['python']):.1f} µs · Rust {least:.2f} µs answering 1 stock, "
            f"{median(steps['rust, all']):.2f} all 3"
        )
    return Figure(
        "SIR, an Euler step in bulk, 3 stocks recorded",
        f"{spread(found, '.3f')} µs",
        f"≤ {least:.2f} µs ({how})",
        median(found) <= least,
        compared,
    )


def _step_figure(steps: Mapping[str, list[float]]) -> Figure:
    found, least, how = steps["engine"], DOCUMENTED_STEP, "documented"
    if peer.there():
        least, how = median(steps["rust step"]), "Rust, this run"
    return Figure(
        "SIR, a step of an engine",
        f"{spread(found, '.2f')} µs",
        f"≤ {least:.2f} µs ({how})",
        median(found) <= least,
    )


def _step_work() -> dict[str, tuple[Work, int]]:
    """Return what is timed, each with its number of steps."""
    model = sir(Model, STEPS)
    config = {"outputs": list(SIR_STOCKS)}
    engine = SystemDynamicsEngine(model)

    def step_by_step() -> None:
        engine.initialize(config)
        for _ in range(STEPS):
            engine.step({})

    work: dict[str, tuple[Work, int]] = {
        "bulk": (lambda: simulate(model, config), STEPS),
        "engine": (step_by_step, STEPS),
    }
    if peer.there():
        bptk = peer.library()
        engines = peer.library("BPTK_Py._rust_engine")
        rust = engines.RustSdEngine().load_model(sir(bptk.Model, STEPS).to_json())
        python = sir(bptk.Model, PEER_STEPS)

        def rust_step_by_step() -> None:
            rust.init(list(SIR_STOCKS), None)
            for _ in range(STEPS):
                rust.step()

        work |= {
            "rust": (lambda: rust.simulate(["infectious"]), STEPS),
            "rust, all": (lambda: rust.simulate(list(SIR_STOCKS)), STEPS),
            "rust step": (rust_step_by_step, STEPS),
            "python": (lambda: python.simulate(list(SIR_STOCKS)), PEER_STEPS),
        }
    return work


def times_of(work: Mapping[str, tuple[Work, int]], rounds: int) -> dict[str, list[float]]:
    """Return microseconds of CPU a unit, from rounds in which all take turns; the first isn't counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, (run, units) in work.items():
            gc.collect()
            begun = time.process_time()
            run()
            taken = time.process_time() - begun
            if number:
                times[name].append(taken / units * 1e6)
    return times


def _scenario_figures(quick: bool) -> Iterator[Figure]:
    scenarios = SCENARIOS // 10 if quick else SCENARIOS
    size = scenarios * SCENARIO_STEPS
    made = Catalogue()
    made.register_model(sir(Model, SCENARIO_STEPS), scenario_manager="sir", scenario=_scenarios(scenarios))
    chosen = made.select()

    def run_all() -> object:
        return made.run_scenarios(equations=SIR_STOCKS, return_format="dict")

    def simulate_each() -> None:
        for scenario in chosen:
            scenario.model.simulate(scenario.config(SIR_STOCKS, seed=0))

    times = times_of({"all": (run_all, size), "each": (simulate_each, size)}, 1 if quick else 3)
    compared = " · ".join(_peer_scenarios()) if peer.there() else ""
    for name, key in (("run_scenarios, as dict", "all"), ("simulate", "each")):
        cost = median(times[key])
        yield Figure(
            f"{scenarios:,} × {SCENARIO_STEPS:,} steps of SIR, {name}",
            f"{cost * size / 1e6:.2f} s, {cost:.2f} µs a step",
            peers=compared if key == "all" else "",
        )


def _scenarios(count: int) -> dict[str, Any]:
    return {f"{n:04}": {"constants": {"contacts_per_day": 3.0 + n / 100.0}} for n in range(count)}


def _peer_scenarios() -> Iterator[str]:
    """Yield what a step costs there, of fewer scenarios than ours: its engines would need a minute."""
    for backend, count in PEER_SCENARIOS.items():
        _peer_cost(backend, 1)
        yield f"{backend.capitalize()} {_peer_cost(backend, count):.2f} µs a step (of {count})"


def _peer_cost(backend: str, count: int) -> float:
    """Time one bulk run; each needs fresh scenarios, since a second run answers from their caches."""
    bptk = peer.library()
    made = bptk.bptk(configuration={"log_modes": []})
    model, scenarios = sir(bptk.Model, SCENARIO_STEPS), _scenarios(count)
    made.register_scenario_manager({"sir": {"model": model, "scenarios": scenarios}})
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas finds its frames badly made
        begun = time.process_time()
        made.run_scenarios(
            scenarios=[*scenarios],
            scenario_managers=["sir"],
            equations=list(SIR_STOCKS),
            return_format="dict",
            backend=backend,
        )
        taken = time.process_time() - begun
    return taken / (count * SCENARIO_STEPS) * 1e6
