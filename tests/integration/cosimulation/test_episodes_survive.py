"""Episodes of gymnasium in an experiment: their ends are seen, and are the same after kills."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.support.cosimulated import Killed, MemoryKeeper
from tests.support.experiments import write

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.journal import trajectory
from perdure.drivers.experiments.plan import Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds

LIMIT = 30  # steps of an episode

FILES = {
    "simulation_config__json": json.dumps(
        {
            "EngineConfigs": [
                {
                    "EngineName": "env",
                    "EngineType": "py_sim",
                    "Simulator": "OpenAI",
                    "WorldFileName": "survivors:Survivors-v0",
                    "PythonFileName": "agent.py",
                    "EngineTimestep": 0.01,
                }
            ],
            "StatusFunction": {"Name": "status", "FileName": "status.py"},
        }
    ),
    "survivors__py": f"""
        import gymnasium
        from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

        def make():
            plain = gymnasium.make("CartPole-v1").unwrapped
            return RecordEpisodeStatistics(TimeLimit(plain, max_episode_steps={LIMIT}))

        if "Survivors-v0" not in gymnasium.envs.registration.registry:
            gymnasium.register("Survivors-v0", entry_point=make)
        """,
    "agent__py": """
        import random
        from nrp_core.engines.py_sim import PySimEngineScript

        class Script(PySimEngineScript):
            def initialize(self):
                self.last = {}
                self._registerDataPack("seen")
                self.tell(False)

            def runLoop(self, timestep_ns):
                self.tell(self.sim_manager.run_step(random.randrange(2), timestep_ns))

            def tell(self, ended):
                info = self.sim_manager.get_model_property("trainInfo", "Property")
                if "episode" in info:
                    self.last = {name: float(value) for name, value in info["episode"].items()}
                observation = self.sim_manager.get_model_property("observation", "Property")
                seen = {"angle": observation[2], "place": observation[0], "ended": ended, **self.last}
                self._setDataPack("seen", seen)
        """,
    "status__py": """
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @EngineDataPack(keyword="seen", id=DataPackIdentifier("seen", "env"))
        @StatusFunction()
        def status(seen):
            row = JsonRawData()
            row.data = {name: value for name, value in seen.data.items() if name != "t"}
            return False, [row]
        """,
}


def rows_of(root: Path, kills: list[int], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], Any]:
    """Return the trajectory of a run that is killed after so many steps, and how its parts were kept."""
    import gymnasium

    registry = dict(gymnasium.registry)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", registry)
    keeper = MemoryKeeper()
    for number, steps in enumerate([*kills, 10_000]):
        asked = keeper.asked

        def control(now: int, until: int = asked + steps) -> None:
            if now > until:
                raise Killed

        keeper.on_control = control
        folder = root / f"attempt{number}"
        folder.mkdir(parents=True)
        write(folder, **FILES)
        configuration = load(folder, "simulation_config.json", engine_kinds())
        cosimulation = CoSimulation(configuration, folder, 4)
        plan = Plan(sim_id=1, script=None, seed=4, timeout=Fraction(3), every=Fraction(1, 5))
        simulation = Simulation(plan, cosimulation, keeper, folder, keeper.past(), period=3600)
        if number < len(kills):
            with pytest.raises(Killed):
                simulation.run()
        else:
            simulation.run()
    return list(trajectory(keeper.steps)), keeper.reports[-1]["parts"]["engine/env"]["kept"]


def test_the_ends_of_episodes_are_seen_and_are_the_same_after_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, kept = rows_of(tmp_path / "whole", [], monkeypatch)
    assert kept == "saved"
    assert rows_of(tmp_path / "killed", [31, 85, 60], monkeypatch)[0] == rows
    began, ends = 0, [number for number, row in enumerate(rows) if row["ended"]]
    assert len(ends) > 5
    for number in ends:
        length, row = number - began, rows[number]
        assert (row["l"], row["r"]) == (length, length)
        assert abs(row["angle"]) > 0.2094 or abs(row["place"]) > 2.4 or length == LIMIT
        began = number
