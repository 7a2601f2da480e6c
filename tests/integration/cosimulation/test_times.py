"""Times of co-simulations: steps are counted exactly, and engines meet where their time steps do."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.cosimulated import Killed, MemoryKeeper
from tests.support.experiments import HEAD, script_engine, started, write

from perdure.drivers.experiments.configuration import Configuration, read
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import Past, Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.engines.kinds import engine_kinds
from perdure.state.codec import decode, encode
from perdure.times import exact, nanoseconds, whole_nanoseconds

ENGINE = (
    HEAD
    + """
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("t")
        self._setDataPack("t", [0, 0])
        self.n = 0
    def runLoop(self, timestep_ns):
        self.n += 1
        self._setDataPack("t", [self._time_ns, self.n])
"""
)
SCRIPT = """
steps = 0
try:
    while True:
        nrp.run_loop(1)
        steps += 1
except NRPSimulationTimeout:
    pass
file_logger.info("%r %r %r %r", steps, nrp.max_timesteps, nrp.simulation_time, nrp.simulation_time_remaining)
"""
MIXES = [1 / 30, 1 / 15, 1 / 60, 0.035, 1e-3, 1 / 7]


def read_with(timeout: float, *timesteps: float, times: Any = exact) -> Configuration:
    engines = [script_engine(f"e{i}", step) for i, step in enumerate(timesteps)]
    return read({"SimulationTimeout": timeout, "EngineConfigs": engines}, engine_kinds(), times=times)


def simulated(configuration: Configuration, folder: Path, keeper: MemoryKeeper, past: Past | None) -> None:
    write(folder, main_script__py=SCRIPT, **{f"e{i}__py": ENGINE for i in range(len(configuration.engines))})
    plan = Plan(
        sim_id=1,
        script="main_script.py",
        seed=1,
        timeout=configuration.timeout,
        every=configuration.savepoint.every or Fraction(1, 4),
    )
    cosimulation = CoSimulation(configuration, folder, 1)
    Simulation(plan, cosimulation, keeper, folder, past, clock=lambda: 0.0, period=3600).run()


@pytest.mark.parametrize("seconds", [1, 0.1, 2.5, 1 / 3, 60])
def test_every_frequency_takes_its_steps(seconds: float) -> None:
    duration = exact(seconds)
    for hertz in range(1, 1001):
        configuration = read_with(seconds, 1 / hertz)
        assert configuration.timeout is not None
        assert configuration.timeout // configuration.timestep == duration * hertz // 1, hertz


def test_sixty_hertz_for_a_second_take_sixty_steps_also_when_killed(tmp_path: Path) -> None:
    configuration = read_with(1, 1 / 60)
    keeper = MemoryKeeper()

    def die(asked: int) -> None:
        if asked == 47:
            raise Killed

    keeper.on_control = die
    (first := tmp_path / "first").mkdir()
    with pytest.raises(Killed):
        simulated(configuration, first, keeper, None)
    keeper.on_control = lambda asked: None
    (second := tmp_path / "second").mkdir()
    simulated(configuration, second, keeper, keeper.past())
    assert keeper.lines == [("info", "60 60 1.0 0.0")]
    # A savepoint lies where the grid does, and not beside it by rounding.
    assert set(keeper.savepoints) >= {0, 250_000_000, 500_000_000, 750_000_000, 1_000_000_000}


def test_a_savepoint_gets_its_time_rounded_once(tmp_path: Path) -> None:
    engines = [script_engine("e0", 1 / 60)]
    data = {"SimulationTimeout": 0.1, "EngineConfigs": engines, "Savepoint": {"every": 1 / 60}}
    keeper = MemoryKeeper()
    simulated(read(data, engine_kinds()), tmp_path, keeper, None)
    assert list(keeper.savepoints) == [nanoseconds(Fraction(n, 60)) for n in range(7)]


def meetings(folder: Path, timesteps: list[float], steps: int, cut: int | None = None) -> list[Any]:
    """Step, and return after each step what each engine said of its time and its steps, and the time."""
    write(folder, **{f"e{i}__py": ENGINE for i in range(len(timesteps))})
    config = {"EngineConfigs": [script_engine(f"e{i}", step) for i, step in enumerate(timesteps)]}
    made = started(folder, config)
    said = []
    for number in range(steps):
        if number == cut:
            state = decode(encode(dict(made.snapshot())))
            made.close()
            made = started(folder, config)
            made.restore(state)
        made.step()
        packs: Any = made.snapshot()["datapacks"]
        said.append((made.time, [packs["answered"][f"e{i}"]["t"] for i in range(len(timesteps))]))
    made.close()
    return said


def check_meetings(said: list[Any], timesteps: list[Fraction]) -> None:
    smallest = min(timesteps)
    for number, (time, answers) in enumerate(said, start=1):
        assert time == number * smallest
        for timestep, (time_ns, count) in zip(timesteps, answers, strict=True):
            # The step that began last began at the first time of the loop at or after the multiple.
            began = (number - 1) * smallest // timestep
            assert (count, time_ns) == (began + 1, nanoseconds((began + 1) * timestep))


@pytest.mark.parametrize("timestep", MIXES)
def test_engines_meet_where_their_time_steps_do(tmp_path: Path, timestep: float) -> None:
    timesteps = [1 / 60, timestep, 1 / 15]
    check_meetings(meetings(tmp_path, timesteps, 40, cut=13), [exact(step) for step in timesteps])


fractions = st.builds(Fraction, st.integers(1, 50), st.integers(50, 1000))


@given(st.lists(fractions, min_size=1, max_size=3), st.integers(0, 11))
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
def test_engines_of_any_time_steps_meet_where_these_do(
    tmp_path_factory: pytest.TempPathFactory, timesteps: list[Fraction], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("times")
    said = meetings(folder, [float(step) for step in timesteps], 12, cut)
    check_meetings(said, timesteps)


@given(fractions, st.builds(Fraction, st.integers(1, 3000), st.integers(1, 1000)))
def test_as_many_steps_are_taken_as_fit_into_the_time(timestep: Fraction, timeout: Fraction) -> None:
    configuration = read_with(float(timeout), float(timestep))
    assert (configuration.timestep, configuration.timeout) == (timestep, timeout)


# Runs that an earlier version began -------------------------------------------------------------------------


def test_a_run_begun_by_an_earlier_version_ends_with_its_former_times(tmp_path: Path) -> None:
    old = {"experiment": "e", "version": 1, "configuration": "c", "script": None, "seed": 1, "sim_id": 1}
    spec = ExperimentSpec.from_blob(encode(old))  # as that version wrote it
    assert ExperimentSpec.from_blob(spec.to_blob()).times is spec.times is whole_nanoseconds
    configuration = read_with(1, 1 / 60, 1 / 30, times=spec.times)
    keeper = MemoryKeeper()
    simulated(configuration, tmp_path, keeper, None)
    assert keeper.lines == [("info", "59 59 0.983333353 0.0")]
    assert keeper.order[-1].timestamp == 59 * 16_666_667


def test_a_savepoint_of_an_earlier_version_is_gone_on_from(tmp_path: Path) -> None:
    config = {"EngineConfigs": [script_engine("e0", 0.01), script_engine("e1", 0.025)]}
    write(tmp_path, e0__py=ENGINE, e1__py=ENGINE)
    made = started(tmp_path, config)
    for _ in range(4):
        made.step()
    state: Any = decode(encode(dict(made.snapshot())))
    unit = state["clock"].pop("unit")
    state["clock"]["time_ns"] = state["clock"].pop("time") * 10**9 // unit
    state["clock"]["due_ns"] = {name: due * 10**9 // unit for name, due in state["clock"].pop("due").items()}
    again = started(tmp_path, config)
    again.restore(state)
    for _ in range(5):
        made.step()
        again.step()
    assert again.time == Fraction(9, 100)
    ends: list[Any] = [one.snapshot() for one in (again, made)]
    assert encode(ends[0]["datapacks"]) == encode(ends[1]["datapacks"])
    made.close()
    again.close()


def test_a_fork_with_other_time_steps_goes_on_at_the_exact_time(tmp_path: Path) -> None:
    write(tmp_path, e0__py=ENGINE)
    made = started(tmp_path, {"EngineConfigs": [script_engine("e0", 1 / 60)]})
    for _ in range(2):
        made.step()
    state = decode(encode(dict(made.snapshot())))
    made.close()
    fork = started(tmp_path, {"EngineConfigs": [script_engine("e0", 1 / 7)]})
    fork.restore(state)
    fork.step()
    assert fork.time == Fraction(2, 60) + Fraction(1, 7)
    packs: Any = fork.snapshot()["datapacks"]
    assert packs["answered"]["e0"]["t"] == [nanoseconds(fork.time), 3]
    fork.close()
