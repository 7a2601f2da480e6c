"""A run that is watched has the same numbers, bit for bit, as one that isn't."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.cosimulated import MemoryKeeper
from tests.support.scenes import GREY, grey_experiment

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import Plan
from perdure.drivers.experiments.scene_views import LARGEST, SceneView
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds
from perdure.errors import CorruptBlob, EngineCrashed
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.state.codec import decode, encode

EXAMPLES = Path(__file__).parents[3] / "examples" / "experiments"
TENTH = Fraction(1, 10)  # s


def simulated(folder: Path, *, watched: bool) -> MemoryKeeper:
    keeper = MemoryKeeper()
    if watched:  # after every step, since this keeper never clears it
        keeper.watched.set()
    configuration = load(folder, "simulation_config.json", engine_kinds())
    plan = Plan(sim_id=1, script="main_script.py", seed=4, timeout=6 * TENTH, every=TENTH)
    cosimulation = CoSimulation(configuration, folder, 4)
    Simulation(plan, cosimulation, keeper, folder, None, clock=lambda: 0.0, period=3600).run()
    return keeper


def example(folder: Path, name: str, **keys: Any) -> None:
    shutil.copytree(EXAMPLES / name, folder)
    path = folder / "simulation_config.json"
    config = json.loads(path.read_text())
    for engine in config["EngineConfigs"]:
        engine |= keys
    path.write_text(json.dumps(config))


def own(folder: Path, environment: str = GREY, **keys: Any) -> None:
    folder.mkdir()
    script = "import contextlib\nwith contextlib.suppress(NRPSimulationTimeout):\n    nrp.run_loop(100)\n"
    for name, content in grey_experiment(script, environment, **keys).items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "keys"),
    [("pendulum", {}), ("cartpole", {}), ("warm_motor", {}), ("pendulum", {"Isolated": True})],
)
def test_a_watched_run_has_the_same_bits(tmp_path: Path, name: str, keys: dict[str, Any]) -> None:
    kept = []
    for watched in (False, True):
        example(tmp_path / f"{watched}", name, **keys)
        kept.append(simulated(tmp_path / f"{watched}", watched=watched))
    alone, seen = kept
    assert not alone.views
    assert len(seen.views) in (30, 60)  # one after each step
    assert [(s.inputs, s.outputs) for s in seen.steps] == [(s.inputs, s.outputs) for s in alone.steps]
    assert [it.timestamp for it in seen.order] == [it.timestamp for it in alone.order]
    for saved, expected in zip(seen.order, alone.order, strict=True):
        for id in expected.entities:
            if id.startswith("engine/") or id in ("functions", "clock", "datapacks"):
                assert saved.entities[id] == expected.entities[id], id


@pytest.mark.parametrize("isolated", [False, True])
def test_a_view_has_the_scene_that_the_savepoint_of_its_time_has(tmp_path: Path, isolated: bool) -> None:
    example(tmp_path / "seen", "pendulum", Isolated=isolated)
    keeper = simulated(tmp_path / "seen", watched=True)
    views = {view.timestamp: view for view in map(SceneView.from_blob, keeper.views)}
    compared = 0
    for savepoint in keeper.order:
        if savepoint.timestamp in views:
            base = decode(savepoint.entities["engine/plant"])[0]  # type: ignore[index]
            scenes = views[savepoint.timestamp].scenes
            assert list(scenes) == ["plant"]  # the controller has none
            shown: Any = decode(scenes["plant"].state or b"")
            state: Any = decode(base)
            assert np.array_equal(shown["integration"], state["simulator"]["integration"])
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("isolated", [False, True])
def test_a_state_that_cannot_be_copied_is_a_reason_and_no_end_of_the_run(
    tmp_path: Path, isolated: bool
) -> None:
    odd = GREY.replace(
        "        self.count = 0\n\n", "        self.odd = iter(())\n        self.count = 0\n\n", 1
    )
    own(tmp_path / "odd", odd, Isolated=isolated)
    keeper = simulated(tmp_path / "odd", watched=True)
    assert keeper.order[-1].timestamp == 6 * 10**8
    scene = SceneView.from_blob(keeper.views[-1]).scenes["box"]
    assert scene.state is None
    assert "odd" in scene.reason


def slow_and_fast(folder: Path, environment: str = GREY, script: str = "") -> None:
    """Write an experiment whose isolated engine takes 0.03 s with a step, and whose other one 0.01 s."""
    own(folder, environment, Isolated=True, EngineTimestep=0.03)
    if script:
        (folder / "main_script.py").write_text(script)
    path = folder / "simulation_config.json"
    config = json.loads(path.read_text())
    config["EngineConfigs"].append(
        {"EngineName": "fast", "EngineType": "python_json", "PythonFileName": "fast.py"}
    )
    (folder / "fast.py").write_text(
        "from nrp_core.engines.python_json import EngineScript\n"
        "class Script(EngineScript):\n"
        "    def initialize(self): pass\n"
        "    def runLoop(self, timestep_ns): pass\n"
    )
    path.write_text(json.dumps(config))


def test_an_engine_of_long_steps_is_shown_between_them(tmp_path: Path) -> None:
    slow_and_fast(tmp_path / "slow")
    views = [SceneView.from_blob(view) for view in simulated(tmp_path / "slow", watched=True).views]
    assert 20 <= len(views) <= 30  # also after savepoints, which wait for the step
    assert all(view.scenes["box"].state is not None for view in views)


class Steps(CoSimulation):
    """Notes how often a step was finished."""

    hidden = False  # type: ignore[assignment]  # have it asked for scenes after each step

    def scenes(self) -> Any:
        (box,) = [member for name, member in self._members.items() if name == "box"]
        before = box.hidden
        found = super().scenes()
        assert box.hidden is before  # it didn't wait for the step
        if before:
            assert "in a step" in found["box"][1]  # type: ignore[index]
        return found


def test_who_watches_does_not_wait_for_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CoSimulation", Steps)
    slow_and_fast(tmp_path / "slow")
    assert len(simulated(tmp_path / "slow", watched=True).views) == 60


@pytest.mark.parametrize("error", [EngineCrashed(engine="box", reason="x"), MemoryError(), RuntimeError("x")])
def test_a_scene_that_cannot_be_copied_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def scene(_: object) -> None:
        raise error

    monkeypatch.setattr(IsolatedEngine, "scene", scene)
    own(tmp_path / "own", Isolated=True)
    keeper = simulated(tmp_path / "own", watched=True)
    assert keeper.order[-1].timestamp == 6 * 10**8
    assert SceneView.from_blob(keeper.views[-1]).scenes["box"].state is None


def test_a_scene_that_cannot_be_encoded_is_left_out() -> None:
    view = SceneView.of(5, {"odd": [{"x": object()}, ""], "small": [{"x": 1}, ""]})
    assert view.scenes["odd"].state is None
    assert view.scenes["odd"].reason
    assert view.scenes["small"].state is not None


def test_a_scene_that_is_too_large_is_left_out_with_its_size() -> None:
    large = np.random.default_rng(1).integers(0, 256, LARGEST + 1, np.uint8)  # which can't be compressed
    view = SceneView.of(5, {"small": [{"x": 1}, ""], "large": [{"x": large}, ""], "none": [None, "why"]})
    assert view.scenes["small"].state is not None
    assert view.scenes["large"].state is None
    assert "bytes" in view.scenes["large"].reason
    assert view.scenes["none"].reason == "why"
    assert SceneView.from_blob(view.to_blob()) == view


@pytest.mark.parametrize("blob", [b"", b"x", encode(1, schema=1), encode({"timestamp": "x"}, schema=1)])
def test_what_is_no_view_is_damaged(blob: bytes) -> None:
    with pytest.raises(CorruptBlob):
        SceneView.from_blob(blob)
