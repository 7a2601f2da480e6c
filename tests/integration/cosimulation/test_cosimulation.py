"""The loop between engines: who runs when, what reaches whom, and how mistakes are told."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.support.experiments import HEAD, replayed, script_engine, started, write

from perdure.errors import (
    Invalid,
    InvalidConfiguration,
    InvalidDataPack,
    InvalidOverride,
    PerdureError,
    Refused,
    ScriptFailed,
)

NRP = "from nrp_core import *\nfrom nrp_core.data.nrp_json import *\n"

COUNTER = (
    HEAD
    + """
class Script(EngineScript):
    def initialize(self):
        self.n = 0
        self._registerDataPack("told")
        self._registerDataPack("n")
        self._setDataPack("n", self.n)
    def runLoop(self, timestep_ns):
        self.n += 1
        told = self._getDataPack("told")
        self._setDataPack("n", self.n if told is None else [self.n, told])
"""
)

WATCH = (
    NRP
    + """
@SimulationIteration(keyword="i")
@SimulationTime(keyword="t")
@EngineDataPack(keyword="a", id=DataPackIdentifier("n", "a"))
@EngineDataPack(keyword="b", id=DataPackIdentifier("n", "b"))
@StatusFunction()
def status(i, t, a, b):
    row = JsonRawData()
    row.data = [i, t // 1_000_000, a.data, a.isUpdated(), b.data, b.isUpdated()]
    return i == 6, [row]
"""
)


def config(
    *engines: dict[str, Any], functions: tuple[str, ...] = (), status: str | None = None
) -> dict[str, Any]:
    return {
        "EngineConfigs": list(engines),
        "DataPackProcessingFunctions": [{"Name": f, "FileName": f"{f}.py"} for f in functions],
        **({} if status is None else {"StatusFunction": {"Name": status, "FileName": f"{status}.py"}}),
    }


@pytest.mark.parametrize("isolated", [False, True])
def test_each_engine_synchronises_at_multiples_of_its_time_step(tmp_path: Path, isolated: bool) -> None:
    write(tmp_path, a__py=COUNTER, b__py=COUNTER, watch__py=WATCH)
    engines = [script_engine("a", 0.01), script_engine("b", 0.025, Isolated=isolated)]
    made = started(tmp_path, config(*engines, status="watch"))
    assert made.timestep == Fraction(1, 100)
    done = []
    for _ in range(7):
        made.step()
        done.append(made.done)
    made.close()
    # b is due at 0, 25, 50 ms: at the first step at or after each, as in nrp-core.
    assert made.take_trajectory() == [
        [0, 0, 0, True, 0, True],
        [1, 10, 1, True, 0, False],
        [2, 20, 2, True, 0, False],
        [3, 30, 3, True, 1, True],
        [4, 40, 4, True, 1, False],
        [5, 50, 5, True, 2, True],
        [6, 60, 6, True, 2, False],
    ]
    assert done == [False] * 6 + [True]
    assert made.time == Fraction(7, 100)
    assert made.take_trajectory() == []


def test_preprocessed_packs_are_seen_by_the_functions_of_the_same_step(tmp_path: Path) -> None:
    functions = (
        NRP
        + """
@EngineDataPack(keyword="n", id=DataPackIdentifier("n", "a"))
@PreprocessingFunction("a")
def double(n):
    return [JsonDataPack("double", "a", 2 * n.data)]

@PreprocessedDataPack(keyword="p", id=DataPackIdentifier("double", "a"))
@EngineDataPack(keyword="same", id=DataPackIdentifier("double", "a"))
@TransceiverFunction("b")
def tell(p, same):
    made = JsonDataPack("told", "b")
    made.data["twice"] = [p.data, same.data, p.name, p.engine_name, p.isEmpty()]
    return [made]
"""
    )
    write(tmp_path, a__py=COUNTER, b__py=COUNTER, f__py=functions, watch__py=WATCH)
    made = started(tmp_path, config(script_engine("a"), script_engine("b"), functions=("f",), status="watch"))
    for _ in range(3):
        made.step()
    rows = made.take_trajectory()
    assert [row[4] for row in rows] == [
        0,
        [1, {"twice": [0, 0, "double", "a", False]}],
        [2, {"twice": [2, 2, "double", "a", False]}],
    ]
    made.close()


def test_what_is_made_for_an_engine_that_is_not_due_is_lost(tmp_path: Path) -> None:
    functions = (
        NRP
        + """
@SimulationIteration(keyword="i")
@TransceiverFunction("a")
def tell(i):
    return [JsonDataPack("told", "b", i)]
"""
    )
    write(tmp_path, a__py=COUNTER, b__py=COUNTER, f__py=functions, watch__py=WATCH)
    engines = [script_engine("a", 0.01), script_engine("b", 0.03)]
    made = started(tmp_path, config(*engines, functions=("f",), status="watch"))
    for _ in range(7):
        made.step()
    assert [row[4] for row in made.take_trajectory()] == [0, 0, 0, [1, 0], [1, 0], [1, 0], [2, 3]]
    made.close()


def test_functions_share_modules_with_each_other_and_not_with_engines(tmp_path: Path) -> None:
    functions = (
        NRP
        + """
import shared
@TransceiverFunction("{engine}")
def f():
    shared.calls.append("{engine}")
    return [JsonDataPack("told", "{engine}", list(shared.calls))]
"""
    )
    write(
        tmp_path,
        shared__py="calls = []\n",
        a__py="import shared\nshared.calls.append(1)\n" + COUNTER,
        b__py=COUNTER,
        f__py=functions.replace("{engine}", "a"),
        g__py=functions.replace("{engine}", "b"),
        watch__py=WATCH,
    )
    made = started(
        tmp_path, config(script_engine("a"), script_engine("b"), functions=("f", "g"), status="watch")
    )
    for _ in range(2):
        made.step()
    assert made.take_trajectory()[-1][4] == [1, ["a", "b"]]
    assert replayed(made) == {}
    made.snapshot()
    assert "functions" not in replayed(made)
    made.close()


def test_a_data_pack_of_the_script_is_sent_when_its_engine_synchronises(tmp_path: Path) -> None:
    write(tmp_path, a__py=COUNTER, b__py=COUNTER, watch__py=WATCH)
    made = started(tmp_path, config(script_engine("a"), script_engine("b", 0.02), status="watch"))
    made.step()
    data = {"x": [1]}
    made.set_datapack("told", "b", data)
    data["x"].append(2)  # what was given is not what is sent
    for _ in range(4):
        made.step()
    assert [row[4] for row in made.take_trajectory()] == [0, 0, 1, 1, [2, {"x": [1]}]]
    with pytest.raises(Invalid, match="no engine 'c'"):
        made.set_datapack("told", "c", 1)
    with pytest.raises(InvalidDataPack, match=r"data is a builtins\.object"):
        made.set_datapack("told", "b", object())
    made.close()


def test_a_function_gets_data_of_its_own(tmp_path: Path) -> None:
    engine = COUNTER.replace('self._setDataPack("n", self.n)', 'self._setDataPack("n", [self.n])')
    functions = (
        NRP
        + """
kept = []
@EngineDataPack(keyword="n", id=DataPackIdentifier("n", "a"))
@TransceiverFunction("a")
def spoil(n):
    kept.append(n.data)
    n.data = "spoilt"
"""
    )
    write(tmp_path, a__py=engine, b__py=COUNTER, f__py=functions, watch__py=WATCH)
    made = started(tmp_path, config(script_engine("a"), script_engine("b"), functions=("f",), status="watch"))
    made.step()
    assert made.take_trajectory()[0][2] == [0]
    made.close()


def test_an_experiment_without_engines_only_lets_time_pass(tmp_path: Path) -> None:
    made = started(tmp_path, {})
    made.step()
    assert (made.time, made.done) == (Fraction(1, 100), False)
    made.close()


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("@TransceiverFunction(str('c'))\ndef f(): pass", InvalidConfiguration, "names the engine 'c'"),
        (
            "@EngineDataPack('x', DataPackIdentifier('n', str('aa')))\n@StatusFunction()\ndef f(x): pass",
            InvalidConfiguration,
            "Did you mean 'a'",
        ),
        ("import math\ndef f(): pass", InvalidConfiguration, "defines no function with @TransceiverFunction"),
        (
            "@StatusFunction()\ndef f(): pass\nif f:\n    @StatusFunction()\n    def g(): pass",
            InvalidConfiguration,
            "g is one too many: f.py has a status function already",
        ),
        ("@StatusFunction()\n@TransceiverFunction('a')\ndef f(): pass", ScriptFailed, "at once"),
        ("import nowhere", ScriptFailed, "f.py, line 3: ModuleNotFoundError"),
        (
            "@TransceiverFunction('a')\ndef f(): 1 / 0",
            ScriptFailed,
            "in f at 0 s, at f.py, line 4: ZeroDivision",
        ),
        ("@TransceiverFunction('a')\ndef f(): return 5", ScriptFailed, "must return a list of JsonDataPack"),
        (
            "@TransceiverFunction('a')\ndef f(): return [JsonDataPack('x', str('z'))]",
            ScriptFailed,
            "There is no engine 'z'",
        ),
        (
            "@TransceiverFunction('a')\ndef f(): return [JsonDataPack(str('tolt'), 'a')]",
            InvalidDataPack,
            "'tolt' of the engine 'a' is refused: the engine hasn't registered it. Did you mean 'told'",
        ),
        (
            "@TransceiverFunction('a')\ndef f(): return [JsonDataPack('told', 'a', {1})]",
            ScriptFailed,
            "its data is a builtins.set",
        ),
        (
            "@EngineDataPack('x', DataPackIdentifier(str('m'), 'a'))\n@StatusFunction()\ndef f(x): pass",
            ScriptFailed,
            "has no data pack 'm'",
        ),
        ("@StatusFunction()\ndef f(): return True", ScriptFailed, r"returns \(done, \[JsonRawData"),
    ],
)
def test_mistakes_in_functions_are_told(
    tmp_path: Path, body: str, kind: type[PerdureError], says: str
) -> None:
    write(tmp_path, a__py=COUNTER, f__py=NRP + body)
    with pytest.raises(kind, match=says):
        started(tmp_path, config(script_engine("a"), functions=("f",))).step()


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    ("body", "line", "text"),
    [
        (
            "@EngineDataPack('x', DataPackIdentifier(str('m'), 'a'))\n@StatusFunction()\ndef f(x): pass",
            3,
            "@EngineDataPack('x', DataPackIdentifier(str('m'), 'a'))",
        ),
        (
            "@TransceiverFunction('a')\ndef f():\n    pack = JsonDataPack('tolt', 'a')\n    return [pack]",
            5,
            "pack = JsonDataPack('tolt', 'a')",
        ),
        (
            "@TransceiverFunction('a')\ndef f():\n    return [JsonDataPack('told', 'b')]",
            5,
            "return [JsonDataPack('told', 'b')]",
        ),
        (
            "@PreprocessingFunction('a')\ndef f():\n    return [JsonDataPack('told', 'b')]",
            5,
            "return [JsonDataPack('told', 'b')]",
        ),
        (
            "@EngineDataPack('x', DataPackIdentifier('n', 'a'))\n@StatusFunction()\n"
            "def f(x):\n    x.data['m']",
            6,
            "x.data['m']",
        ),
        ("@TransceiverFunction('a')\ndef f(): return 5", 3, "@TransceiverFunction('a')"),
        (
            "@EngineDataPack('x', DataPackIdentifier('n', 'a'))\n@StatusFunction()\ndef f(y): pass",
            3,
            "@EngineDataPack('x', DataPackIdentifier('n', 'a'))",
        ),
    ],
)
def test_a_wrong_name_in_a_data_pack_says_file_and_line(
    tmp_path: Path, body: str, line: int, text: str, isolated: bool
) -> None:
    write(tmp_path, a__py=COUNTER, f__py=NRP + body)
    made = started(tmp_path, config(script_engine("a", Isolated=isolated), functions=("f",)))
    with closing(made), pytest.raises(PerdureError, match=rf"f\.py, line {line}\b") as error:
        made.step()
    values = error.value.values
    assert (values["file"], values["line"], values["text"]) == ("f.py", line, text)
    assert f'  File "f.py", line {line}, in ' in values["traceback"]


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("self._setDataPack('n', {1, 2})", 8),
        ("self._setDataPack('m', 1)", 8),
        ("self._setDataPack('n', 1)\n\n    def runLoop(self):\n        pass", 10),
    ],
)
def test_what_a_script_makes_of_its_data_packs_wrongly_says_file_and_line(
    tmp_path: Path, script: str, line: int, isolated: bool
) -> None:
    body = dedent("""
    from nrp_core.engines.python_json import EngineScript
    class Script(EngineScript):
        def initialize(self):
            self._registerDataPack("n")

        def runLoop(self, timestep_ns):
            """)
    write(tmp_path, a__py=body.rstrip(" ") + " " * 8 + script)
    made = started(tmp_path, config(script_engine("a", Isolated=isolated)))
    with closing(made), pytest.raises(ScriptFailed, match=rf"a\.py, line {line}\b") as error:
        made.step()
    assert (error.value.values["file"], error.value.values["line"]) == ("a.py", line)
    assert f'  File "a.py", line {line}, in runLoop' in error.value.values["traceback"]


def test_what_a_registered_engine_refuses_of_a_function_says_file_and_line(tmp_path: Path) -> None:
    model = """
    from perdure.engines.system_dynamics import Model
    model = Model(starttime=0.0, stoptime=0.03, dt=0.01, name="m")
    level = model.stock("level")
    level.equation = rate = model.constant("rate")
    rate.equation = 1.0
    """
    functions = NRP + dedent("""
    @TransceiverFunction("m")
    def f():
        pack = JsonDataPack("constants", "m")
        pack.data = {"rat": 1.0}
        return [pack]
    """)
    write(tmp_path, m__py=model, f__py=functions)
    engine = {
        "EngineName": "m",
        "EngineType": "system_dynamics",
        "ModelFileName": "m.py",
        "EngineExtraConfigs": {"outputs": ["level"]},
    }
    made = started(tmp_path, config(engine, functions=("f",)))
    with pytest.raises(PerdureError, match=r"'rat'.* made at f\.py, line 6"):
        made.step()


def test_what_a_registered_engine_refuses_names_the_engine(tmp_path: Path) -> None:
    model = """
    from perdure.engines.system_dynamics import Model
    model = Model(starttime=0.0, stoptime=0.03, dt=0.01, name="m")
    level = model.stock("level")
    level.equation = model.constant("rate")
    model.constant("rate").equation = 1.0
    """
    write(tmp_path, m__py=model)
    engine = {"EngineName": "tank", "EngineType": "system_dynamics", "ModelFileName": "m.py"}
    made = started(tmp_path, config(engine))
    made.set_datapack("constants", "tank", {"rat": 1.0})
    with pytest.raises(InvalidOverride, match=r"The engine 'tank': .*Did you mean 'rate'"):
        made.step()
    other = started(tmp_path, config(engine))
    with pytest.raises(Refused, match="The engine 'tank': "):
        for _ in range(9):
            other.step()
    with pytest.raises(PerdureError, match="a multiple of"):
        started(tmp_path, config(engine | {"EngineTimestep": 0.015}))


def test_it_is_initialised_before_it_is_stepped(tmp_path: Path) -> None:
    from perdure.drivers.experiments.configuration import read
    from perdure.drivers.experiments.cosimulation import CoSimulation

    made = CoSimulation(read({}, {}), tmp_path, 0)
    with pytest.raises(Refused, match="isn't initialised"):
        made.step()


@pytest.mark.parametrize("isolated", [False, True])
def test_all_engines_are_shut_down_though_one_fails(tmp_path: Path, isolated: bool) -> None:
    script = (
        HEAD
        + """
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from textwrap import dedent
class Script(EngineScript):
    def runLoop(self, timestep_ns): pass
    def shutdown(self):
        Path(self._name).touch()
        1 / 0
"""
    )
    write(tmp_path, a__py=script, b__py=script)
    engines = [script_engine(name, Isolated=isolated) for name in "ab"]
    made = started(tmp_path, config(*engines))
    with pytest.raises(ScriptFailed, match="The engine 'a' failed in shutdown"):
        made.close()
    assert (tmp_path / "a").exists() and (tmp_path / "b").exists()


class Clock:
    """An engine as another package may have it: it can't tell its outputs before it is stepped."""

    def __init__(self) -> None:
        self.steps = -1

    def initialize(self, config: Any) -> None:
        self.timestep = config["timestep"]
        self.start = config["start"]

    @property
    def time(self) -> float:
        return max(0, self.steps) * self.timestep

    @property
    def finished(self) -> bool:
        return False

    def validate(self, inputs: Any) -> None: ...

    def step(self, inputs: Any) -> dict[str, Any]:
        self.steps += 1
        return {"n": self.start + self.steps}

    def snapshot(self) -> Any:
        return self.steps

    def restore(self, state: Any) -> None:
        self.steps = state

    def close(self) -> None: ...


def test_another_packages_engine_runs_by_the_name_it_is_registered_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name, value = "clock", "another.package:Clock"

        def load(self) -> Any:
            return Clock

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Entry()])
    write(tmp_path, b__py=COUNTER, watch__py=WATCH)
    extra = {"EngineExtraConfigs": {"start": 100}}
    engines = [{"EngineName": "a", "EngineType": "clock", **extra}, script_engine("b")]
    made = started(tmp_path, config(*engines, status="watch"))
    for _ in range(3):
        made.step()
    state = made.snapshot()
    assert [row[2] for row in made.take_trajectory()] == [100, 101, 102]
    other = started(tmp_path, config(*engines, status="watch"))
    other.restore(state)
    other.take_trajectory()
    other.step()
    assert [row[2] for row in other.take_trajectory()] == [103]
    made.close()
    other.close()
    monkeypatch.setattr(Entry, "load", lambda self: object)
    with pytest.raises(Refused, match=r"lacks time, finished, initialize, .* of the engine port"):
        started(tmp_path, config(*engines))
