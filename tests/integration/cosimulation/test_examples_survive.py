"""The examples under their main scripts: broken off and taken up again, all that was kept is the same."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from tests.support.cosimulated import Killed, MemoryKeeper

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds
from perdure.state.codec import decode

EXAMPLES = Path(__file__).parents[3] / "examples" / "experiments"
TENTH = Fraction(1, 10)  # s


def attempt(keeper: MemoryKeeper, example: str, folder: Path) -> None:
    """Run an example for a while, from where the keeper left off."""
    shutil.copytree(EXAMPLES / example, folder)
    configuration = load(folder, "simulation_config.json", engine_kinds())
    cosimulation = CoSimulation(configuration, folder, 4)
    plan = Plan(sim_id=1, script="main_script.py", seed=4, timeout=12 * TENTH, every=TENTH)
    past = keeper.past()
    Simulation(plan, cosimulation, keeper, folder, past, clock=lambda: 0.0, period=3600).run()
    assert cosimulation.time == 12 * TENTH


@pytest.mark.parametrize("example", ["exchange", "pendulum", "cartpole", "warm_motor"])
def test_an_example_that_is_killed_goes_on_with_the_same_bits(tmp_path: Path, example: str) -> None:
    uninterrupted = MemoryKeeper()
    attempt(uninterrupted, example, tmp_path / "whole")

    keeper = MemoryKeeper()
    for number, steps in enumerate([3, 17, 26, None]):
        asked = keeper.asked

        def control(now: int, asked: int = asked, steps: int | None = steps) -> None:
            if steps is not None and now - asked > steps:
                raise Killed

        keeper.on_control = control
        folder = tmp_path / f"attempt{number}"
        if steps is None:
            attempt(keeper, example, folder)
        else:
            with pytest.raises(Killed):
                attempt(keeper, example, folder)

    assert [(s.inputs, s.outputs) for s in keeper.steps] == [
        (s.inputs, s.outputs) for s in uninterrupted.steps
    ]
    last, expected = keeper.order[-1], uninterrupted.order[-1]
    assert last.timestamp == expected.timestamp
    for id in expected.entities:
        if id.startswith("engine/") or id in ("functions", "clock", "datapacks", "samples"):
            assert decode(last.entities[id]) == decode(expected.entities[id]), id
