"""simulation_config.json: its defaults, and everything that is wrong at once, each with its place."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from perdure.drivers.experiments.configuration import (
    Configuration,
    EngineConfiguration,
    FunctionFile,
    SavepointSchedule,
    load,
    read,
)
from perdure.engines.kinds import engine_kinds
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
    assert read({}, {}) == Configuration(timestep=Fraction(1, 100))
    only = read({"EngineConfigs": [SCRIPT]}, engine_kinds())
    assert only.engines == (
        EngineConfiguration(name="a", type="python_json", timestep=Fraction(1, 100), script="a.py"),
    )
    assert (only.timeout, only.functions, only.savepoint.every) == (None, (), None)


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
    assert (made.timeout, made.timestep) == (Fraction(5, 2), Fraction(1, 1000))
    assert made.functions == (FunctionFile(name="f", file="f.py"),)
    assert made.status_function == FunctionFile(name="s", file="s.py")
    assert made.savepoint == SavepointSchedule(every=Fraction(1, 2), keep=7)
    first, second, third = made.engines
    assert (first.isolated, first.command_timeout, first.extra) == (True, 3.0, {"gain": [1]})
    assert (second.simulator, second.world) == ("Mujoco", "world/m.xml")
    assert (third.model, third.time_unit, third.timestep) == ("s.py", 86400.0, 3600)


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        read({}, {}).timestep = Fraction(1)  # type: ignore[misc]


def test_a_configuration_goes_through_plain_data() -> None:
    made = read({"EngineConfigs": [SCRIPT]}, engine_kinds())
    plain = json.loads(json.dumps(made.engines[0].to_plain()))
    assert EngineConfiguration.from_plain(plain) == made.engines[0]


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
    assert "from 0 on, in seconds, and at most 9,000,000,000, not -1" in found["$.SimulationTimeout"]
    assert "'FTILoop'" in found["$.SimulationLoop"]
    assert "computational graphs aren't supported" in found["$.DataPackProcessor"]
    assert "ROS isn't supported" in found["$.ROSNode"]
    assert "MQTT isn't supported" in found["$.MQTTNode"]
    assert "empty" in found["$.ExternalProcesses"]
    assert "nrp-core's 'gazebo_grpc' isn't supported" in found["$.EngineConfigs[0].EngineType"]
    assert "take it out" in found["$.EngineConfigs[1].EngineType"]
    assert "Did you mean 'python_json'" in found["$.EngineConfigs[2].EngineType"]
    assert found["$.EngineConfigs[3].EngineName"] == "it is required"
    assert "9,000,000,000, not 'fast'" in found["$.EngineConfigs[3].EngineTimestep"]
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
    ],
)
def test_what_does_not_fit_an_engine_is_told(keys: dict[str, Any], place: str, says: str) -> None:
    assert says in engine_problems(**keys)[place]


@pytest.mark.parametrize("key", ["Visualizer", "render_mode", "Headless", "GUI"])
@pytest.mark.parametrize("value", [True, "human", {"Width": 640}])
def test_keys_that_only_concern_a_display_are_ignored_and_told(key: str, value: Any) -> None:
    made = read({"EngineConfigs": [SCRIPT | {key: value}], key: value}, engine_kinds())
    assert made.ignored == (f"$.{key}", f"$.EngineConfigs[0].{key}")
    assert read({"EngineConfigs": [SCRIPT | {key: False}]}, engine_kinds()).ignored == ()


def test_a_simulations_time_step_is_that_of_its_fastest_engine() -> None:
    found = problems({"SimulationTimestep": 0.02, "EngineConfigs": [SCRIPT]})
    assert "the smallest EngineTimestep is 0.01" in found["$.SimulationTimestep"]
    assert read({"SimulationTimestep": 0.02}, {}).timestep == Fraction(1, 50)


def test_engines_have_names_of_their_own() -> None:
    assert problems({"EngineConfigs": [SCRIPT, SCRIPT | {"EngineName": "b"}, SCRIPT]}) == {
        "$.EngineConfigs[2].EngineName": "$.EngineConfigs[0] is called 'a' already"
    }


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


def test_no_more_than_a_hundred_problems_are_looked_for() -> None:
    many = {f"Key{number}": 1 for number in range(40_000)}
    engines = [{"EngineName": "a", "EngineType": "x", **many}] * 1_000
    for data in (many, {"EngineConfigs": engines}, {"Savepoint": many}, {"StatusFunction": many}):
        with pytest.raises(InvalidConfiguration) as raised:
            read(data, engine_kinds())
        assert len(raised.value.values["problems"]) == 100
        assert str(raised.value).rstrip(".").endswith("and more")


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_examples_are_valid_and_listed(example: str) -> None:
    load(EXAMPLES / example, "simulation_config.json", engine_kinds())
    assert (EXAMPLES / example / "main_script.py").is_file()
    assert f"| `{example}` |" in (EXAMPLES / "README.md").read_text()


# What can be known of the sources --------------------------------------------------------------------------

ENGINE = """
from nrp_core.engines.python_json import EngineScript
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("seen")
        self._registerDataPack("told")
"""
HEAD = "from nrp_core import *\nfrom nrp_core.data.nrp_json import *\n"
MODEL = {
    "EngineName": "m",
    "EngineType": "system_dynamics",
    "ModelFileName": "m.py",
    "EngineExtraConfigs": {"outputs": ["warmth"]},
}


def source_problems(folder: Path, body: str, engine: str = ENGINE, **more: Any) -> dict[str, str]:
    """Return what is wrong, by place, where the first function file has a body; nothing if nothing is."""
    (folder / "a.py").write_text(engine)
    (folder / "m.py").write_text("")
    (folder / "f.py").write_text(HEAD + body)
    data = {
        "EngineConfigs": [SCRIPT, MODEL],
        "DataPackProcessingFunctions": [{"Name": "f", "FileName": "f.py"}],
        **more,
    }
    try:
        read(data, engine_kinds(), folder=folder)
    except InvalidConfiguration as error:
        return {problem["place"]: problem["reason"] for problem in error.values["problems"]}
    return {}


F = "$.DataPackProcessingFunctions[0].FileName"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "@TransceiverFunction('b')\ndef f(): pass",
            "f (f.py, line 3) names the engine 'b', which isn't there",
        ),
        ("@PreprocessingFunction(engine_name='aa')\ndef f(): pass", "Did you mean 'a'?"),
        (
            "@EngineDataPack(keyword='x', id=DataPackIdentifier('seen', 'x'))\n@TransceiverFunction('a')\n"
            "def f(x): pass",
            "f (f.py, line 3) names the engine 'x', which isn't there",
        ),
        (
            "@PreprocessedDataPack('x', DataPackIdentifier('seen', 'x'))\n@StatusFunction()\ndef f(x): pass",
            "names the engine 'x'",
        ),
        (
            "@EngineDataPack('x', DataPackIdentifier('sen', 'a'))\n@StatusFunction()\ndef f(x): pass",
            "'sen', but the engine 'a' has no data pack of that name. Did you mean 'seen'?",
        ),
        (
            "@EngineDataPack('x', DataPackIdentifier('warm', 'm'))\n@StatusFunction()\ndef f(x): pass",
            "the engine 'm' has no data pack of that name. Did you mean 'warmth'?",
        ),
        ("def f(): pass", "f.py defines no function with @TransceiverFunction"),
        (
            "@StatusFunction()\ndef f(): pass\n@StatusFunction()\ndef g(): pass",
            "g (f.py, line 6) is one too many: f.py has a status function already",
        ),
    ],
)
def test_names_in_functions_are_checked_before_there_is_a_run(tmp_path: Path, body: str, says: str) -> None:
    found = source_problems(tmp_path, body)
    assert list(found) == [F]
    assert says in found[F]


UNKNOWN_PACK = (
    "@EngineDataPack('x', DataPackIdentifier('other', 'a'))\n@TransceiverFunction('a')\ndef f(x): pass\n"
)


@pytest.mark.parametrize(
    ("body", "engine"),
    [
        ("name = 'b'\n@TransceiverFunction(name)\ndef f(): pass", ENGINE),
        (
            "@EngineDataPack('x', DataPackIdentifier('s' + 'n', 'a'))\n@StatusFunction()\ndef f(x): pass",
            ENGINE,
        ),
        ("IDENTIFIER = 1\n@EngineDataPack('x', IDENTIFIER)\n@StatusFunction()\ndef f(x): pass", ENGINE),
        ("@StatusFunction()\ndef f(): return False, [JsonDataPack('any', 'thing')]", ENGINE),
        ("@TransceiverFunction('a')\ndef f():\n    if DEBUG: return [JsonDataPack('any', 'thing')]", ENGINE),
        ("from nrp_core import TransceiverFunction as T\n@T('a')\ndef f(): pass", ENGINE),
        ("import helper\n@helper.linked\ndef f(): pass", ENGINE),
        ("@TransceiverFunction('b')\ndef f(): pass\n@TransceiverFunction('a')\ndef f(): pass", ENGINE),
        ("class Broken(\n", ENGINE),
        (UNKNOWN_PACK + "@PreprocessingFunction('a')\ndef g(): return [JsonDataPack('other', 'a')]", ENGINE),
        (UNKNOWN_PACK, ENGINE + "        for name in NAMES: self._registerDataPack(name)\n"),
        (UNKNOWN_PACK, ENGINE + "        register = self._registerDataPack\n"),
        (UNKNOWN_PACK, ENGINE + "        self._datapacks['other'] = 1\n"),
        (UNKNOWN_PACK, "import m\n" + ENGINE),
        (UNKNOWN_PACK, ENGINE.replace("(EngineScript)", "(Own)")),
        (UNKNOWN_PACK, "class Script(\n"),
    ],
)
def test_nothing_is_said_against_what_cannot_be_known(tmp_path: Path, body: str, engine: str) -> None:
    assert source_problems(tmp_path, body, engine) == {}


def test_a_script_in_a_subfolder_takes_help_from_the_experiments_own_folder(tmp_path: Path) -> None:
    (tmp_path / "common.py").write_text("def register(script): script._registerDataPack('other')\n")
    (tmp_path / "engines").mkdir()
    script = tmp_path / "engines" / "a.py"
    given = {"EngineConfigs": [SCRIPT | {"PythonFileName": "engines/a.py"}]}
    script.write_text("import common\n" + ENGINE)
    assert source_problems(tmp_path, UNKNOWN_PACK, **given) == {}
    script.with_name("mate.py").write_text("")  # from where nothing is imported
    script.write_text("import mate\n" + ENGINE)
    assert list(source_problems(tmp_path, UNKNOWN_PACK, **given)) == [F]


def test_an_engine_in_which_something_is_wrong_has_a_name_all_the_same(tmp_path: Path) -> None:
    body = "@TransceiverFunction('g')\ndef f(): return [JsonDataPack('any', 'a')]\n"
    wrong = [{"EngineName": "g", "EngineType": "gazebo_grpc"}, SCRIPT | {"EngineTimestep": -1}, MODEL]
    found = source_problems(tmp_path, body, EngineConfigs=wrong)
    assert list(found) == ["$.EngineConfigs[0].EngineType", "$.EngineConfigs[1].EngineTimestep"]
    nameless = source_problems(tmp_path, body, EngineConfigs=[{"EngineType": "nest_json"}])
    assert list(nameless) == ["$.EngineConfigs[0].EngineName", "$.EngineConfigs[0].EngineType"]
    same = source_problems(tmp_path, UNKNOWN_PACK, EngineConfigs=[SCRIPT, SCRIPT])
    assert list(same) == ["$.EngineConfigs[1].EngineName"]


def test_functions_that_are_not_active_are_not_read(tmp_path: Path) -> None:
    inactive = [{"Name": "f", "FileName": "f.py", "IsActive": False}]
    body = "@TransceiverFunction('b')\ndef f(): pass"
    assert source_problems(tmp_path, body, DataPackProcessingFunctions=inactive) == {}


def test_every_mistake_at_every_level_is_told_at_once(tmp_path: Path) -> None:
    found = source_problems(
        tmp_path,
        "@TransceiverFunction('nobody')\ndef f(): pass",
        SimulationTimestep=-0.01,
        Surplus=1,
        EngineConfigs=[
            SCRIPT | {"EngineTimestep": -0.01, "PythonFileName": "missing.py", "Surplus": 1},
            SCRIPT | {"EngineCommandTimeout": 1, "ModelFileName": "m.py", "Isolated": "yes"},
            {"EngineName": "a", "EngineType": "nest_json", "EngineLaunchCommand": {"Surplus": 1}},
            {"EngineName": "s", "EngineType": "py_sim", "Simulator": 5, "WorldFileName": "w.xml"},
            {"EngineName": "m", "EngineType": "system_dynamics", "ModelFileName": "../m.py", "TimeUnit": 0},
            {"EngineName": "\ud800", "EngineType": "python_json", "PythonFileName": 5},
        ],
        DataPackProcessingFunctions=[
            {"Name": "f", "FileName": "f.py", "Surplus": 1},
            {"Name": 5, "FileName": "missing.py"},
        ],
        StatusFunction={"FileName": "missing.py"},
        Savepoint={"every": -1, "keep": 0, "Surplus": 1},
    )
    assert sorted(found) == sorted(
        [
            "$.SimulationTimestep",
            "$.Surplus",
            "$.EngineConfigs[0].EngineTimestep",
            "$.EngineConfigs[0].PythonFileName",
            "$.EngineConfigs[0].Surplus",
            "$.EngineConfigs[1].EngineCommandTimeout",
            "$.EngineConfigs[1].EngineName",
            "$.EngineConfigs[1].Isolated",
            "$.EngineConfigs[1].ModelFileName",
            "$.EngineConfigs[2].EngineLaunchCommand.Surplus",
            "$.EngineConfigs[2].EngineName",
            "$.EngineConfigs[2].EngineType",
            "$.EngineConfigs[3].PythonFileName",
            "$.EngineConfigs[3].Simulator",
            "$.EngineConfigs[4].ModelFileName",
            "$.EngineConfigs[4].TimeUnit",
            "$.EngineConfigs[5].EngineName",
            "$.EngineConfigs[5].PythonFileName",
            "$.DataPackProcessingFunctions[0].FileName",
            "$.DataPackProcessingFunctions[0].Surplus",
            "$.DataPackProcessingFunctions[1].FileName",
            "$.DataPackProcessingFunctions[1].Name",
            "$.StatusFunction.FileName",
            "$.StatusFunction.Name",
            "$.Savepoint.every",
            "$.Savepoint.keep",
            "$.Savepoint.Surplus",
        ]
    )


@pytest.mark.parametrize("value", [1e300, 1e305, 10**400, 9_000_000_001])
@pytest.mark.parametrize("key", ["SimulationTimeout", "SimulationTimestep"])
def test_simulation_time_ends_with_its_nanoseconds(key: str, value: float) -> None:
    assert "at most 9,000,000,000" in problems({key: value})[f"$.{key}"]
    assert "at most 9,000,000,000" in engine_problems(EngineTimestep=value)["EngineTimestep"]
    assert "at most 9,000,000,000" in problems({"Savepoint": {"every": value}})["$.Savepoint.every"]
