"""Stable configurations: CPU time of a proved solve, beside plain satisfiability and StableConfigs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.support.grids import counter, grid
from tests.support.known_networks import dense, known, network_of

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from benchmarks.plain_sat import most_polymers
from perdure.solvers.binding_networks import Network, Status, solve
from perdure.solvers.binding_networks.demands import Demands, components
from perdure.solvers.binding_networks.optimum import Backend, Question, divide
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["measure"]

# Seconds of CPU that StableConfigs needed for one configuration, measured earlier on another machine.
STABLE_CONFIGS = {
    "wraparound_sorting_network": "29.4 s",
    "and_gate_x5": "> 59 s",
    "slow_10": "> 59 s",
    "and_chain_8": "3.55 s",
    "circ_20": "0.389 s",
}
BUDGETS = {"wraparound_sorting_network": 0.2, "and_gate_x5": 0.05, "slow_10": 0.05}
LISTED = {"and_chain_8": 0.3}
COUNTED = 1.0
HARD = ((60, 1), (60, 2), (80, 1), (80, 2))
LIMIT = 30.0  # seconds
CAP = 20.0  # seconds of CPU for plain satisfiability


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield CPU times in a process that has loaded the solver, what loading it costs, and hard networks."""
    imports = [_loading() for _ in range(3)]
    yield Figure("loading the solver and HiGHS, once a process", f"{spread(imports, '.3f')} s")
    solve(network_of("explicit_or"))
    cap = CAP / 10 if quick else CAP
    for name in (*STABLE_CONFIGS, "explicit_or", "and_gate", "strand_displacement"):
        yield _solving(name, cap, 3 if quick else 15)
    for name in ("and_gate_x5", "and_chain_8", "wraparound_sorting_network"):
        yield _listing(name, network_of(name), 1 if quick else 5, LISTED.get(name))
    yield _listing("four grids in a ring", counter(6, 4), 1 if quick else 5, 5.0)
    yield _counting("3 × 3 grid, 10 of each, 5 gates", grid(3, 10, 5), 1 if quick else 5)
    yield _counting("the same, all named", grid(3, 10, 5, named=True), 1 if quick else 5)
    for monomers in (8, 12, 16, 20):
        yield _choosing(monomers, 2 if quick else 8)
    for monomers, seed in HARD[: 1 if quick else None]:
        yield _bounding(monomers, seed, LIMIT / 10 if quick else LIMIT)


def _solving(name: str, cap: float, rounds: int) -> Figure:
    network = network_of(name)
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        solution = solve(network)
        seconds.append(time.process_time() - begun)
        if solution.optimum != known()[name]["grouping"]["polymers"]:
            raise BenchmarkFailed(f"{name}: {solution.optimum} polymers")
    budget = BUDGETS.get(name)
    return Figure(
        f"{name}, {len(network.monomers)} monomers, proved",
        f"{spread(seconds, '.4f')} s",
        "" if budget is None else f"≤ {budget} s",
        None if budget is None else median(seconds) <= budget,
        _peers(network, name, cap),
    )


def _peers(network: Network, name: str, cap: float) -> str:
    begun = time.process_time()
    best, proved = most_polymers(network, cap)
    seconds = time.process_time() - begun
    plain = f"{seconds:.3f} s" if proved else f"> {seconds:.0f} s, {best} found"
    quoted = f" · StableConfigs {STABLE_CONFIGS[name]}, quoted" if name in STABLE_CONFIGS else ""
    return f"plain SAT {plain}{quoted}"


def _listing(name: str, network: Network, rounds: int, budget: float | None) -> Figure:
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        solution = solve(network, all=True)
        seconds.append(time.process_time() - begun)
    return Figure(
        f"{name}, all {solution.total} stable configurations listed",
        f"{spread(seconds, '.3f')} s",
        "" if budget is None else f"≤ {budget} s",
        None if budget is None else median(seconds) <= budget,
    )


def _counting(name: str, network: Network, rounds: int) -> Figure:
    seconds = []
    for _ in range(rounds):
        begun = time.process_time()
        solution = solve(network, count=True)
        seconds.append(time.process_time() - begun)
    return Figure(
        f"{name}, {solution.total} stable configurations counted",
        f"{spread(seconds, '.3f')} s",
        f"≤ {COUNTED} s",
        median(seconds) <= COUNTED,
    )


def _choosing(monomers: int, networks: int) -> Figure:
    """Return what either solver needs for the optimum of some random networks."""
    seconds: dict[Backend, list[float]] = {backend: [] for backend in Backend}
    for seed in range(networks):
        network = dense(monomers, seed)
        component = components(network)
        largest = max(set(component), key=component.count)
        members = tuple(index for index, first in enumerate(component) if first == largest)
        for backend in Backend:
            begun = time.process_time()
            divide(Question(network, members, Demands()), Watch(), backend=backend)
            seconds[backend].append(time.process_time() - begun)
    return Figure(
        f"{networks} dense random networks, {monomers} monomers, integer program",
        f"{spread(seconds[Backend.INTEGER_PROGRAM], '.4f')} s",
        peers=f"our satisfiability {spread(seconds[Backend.SATISFIABILITY], '.4f')} s",
    )


def _bounding(monomers: int, seed: int, limit: float) -> Figure:
    begun = time.process_time()
    solution = solve(dense(monomers, seed), timeout=limit)
    seconds = time.process_time() - begun
    proved = solution.status is Status.OPTIMAL
    bounds = f"{solution.lower}" if proved else f"{solution.lower} to {solution.upper}, time-out {limit:g} s"
    return Figure(f"dense random network, {monomers} monomers, seed {seed}", f"{bounds}; {seconds:.1f} s")


def _loading() -> float:
    """Return the CPU time that a new process spends on importing what a solve uses."""
    code = (
        "import time; from perdure.solvers.binding_networks import network; begun = time.process_time(); "
        "import perdure.solvers.binding_networks.solving, perdure.solvers.binding_networks.highs; "
        "print(time.process_time() - begun)"
    )
    return float(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )
