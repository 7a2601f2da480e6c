"""simulation_config.json: its defaults, and everything that is wrong at once, each with its place."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure.drivers.experiments.configuration import (
    Configuration,
    EngineConfiguration,
    FunctionFile,
    SavepointSchedule,
    load,
    read,
)
from perdure.drivers.experiments.engines import engine_kinds
from perdure.errors import InvalidConfiguration

EXAMPLES = Path(__file__).parents[3] / "examples" / "experiments"
SCRIPT = {"EngineName": "a", "EngineType": "python_json", "PythonFileName": "a.py"}


def problems(data: Any, folder: Path | None = None) -> dict[str, str]:
    """Return what is wrong, by place."""
    with pytest.raises(InvalidConfiguration) as error:
        read(data, engine_kinds(), folder=folder)
    for problem in error.value.values["problems"]:
        assert problem["place"] in str(error.value) and problem["reason"] in str(error.value)
    return {problem["place"]: problem["reason"] for problem in error.value.values["problems"]}


def engine_problems(**keys: Any) -> dict[str, str]:
    return {
        place.removeprefix("$.EngineConfigs[0]."): reason
        for place, reason in problems({"EngineConfigs": [SCRIPT | keys]}).items()
    }


def test_an_empty_configuration_has_nrp_cores_defaults() -> None:
    assert read({}, {}) == Configuration(timestep_ns=10_000_000)
    only = read({"EngineConfigs": [SCRIPT]}, engine_kinds())
    assert only.engines == (
        EngineConfiguration(name="a", type="python_json", timestep_ns=10_000_000, script="a.py"),
    )
    assert (only.timeout_ns, only.functions, only.savepoint.every_ns) == (None, (), None)


def test_all_keys_become_values() -> None:
    made = read(
        {
            "SimulationName": "n",
            "SimulationDescription": "d",
            "SimulationLoop": "FTILoop",
            "SimulationTimeout": 2.5,
            "SimulationTimestep": 0.001,
            "DataPackProcessor": "tf",
            "ProcessLauncherType": "Basic",
            "ExternalProcesses": [],
            "ComputationalGraph": [],
            "EngineConfigs": [
                SCRIPT
                | {
                    "EngineTimestep": 0.02,
                    "Isolated": True,
                    "EngineCommandTimeout": 3,
                    "EngineExtraConfigs": {"gain": [1]},
                    "EngineLaunchCommand": {"LaunchType": "BasicFork"},
                    "ServerAddress": "localhost:1",
                },
                {
                    "EngineName": "m",
                    "EngineType": "py_sim",
                    "PythonFileName": "m.py",
                    "Simulator": "Mujoco",
                    "WorldFileName": "world/m.xml",
                    "Visualizer": False,
                    "EngineTimestep": 0.001,
                },
                {
                    "EngineName": "s",
                    "EngineType": "system_dynamics",
                    "ModelFileName": "s.py",
                    "EngineTimestep": 3600,
                    "TimeUnit": 86400,
                },
            ],
            "DataPackProcessingFunctions": [
                {"Name": "f", "FileName": "f.py"},
                {"Name": "g", "FileName": "g.py", "IsActive": False},
            ],
            "StatusFunction": {"Name": "s", "FileName": "s.py"},
            "Savepoint": {"every": 0.5, "keep": 7},
        },
        engine_kinds(),
    )
    assert (made.name, made.description) == ("n", "d")
    assert (made.timeout_ns, made.timestep_ns) == (2_500_000_000, 1_000_000)
    assert made.functions == (FunctionFile(name="f", file="f.py"),)
    assert made.status_function == FunctionFile(name="s", file="s.py")
    assert made.savepoint == SavepointSchedule(every_ns=500_000_000, keep=7)
    first, second, third = made.engines
    assert (first.isolated, first.command_timeout, first.extra) == (True, 3.0, {"gain": [1]})
    assert (second.simulator, second.world) == ("Mujoco", "world/m.xml")
    assert (third.model, third.time_unit, third.timestep_ns) == ("s.py", 86400.0, 3_600_000_000_000)


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        read({}, {}).timestep_ns = 1  # type: ignore[misc]


def test_a_configuration_goes_through_plain_data() -> None:
    made = read({"EngineConfigs": [SCRIPT]}, engine_kinds())
    assert msgspec.convert(msgspec.to_builtins(made), Configuration) == made


def test_everything_wrong_is_reported_together_with_its_place() -> None:
    found = problems(
        {
            "SimulationTimout": 3,
            "SimulationTimeout": -1,
            "SimulationLoop": "EventLoop",
            "DataPackProcessor": "cg",
            "ROSNode": {"NodeName": "n"},
            "MQTTNode": {},
            "ExternalProcesses": [{"ProcCmd": "x"}],
            "EngineConfigs": [
                {"EngineName": "g", "EngineType": "gazebo_grpc", "GazeboWorldFile": "w"},
                {"EngineName": "d", "EngineType": "datatransfer_grpc_engine"},
                {"EngineName": "p", "EngineType": "python_jsn"},
                {"EngineType": "python_json", "EngineTimestep": "fast", "Isolatd": True},
                5,
            ],
            "DataPackProcessingFunctions": [{"FileName": 3}],
            "Savepoint": {"every": 0, "keep": True},
        }
    )
    assert "Did you mean 'SimulationTimeout'" in found["$.SimulationTimout"]
    assert "from 0 on, in seconds, not -1" in found["$.SimulationTimeout"]
    assert "'FTILoop'" in found["$.SimulationLoop"]
    assert "computational graphs aren't supported" in found["$.DataPackProcessor"]
    assert "ROS isn't supported" in found["$.ROSNode"]
    assert "MQTT isn't supported" in found["$.MQTTNode"]
    assert "empty" in found["$.ExternalProcesses"]
    assert "nrp-core's 'gazebo_grpc' isn't supported" in found["$.EngineConfigs[0].EngineType"]
    assert "take it out" in found["$.EngineConfigs[1].EngineType"]
    assert "Did you mean 'python_json'" in found["$.EngineConfigs[2].EngineType"]
    assert found["$.EngineConfigs[3].EngineName"] == "it is required"
    assert "a positive number, not 'fast'" in found["$.EngineConfigs[3].EngineTimestep"]
    assert "Did you mean 'Isolated'" in found["$.EngineConfigs[3].Isolatd"]
    assert found["$.EngineConfigs[4]"] == "it must be an object, not 5"
    assert found["$.DataPackProcessingFunctions[0].Name"] == "it is required"
    assert "a text, not 3" in found["$.DataPackProcessingFunctions[0].FileName"]
    assert "$.Savepoint.every" in found and "$.Savepoint.keep" in found


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), 0, -1])
def test_a_time_step_is_a_positive_number(value: Any) -> None:
    assert "a positive number" in engine_problems(EngineTimestep=value)["EngineTimestep"]


@pytest.mark.parametrize(
    ("keys", "place", "says"),
    [
        ({"EngineTimestep": 1e-10}, "EngineTimestep", "shorter than a nanosecond"),
        ({"EngineCommandTimeout": 1}, "EngineCommandTimeout", '"Isolated": true'),
        ({"TimeUnit": 60}, "TimeUnit", "in seconds"),
        ({"ModelFileName": "m.py"}, "ModelFileName", "'python_json' has no such key"),
        ({"EngineProcCmd": "x"}, "EngineProcCmd", "Perdure starts engines itself"),
        ({"EngineEnvParams": ["A=1"]}, "EngineEnvParams", "Perdure starts engines itself"),
        (
            {"EngineLaunchCommand": {"LaunchType": "DockerLauncher"}},
            "EngineLaunchCommand.LaunchType",
            "BasicFork",
        ),
        ({"PythonFileName": "../a.py"}, "PythonFileName", "within the experiment's folder"),
        ({"PythonFileName": "/a.py"}, "PythonFileName", "within the experiment's folder"),
        ({"EngineType": "py_sim"}, "Simulator", "Opensim, isn't supported"),
        ({"EngineType": "py_sim", "Simulator": "Bullet"}, "Simulator", "known are Mujoco, OpenAI"),
        ({"EngineType": "py_sim", "Simulator": "OpenAI"}, "WorldFileName", "required"),
        (
            {"EngineType": "py_sim", "Simulator": "OpenAI", "WorldFileName": "X", "Visualizer": True},
            "Visualizer",
            "no display",
        ),
    ],
)
def test_what_does_not_fit_an_engine_is_told(keys: dict[str, Any], place: str, says: str) -> None:
    assert says in engine_problems(**keys)[place]


def test_a_simulations_time_step_is_that_of_its_fastest_engine() -> None:
    found = problems({"SimulationTimestep": 0.02, "EngineConfigs": [SCRIPT]})
    assert "the smallest EngineTimestep is 0.01" in found["$.SimulationTimestep"]
    assert read({"SimulationTimestep": 0.02}, {}).timestep_ns == 20_000_000


def test_engines_have_names_of_their_own() -> None:
    assert problems({"EngineConfigs": [SCRIPT, SCRIPT]}) == {"$.EngineConfigs": "two engines are called 'a'"}


def test_files_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("")
    (tmp_path / "simulation_config.json").write_text(
        json.dumps(
            {
                "EngineConfigs": [SCRIPT | {"PythonFileName": "bb.py"}],
                "StatusFunction": {"Name": "s", "FileName": "sub/none.py"},
            }
        )
    )
    with pytest.raises(InvalidConfiguration) as error:
        load(tmp_path, "simulation_config.json", engine_kinds())
    first, second = error.value.values["problems"]
    assert first["reason"] == "there is no file 'bb.py'. Did you mean 'b.py'?"
    assert second == {"place": "$.StatusFunction.FileName", "reason": "there is no file 'sub/none.py'"}


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\udc80"])
def test_what_is_no_json_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "simulation_config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidConfiguration, match="can't be read"):
        load(tmp_path, "simulation_config.json", engine_kinds())
    with pytest.raises(
        InvalidConfiguration, match=r"other\.json can't be run: \$: it can't be read: No such file"
    ):
        load(tmp_path, "other.json", engine_kinds())


@pytest.mark.parametrize("data", [[], 3, None, "x"])
def test_a_configuration_is_an_object(data: Any) -> None:
    assert "must be an object" in problems(data)["$"]


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_examples_are_valid_and_listed(example: str) -> None:
    load(EXAMPLES / example, "simulation_config.json", engine_kinds())
    assert (EXAMPLES / example / "main_script.py").is_file()
    assert f"| `{example}` |" in (EXAMPLES / "README.md").read_text()
