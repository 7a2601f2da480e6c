"""MuJoCo and gymnasium under scripts: the law, and what is said where something is wrong."""

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tests.support.experiments import PENDULUM, script_config, write

from perdure.engines.python_script import PySimEngine
from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.simulators import make_simulator
from perdure.errors import Invalid, InvalidState, MissingExtra, NotSnapshotable, ScriptFailed
from perdure.state.codec import decode, encode
from perdure.testing.engines import EngineConformance

HEAD = "from nrp_core.engines.py_sim import PySimEngineScript\n"

# Controls by a position that was computed in the step before: not a function of MuJoCo's integration state.
PENDULUM_SCRIPT = (
    HEAD
    + """
class Script(PySimEngineScript):
    def initialize(self):
        self._registerDataPack("push")
        self._registerDataPack("tip")
    def runLoop(self, timestep_ns):
        tip = self.sim_manager.get_model_property("tip", "site_xpos")
        push = self._getDataPack("push")
        self.sim_manager.run_step([-2.0 * tip[0] + (push if push is not None else 0.3)], timestep_ns)
        after = self.sim_manager.get_model_property("tip", "site_xpos")
        angle = self.sim_manager.get_model_property("hinge", "joint_qpos")
        self._setDataPack("tip", [tip.tolist(), after.tolist(), angle, self.sim_manager.get_sim_time()])
    def shutdown(self):
        self.sim_manager.shutdown()
"""
)

CONTACTS = """
<mujoco>
  <option timestep="0.002" integrator="implicitfast"/>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body name="low" pos="0 0 0.15"><freejoint/><geom type="box" size=".1 .1 .1"/></body>
    <body name="high" pos="0.05 0.02 0.45"><freejoint/><geom type="box" size=".1 .1 .1"/>
      <site name="tip" pos="0 0 .1"/>
      <body name="arm" pos="0 0 .1"><joint name="hinge" axis="0 1 0"/>
        <geom type="capsule" size=".02 .2"/></body>
    </body>
  </worldbody>
  <actuator><general name="motor" joint="hinge" dyntype="filter" dynprm="0.05"/></actuator>
  <sensor><accelerometer name="acceleration" site="tip"/></sensor>
</mujoco>
"""


def mujoco_config(folder: Path, **settings: Any) -> dict[str, Any]:
    return script_config(folder, simulator="Mujoco", world="world.xml", **settings)


@pytest.mark.parametrize("world", [PENDULUM, CONTACTS])
def test_the_law_of_engines_holds_for_mujoco(tmp_path: Path, world: str) -> None:
    write(tmp_path, script__py=PENDULUM_SCRIPT, world__xml=world)
    inputs = [{}, {"push": 1.0}, {}, {"push": -3.0}, *[{}] * 8]
    EngineConformance(PySimEngine, mujoco_config(tmp_path, timestep=0.02), inputs).check()


def test_mujocos_state_holds_sensors_and_forces_as_they_stood(tmp_path: Path) -> None:
    write(tmp_path, world__xml=CONTACTS)
    one, other = (make_simulator("Mujoco", "world.xml", tmp_path, 0) for _ in range(2))
    for _ in range(30):
        one.run_step([0.5], 10_000_000)
    state = decode(encode(one.snapshot(ObjectGraph())))
    other.restore(state)
    for kind in ("sensordata", "qacc", "xpos", "cvel", "qfrc_constraint"):
        assert one.get_model_all_properties(kind).tobytes() == other.get_model_all_properties(kind).tobytes()
    for _ in range(50):
        one.run_step([0.1], 10_000_000)
        other.run_step([0.1], 10_000_000)
    assert encode(one.snapshot(ObjectGraph())) == encode(other.snapshot(ObjectGraph()))


def test_mujoco_answers_names_and_values_as_nrp_core_does(tmp_path: Path) -> None:
    write(tmp_path, world__xml=PENDULUM)
    simulator = make_simulator("Mujoco", "world.xml", tmp_path, 0)
    assert simulator.get_model_properties("site") == ["tip"]
    assert simulator.get_model_properties("joint") == ["hinge"]
    assert simulator.get_model_properties("body") == ["world", "pole"]
    tip = simulator.get_model_property("tip", "site_xpos")
    np.testing.assert_allclose(tip, [0, 0, -0.5])
    assert simulator.run_step([1.0], 4_000_000) is None
    assert simulator.get_sim_time() == pytest.approx(0.004)
    np.testing.assert_allclose(tip, [0, 0, -0.5])  # what was answered is the caller's own
    assert type(simulator.get_model_property("hinge", "joint_qpos")) is float
    simulator.reset()
    assert simulator.get_sim_time() == 0.0
    assert simulator.get_model_property("hinge", "joint_qpos") == 0.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda s: s.run_step([1.0, 2.0], 2_000_000),
            r"shape \(2,\), but the model has 1 actuators: \['motor'\]",
        ),
        (lambda s: s.run_step([1.0], 3_000_000), "no multiple of the model's, 0.002 s"),
        (lambda s: s.get_model_properties("sites"), "Did you mean 'site'"),
        (lambda s: s.get_model_property("tap", "site_xpos"), "Did you mean 'tip'"),
        (lambda s: s.get_model_property("tip", "site_nothing"), "no 'site_nothing' of a site"),
        (lambda s: s.get_model_all_properties("efc_force"), "no array of mjData of a fixed size"),
    ],
)
def test_mujoco_refuses_in_words(tmp_path: Path, call: Any, says: str) -> None:
    write(tmp_path, world__xml=PENDULUM)
    with pytest.raises(Invalid, match=says):
        call(make_simulator("Mujoco", "world.xml", tmp_path, 0))


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path, world__xml=PENDULUM, other__xml=CONTACTS)
    state = make_simulator("Mujoco", "other.xml", tmp_path, 0).snapshot(ObjectGraph())
    with pytest.raises(InvalidState, match="another one"):
        make_simulator("Mujoco", "world.xml", tmp_path, 0).restore(state)


GYM_SCRIPT = (
    HEAD
    + """
class Script(PySimEngineScript):
    def initialize(self):
        self._registerDataPack("action")
        self._registerDataPack("answer")
        self.ends = 0
    def runLoop(self, timestep_ns):
        action = self._getDataPack("action")
        self.ends += self.sim_manager.run_step(action, timestep_ns)
        values = self.sim_manager.get_model_all_properties("Property")
        values.pop("trainInfo")
        self._setDataPack("answer", [values, self.ends])
    def shutdown(self):
        self.sim_manager.shutdown()
"""
)


@pytest.mark.parametrize(
    ("world", "actions"),
    [
        ("CartPole-v1", [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),  # falls, and begins again
        ("MountainCar-v0", [0, 2, 1, 2, 2, 0]),
        ("MountainCarContinuous-v0", [[0.5], [-0.5], [1.0]]),
        ("Pendulum-v1", [[1.5], [-2.0], [0.1], [0.0]]),
        ("Acrobot-v1", [0, 1, 2, 2, 1]),
        ("FrozenLake-v1", [0, 1, 2, 1, 1, 2, 3, 0, 1]),
        ("Taxi-v4", [0, 1, 2, 3, 4]),
    ],
)
def test_the_law_of_engines_holds_for_gymnasium(tmp_path: Path, world: str, actions: list[Any]) -> None:
    write(tmp_path, script__py=GYM_SCRIPT)
    config = script_config(tmp_path, simulator="OpenAI", world=world)
    EngineConformance(PySimEngine, config, [{"action": action} for action in actions]).check()


WRAPPED = """
import gymnasium
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

def make():
    return RecordEpisodeStatistics(TimeLimit(gymnasium.make("CartPole-v1").unwrapped, max_episode_steps=5))

if "Wrapped-v0" not in gymnasium.envs.registration.registry:
    gymnasium.register("Wrapped-v0", entry_point=make)
"""


def test_the_law_of_engines_holds_for_an_environment_with_statistics_of_its_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = GYM_SCRIPT.replace(
        'values.pop("trainInfo")', 'values["trainInfo"].get("episode", {}).pop("t", None)'
    )
    write(tmp_path, script__py=script, wrapped__py=WRAPPED)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    config = script_config(tmp_path, simulator="OpenAI", world="wrapped:Wrapped-v0")
    EngineConformance(PySimEngine, config, [{"action": step % 2} for step in range(16)]).check()


def test_an_episodes_last_observation_and_info_are_there_until_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, wrapped__py=WRAPPED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    simulator = make_simulator("OpenAI", "wrapped:Wrapped-v0", tmp_path, 5)
    plain = gymnasium.make("wrapped:Wrapped-v0")
    plain.reset(seed=5)
    for _ in range(3):
        for step in range(1, 6):
            observation = plain.step(step % 2)[0]
            assert simulator.run_step(step % 2, 20_000_000) is (step == 5)
            told = simulator.get_model_all_properties("Property")
            assert told["observation"] == observation.tolist()
            assert told["doneFlag"] is told["truncated"] is (step == 5)
        assert (told["trainInfo"]["episode"]["l"], told["trainInfo"]["episode"]["r"]) == (5, 5.0)
        plain.reset()


def test_a_script_that_begins_the_next_episode_itself_sees_its_first_observation() -> None:
    one, other = (make_simulator("OpenAI", "CartPole-v1", Path(), 5) for _ in range(2))
    while not one.run_step(1, 1):
        other.run_step(1, 1)
    other.run_step(1, 1)
    first = one.reset()
    assert first == one.get_model_property("observation", "Property")
    assert max(map(abs, first)) <= 0.05  # where CartPole begins
    assert [one.run_step(0, 1) for _ in range(8)] == [other.run_step(0, 1) for _ in range(8)]
    assert one.get_model_property("observation", "Property") == other.get_model_property(
        "observation", "Property"
    )


def test_an_environments_time_limit_is_part_of_its_state() -> None:
    one = make_simulator("OpenAI", "MountainCar-v0", Path(), 5)
    for _ in range(150):
        one.run_step(1, 10_000_000)
    other = make_simulator("OpenAI", "MountainCar-v0", Path(), 5)
    other.restore(decode(encode(one.snapshot(ObjectGraph()))))
    assert [other.run_step(1, 1) for _ in range(60)] == [one.run_step(1, 1) for _ in range(60)]
    assert encode(one.snapshot(ObjectGraph())) == encode(other.snapshot(ObjectGraph()))


def test_a_space_that_was_sampled_keeps_its_draws() -> None:
    one, other = (make_simulator("OpenAI", "CartPole-v1", Path(), 5) for _ in range(2))
    space = one._environment.unwrapped.action_space  # type: ignore[attr-defined]
    space.seed(4)
    space.sample()
    other.restore(decode(encode(one.snapshot(ObjectGraph()))))
    restored = other._environment.unwrapped.action_space  # type: ignore[attr-defined]
    assert [restored.sample() for _ in range(20)] == [space.sample() for _ in range(20)]


@pytest.mark.parametrize(
    ("held", "named"),
    [
        (object(), r"Physics\.held .* builtins.object has no state"),
        (random.Random(5).random, r"Physics\.held .* bound to a random.Random"),
        ((lambda kept: lambda: kept.append(1))([]), r"Physics\.held .* closure .* builtins.list"),
    ],
)
def test_what_an_environment_holds_elsewhere_is_named(
    held: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gymnasium
    from gymnasium.envs.classic_control import PendulumEnv

    class Physics(PendulumEnv):
        def __init__(self, render_mode: str | None = None) -> None:
            super().__init__(render_mode)
            self.held = held

    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    gymnasium.register("Physics-v0", Physics)
    simulator = make_simulator("OpenAI", "Physics-v0", Path(), 5)
    with pytest.raises(NotSnapshotable, match=named):
        simulator.snapshot(ObjectGraph())


def test_gymnasium_answers_as_nrp_core_does() -> None:
    simulator = make_simulator("OpenAI", "CartPole-v1", Path(), 1)
    names = ["observation", "reward", "truncated", "doneFlag", "trainInfo"]
    assert simulator.get_model_properties("Property") == names
    assert len(simulator.get_model_property("observation", "Property")) == 4
    assert simulator.run_step(1, 20_000_000) is False
    assert simulator.get_model_property("reward", "Property") == 1.0
    assert simulator.get_sim_time() == pytest.approx(0.02)
    ends = [simulator.run_step(1, 20_000_000) for _ in range(30)]
    assert True in ends
    with pytest.raises(Invalid, match="Did you mean 'reward'"):
        simulator.get_model_property("rewards", "Property")
    with pytest.raises(Invalid, match="only kind"):
        simulator.get_model_properties("site")


@pytest.mark.parametrize(("kind", "package"), [("Mujoco", "mujoco"), ("OpenAI", "gymnasium")])
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, package: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'perdure\[{package}\]'"):
        make_simulator(kind, "world.xml", tmp_path, 0)


def test_a_package_that_an_environment_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def filmed() -> None:
        importlib.import_module("imageio.v3")

    monkeypatch.setitem(sys.modules, "imageio", None)
    gymnasium.register("Filmed-v0", entry_point=filmed)
    try:
        with pytest.raises(MissingExtra, match=r"'Filmed-v0' needs .*'imageio'.*: pip install imageio\.$"):
            make_simulator("OpenAI", "Filmed-v0", tmp_path, 0)
    finally:
        del gymnasium.registry["Filmed-v0"]


def test_worlds_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no model file 'no.xml'"):
        make_simulator("Mujoco", "no.xml", tmp_path, 0)
    with pytest.raises(Invalid, match="can't make 'CartPool-v1'"):
        make_simulator("OpenAI", "CartPool-v1", tmp_path, 0)
    write(tmp_path, world__xml="<mujoco><wrong/></mujoco>")
    with pytest.raises(Invalid, match=r"can't load 'world.xml'"):
        make_simulator("Mujoco", "world.xml", tmp_path, 0)
    with pytest.raises(Invalid, match="Did you mean 'Mujoco'"):
        make_simulator("MuJoCo", "world.xml", tmp_path, 0)


def test_a_scripts_mistake_with_its_simulator_has_a_line(tmp_path: Path) -> None:
    write(
        tmp_path,
        world__xml=PENDULUM,
        script__py=HEAD
        + """class Script(PySimEngineScript):
    def runLoop(self, timestep_ns):
        self.sim_manager.run_step(0, timestep_ns)
""",
    )
    engine = PySimEngine()
    engine.initialize(mujoco_config(tmp_path))
    with pytest.raises(ScriptFailed, match=r"script.py, line 4: Invalid: The action has the shape \(\)"):
        engine.step({})
