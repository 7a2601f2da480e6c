"""Agents: how many act in a second, beside bptk-py and Mesa, and what savepoints of 10,000 agents cost."""

import gc
import importlib
import importlib.util
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import perdure.bptk
from benchmarks import peer
from benchmarks.figure import Figure, spread
from perdure.engines.agents.engine import AgentEngine
from perdure.engines.reference import EngineReference
from perdure.execution.guard import descendants
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.scenarios.agent_model import AgentModel
from perdure.settings import Settings
from perdure.state.codec import encode

__all__ = ["measure"]

AGENTS, STEPS = 10_000, 5
MOST_MILLISECONDS = 50.0  # of a savepoint
MOST_MILLISECONDS_MORE = 1.0  # of a step in a process of its own
MOST_SHARE = 0.05  # of a run, for the savepoints of the default schedule
NUMBERS = {f"number_{n}": {"type": "Double", "value": float(n)} for n in range(4)}


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield agents a second, the time of a savepoint, and the share of savepoints in a run."""
    rounds = 1 if quick else 3
    works: dict[str, Callable[[], object]] = {"Perdure": _run_of(perdure.bptk)}
    if peer.there():
        works["bptk-py"] = _run_of(peer.library())
    if importlib.util.find_spec("mesa"):
        works["Mesa"] = _mesa_run()
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            rates[name].append(AGENTS * STEPS / _seconds(work) / 1000.0)
    yield Figure(
        f"{AGENTS:,} agents that draw, count and send events, collected",
        f"{spread(rates.pop('Perdure'), '.0f')}k agents/s",
        peers=" · ".join(f"{name} {median(found):.0f}k" for name, found in rates.items()),
    )
    engine = _engine()
    steps = [_seconds(lambda: engine.step({})) for _ in range(STEPS * rounds)]
    savepoints = [_seconds(lambda: encode(engine.snapshot())) * 1000.0 for _ in range(3 * rounds)]
    engine.close()
    yield Figure(
        f"a savepoint of {AGENTS:,} agents × 10 attributes",
        f"{spread(savepoints, '.0f')} ms",
        f"< {MOST_MILLISECONDS:.0f} ms",
        median(savepoints) < MOST_MILLISECONDS,
    )
    every = Settings.model_fields["savepoint_every"].default
    share = median(savepoints) / 1000.0 / (every * median(steps))
    yield Figure(
        f"savepoints of these agents, one every {every} steps, share of the run",
        f"{share:.1%}",
        f"< {MOST_SHARE:.0%}",
        share < MOST_SHARE,
    )
    yield from _isolated(rounds)


def _isolated(rounds: int) -> Iterator[Figure]:
    """Yield what a process of their own adds to a step of few agents, and to a savepoint of many."""
    seconds: list[list[float]] = []
    for make in (_isolated_model().make_engine, _isolated_model().make_engine_here):
        with closing(make()) as engine:
            engine.initialize(_config(10))
            seconds.append([_elapsed(lambda: engine.step({})) for _ in range(200 * rounds)])
    more = (median(seconds[0]) - median(seconds[1])) * 1000.0
    yield Figure(
        "a step of 10 agents in a process of its own, more than in the server's",
        f"{more:.2f} ms",
        f"< {MOST_MILLISECONDS_MORE:.0f} ms",
        more < MOST_MILLISECONDS_MORE,
    )
    with closing(_isolated_model().make_engine()) as engine:
        engine.initialize(_config(AGENTS))
        assert isinstance(engine, IsolatedEngine)
        engine.step({})
        savepoints = [_cpu(engine.encoded) * 1000.0 for _ in range(3 * rounds)]
    yield Figure(
        f"a savepoint of {AGENTS:,} agents × 10 attributes from a process of its own",
        f"{spread(savepoints, '.0f')} ms",
        f"< {MOST_MILLISECONDS:.0f} ms",
        median(savepoints) < MOST_MILLISECONDS,
    )


def _model(library: Any) -> Any:
    """Return the class of a model in perdure.bptk or in bptk-py."""

    class Walker(library.Agent):  # type: ignore[misc]
        def initialize(self) -> None:
            self.agent_type = "walker"
            self.state = "walking"
            self.steps, self.met, self.place, self.best = 0, 0, 0.0, 0.0
            self.register_event_handler(["walking"], "greeting", self.greeted)

        def greeted(self, event: Any) -> None:
            self.met += 1

        def act(self, time: float, round_no: int, step_no: int) -> None:
            self.steps += 1
            self.place += random.random() - 0.5
            if self.place > self.best:
                self.best = self.place
                other = random.randrange(AGENTS)
                self.model.enqueue_event(library.Event("greeting", self.id, other))

    class Walk(library.Model):  # type: ignore[misc]
        def instantiate_model(self) -> None:
            self.register_agent_factory("walker", lambda i, model, given: Walker(i, model, given))

    return Walk


def _definition(stop: int, agents: int = AGENTS) -> dict[str, Any]:
    return {
        "runspecs": {"starttime": 1, "stoptime": stop, "dt": 1},
        "properties": {},
        "agents": [{"name": "walker", "count": agents, "properties": NUMBERS}],
    }


def _run_of(library: Any) -> Callable[[], object]:
    model = _model(library)(
        name="walk", scheduler=library.SimultaneousScheduler(), data_collector=library.DataCollector()
    )
    model.instantiate_model()
    model.configure(_definition(STEPS))
    return lambda: model.run()


Walk = _model(perdure.bptk)


def _engine() -> AgentEngine:
    engine = AgentModel(Walk, "walk").make_engine_here()
    engine.initialize(_config(AGENTS))
    return engine


def _isolated_model() -> AgentModel:
    return AgentModel(Walk, "walk", reference=EngineReference(module=__name__, attribute="Walk"))


def _config(agents: int) -> dict[str, Any]:
    definition = _definition(1_000_000, agents)
    times = definition.pop("runspecs")
    return {**times, "outputs": ["agents/walker"], "definition": definition, "seed": 1}


def _mesa_run() -> Callable[[], object]:
    """Return a run of agents in Mesa that do the same, with what they have counted collected."""
    mesa = importlib.import_module("mesa")

    class Walker(mesa.Agent):  # type: ignore[misc, name-defined]
        def __init__(self, model: Any) -> None:
            super().__init__(model)
            self.steps, self.met, self.place, self.best = 0, 0, 0.0, 0.0
            self.number_0, self.number_1, self.number_2, self.number_3 = 0.0, 1.0, 2.0, 3.0

        def step(self) -> None:
            self.steps += 1
            self.place += random.random() - 0.5
            if self.place > self.best:
                self.best = self.place
                self.model.walkers[random.randrange(AGENTS)].met += 1

    class Walk(mesa.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.walkers = [Walker(self) for _ in range(AGENTS)]
            numbers = [f"number_{n}" for n in range(4)]
            self.collector = mesa.DataCollector(agent_reporters={name: name for name in numbers})

        def step(self) -> None:
            self.agents.do("step")
            self.collector.collect(self)

    model = Walk()

    def run() -> None:
        for _ in range(STEPS):
            model.step()

    return run


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _elapsed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that this process and those below it take for something."""
    clocks = [~pid << 3 | 2 for pid in (os.getpid(), *descendants(os.getpid()))]  # see clock_getcpuclockid(3)
    begun = sum(map(time.clock_gettime, clocks))
    work()
    return sum(map(time.clock_gettime, clocks)) - begun
