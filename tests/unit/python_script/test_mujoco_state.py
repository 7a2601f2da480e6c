"""A MuJoCo model goes on from any of its states to the bit, whatever the model keeps, and wherever."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.mujoco_again import driven, made
from tests.support.mujoco_models import MODELS

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.state.codec import decode, encode

STEPS = 70
CUTS = (0, 1, 8, 27, 50)
GOES_ON = 12


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where MuJoCo writes its log


@pytest.mark.parametrize("model", [pytest.param(text, id=name) for name, text in MODELS.items()])
def test_a_model_goes_on_from_any_state_with_the_same_bits(tmp_path: Path, model: str) -> None:
    simulator = made(tmp_path, model)
    states, digests = {}, []
    for step in range(STEPS):
        if step in CUTS:
            states[step] = encode(simulator.snapshot(ObjectGraph()))
        digests += driven(simulator, step, step + 1)
    assert len(set(digests)) > STEPS // 2  # MuJoCo resets what is unstable
    for cut, state in states.items():
        resumed = made(tmp_path, model)
        resumed.restore(decode(state))
        assert encode(resumed.snapshot(ObjectGraph())) == state, f"what can be read differs at {cut}"
        last = cut + GOES_ON
        assert driven(resumed, cut, last) == digests[cut:last], f"it goes on otherwise from {cut}"


def test_a_model_with_handles_goes_on_in_another_process(tmp_path: Path) -> None:
    """In the same one, an address that was saved would still lead somewhere."""
    names = ("pid plugin", "touch grid plugin", "distance field plugin", "sleep", "cloth", "delayed sensor")
    expected = []
    for name in sorted(names):
        simulator = made(tmp_path, MODELS[name])
        driven(simulator, 0, 40)
        (tmp_path / f"{name}.state").write_bytes(encode(simulator.snapshot(ObjectGraph())))
        (tmp_path / f"{name}.xml").write_text(MODELS[name])
        expected += [name, driven(simulator, 40, 50)[-1]]
    (tmp_path / "world.xml").unlink()
    command = [sys.executable, "-m", "tests.support.mujoco_again", str(tmp_path), "40", "50"]
    root = Path(__file__).parents[3]
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (again.stdout.splitlines(), again.returncode) == (expected, 0), again.stderr


def test_bodies_that_sleep_stay_asleep_and_are_woken_in_the_same_step(tmp_path: Path) -> None:
    simulator: Any = made(tmp_path, MODELS["sleep"])
    driven(simulator, 0, 100)
    state = decode(encode(simulator.snapshot(ObjectGraph())))
    assert state["scalars"]["ntree_awake"] < 3
    assert {"nbody_awake", "nparent_awake", "nv_awake", "ntree_awake"} <= set(state["scalars"])
    resumed: Any = made(tmp_path, MODELS["sleep"])
    resumed.restore(state)
    for each in (simulator, resumed):
        each._data.body("low").xfrc_applied[2] = 30.0
    assert driven(resumed, 100, 130) == driven(simulator, 100, 130)
    assert resumed._data.ntree_awake == 3


@pytest.mark.parametrize("name", ["pid plugin", "touch grid plugin", "sleep", "cloth", "discrete, tendon"])
def test_no_state_holds_an_address_or_tells_of_an_empty_arena(tmp_path: Path, name: str) -> None:
    simulator = made(tmp_path, MODELS[name])
    driven(simulator, 0, 20)
    state: Any = simulator.snapshot(ObjectGraph())
    assert not [name for name, array in state["arrays"].items() if array.dtype == np.uintp]
    assert not {"plugin_data", "efc_J", "tree_island"} & state["arrays"].keys()
    assert not {"ncon", "nefc", "nJ", "nisland", "parena", "narena", "threadpool"} & state["scalars"].keys()
    assert {"time", "flg_energypos"} <= state["scalars"].keys()


def test_what_was_warned_of_is_not_warned_of_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    simulator: Any = made(tmp_path, MODELS["unstable"])
    driven(simulator, 0, 60)
    assert capfd.readouterr().err.count("WARNING") + log(tmp_path) > 0
    state = decode(encode(simulator.snapshot(ObjectGraph())))
    warned = simulator._data.warning.number.copy()
    assert warned.any()
    before = log(tmp_path)
    resumed: Any = made(tmp_path, MODELS["unstable"])
    resumed.restore(state)
    np.testing.assert_array_equal(resumed._data.warning.number, warned)
    driven(resumed, 60, 120)
    assert (resumed._data.warning.number >= warned).all()
    assert (capfd.readouterr().err.count("WARNING"), log(tmp_path)) == (0, before)


def log(folder: Path) -> int:
    file = folder / "MUJOCO_LOG.TXT"
    return file.read_text().count("WARNING") if file.exists() else 0


def test_a_state_with_addresses_and_without_scalars_is_read_without_its_addresses(tmp_path: Path) -> None:
    """As it was saved before the scalars were."""
    simulator: Any = made(tmp_path, MODELS["pid plugin"])
    driven(simulator, 0, 30)
    state: Any = decode(encode(simulator.snapshot(ObjectGraph())))
    nowhere = np.full(1, 0xDEAD, dtype=np.uint64)
    former = {
        "integration": state["integration"],
        "arrays": state["arrays"] | {"plugin_data": nowhere},
    }
    resumed: Any = made(tmp_path, MODELS["pid plugin"])
    own = resumed._data.plugin_data.copy()
    resumed.restore(decode(encode(former)))
    assert own[0] != 0xDEAD and resumed._data.plugin_data[0] != 0xDEAD
    driven(simulator, 30, 50), driven(resumed, 30, 50)
    for name in ("qpos", "qvel", "act", "plugin_state", "sensordata"):
        if name in state["arrays"]:
            expected = simulator.get_model_all_properties(name)
            np.testing.assert_array_equal(resumed.get_model_all_properties(name), expected)
