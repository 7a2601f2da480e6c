"""Scripts as engines: the law, what is state, and what is refused by name."""

import importlib.machinery
import logging
import multiprocessing.spawn
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.experiments import HEAD, script_config, write

from perdure.engines.python_script import PythonJsonEngine
from perdure.errors import InvalidDataPack, InvalidState, NotSnapshotable, ScriptFailed
from perdure.state.codec import decode, encode
from perdure.testing.engines import EngineConformance

WALKER = (
    HEAD
    + '''
import random
import numpy as np
import helper

STEPS = (1, 2, 3)
visits = {}

class Script(EngineScript):
    """A random walk that keeps state wherever Python lets it."""

    trace = []

    def initialize(self):
        self._registerDataPack("push")
        self._registerDataPack("place")
        self.x = 0.0
        self.matrix = np.eye(3) * random.random()
        self.nested = {"a": [1, 2.5, None, {"b": b"bytes"}], 7: 2**80}
        self._setDataPack("place", {"x": self.x})

    def runLoop(self, timestep_ns):
        push = self._getDataPack("push")
        self.x += random.gauss(0, 1) + np.random.normal() + (push["x"] if push else 0.0)
        self.matrix = self.matrix @ np.random.rand(3, 3)
        self.nested["a"].append(self._time_ns)
        self.trace.append(self.x)
        visits[len(self.trace)] = STEPS[len(self.trace) % 3]
        helper.count += 1
        told = {"x": self.x, "m": self.matrix.copy(), "n": helper.count, "v": sum(visits.values())}
        self._setDataPack("place", told)

    def shutdown(self):
        pass
'''
)


@pytest.fixture
def walker(tmp_path: Path) -> Path:
    return write(tmp_path, script__py=WALKER, helper__py="count = 0\n")


def engine(config: dict[str, Any]) -> PythonJsonEngine:
    made = PythonJsonEngine()
    made.initialize(config)
    return made


def test_the_law_of_engines_holds_for_a_script(walker: Path) -> None:
    inputs: list[dict[str, Any]] = [{}, {"push": {"x": 1.5}}, {}, {"push": {"x": -2.0}}, {}, {}]
    refused = [{"pusj": {"x": 1.0}}, {"push": {"x": object()}}]
    EngineConformance(PythonJsonEngine, script_config(walker), inputs, refused).check()


def test_engines_of_one_process_have_modules_and_generators_of_their_own(walker: Path) -> None:
    alone = engine(script_config(walker))
    expected = [encode(alone.step({})) for _ in range(4)]
    first, second = engine(script_config(walker)), engine(script_config(walker, name="b"))
    answers = []
    for _ in range(4):
        second.step({})
        answers.append(encode(first.step({})))
    assert answers == expected
    assert encode(second.step({})) != encode(first.step({}))


def test_nrp_cores_modules_are_there_only_while_a_script_runs(walker: Path) -> None:
    before = set(sys.modules)
    engine(script_config(walker)).step({})
    assert not {name for name in set(sys.modules) - before if "nrp_core" in name or "helper" in name}
    assert not list(walker.rglob("__pycache__"))


def test_a_package_of_the_folder_is_a_partys_own_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "counter.py").write_text("count = 0\n")
    write(
        tmp_path,
        script__py=HEAD
        + """
from parts import counter
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("count")
    def runLoop(self, timestep_ns):
        counter.count += 1
        self._setDataPack("count", counter.count)
    def shutdown(self):
        pass
""",
    )
    first, second = engine(script_config(tmp_path)), engine(script_config(tmp_path, name="b"))
    for _ in range(3):
        first.step({})
    assert second.step({})["count"] == 1
    second.restore(decode(encode(first.snapshot())))
    assert second.step({})["count"] == 4
    assert not {"parts", "parts.counter"} & set(sys.modules)
    assert not list(tmp_path.rglob("__pycache__"))


def test_another_seed_draws_other_numbers(walker: Path) -> None:
    one, other = engine(script_config(walker)), engine(script_config(walker, seed=4))
    assert encode(one.step({})) != encode(other.step({}))


def test_a_script_reads_its_configuration_time_and_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
class Script(EngineScript):
    def initialize(self):
        self.gains = self._config["EngineExtraConfigs"]["gains"]
        self._registerDataPack("all")
    def runLoop(self, timestep_ns):
        self._setDataPack("all", [self._time_ns, timestep_ns, self._name, list(self.gains)])
    def shutdown(self):
        __import__("pathlib").Path("closed.txt").write_text("once")
""",
    )
    config = script_config(tmp_path, configuration={"EngineExtraConfigs": {"gains": [1, 2]}})
    made = engine(config)
    assert made.step({}) == {"all": [10_000_000, 10_000_000, "a", [1, 2]]}
    made.snapshot()  # a kept part of the configuration is the script's own
    assert made.time == 0.01
    made.close()
    assert (tmp_path / "closed.txt").read_text() == "once"
    (tmp_path / "closed.txt").unlink()
    made.close()
    assert not (tmp_path / "closed.txt").exists()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("self.known = {1, 2}", "attribute 'known'"),
        ("self.deep = {'a': [0, ({1},)]}", r"attribute 'deep'\['a'\]\[1\]\[0\]"),
        ("self.version = sys.version_info", "attribute 'version'.*sys.version_info is none of"),
        ("self.list = []; self.pair = (self.list,)", r"attribute 'pair'\[0\].* shared with .*'list'"),
        ("self.pair = ([],); self.same = self.pair", r"attribute 'same'\[0\].* shared with .*'pair'\[0\]"),
        ("self.all = np.zeros(2, 'i4,i4'); self.row = self.all[1]", "'row'.* shared with .*'all'"),
        ("self.row = np.zeros(2, 'O,i4')[1]", "attribute 'row'.*record of Python objects"),
        ("self.thing = object()", "attribute 'thing'"),
        ("self.draw = np.random.default_rng(1)", "attribute 'draw'"),
        ("self.call = lambda: self", "attribute 'call'"),
        ("self.objects = np.array([None])", "attribute 'objects'"),
        ("self.flipped = np.ones((2, 3)).T", "attribute 'flipped'"),
        ("self.one = self.two = [1]", "attribute 'two'.* shared with .* attribute 'one'"),
        ("self.row = [0]; self.rows = {'r': [self.row]}", r"attribute 'rows'\['r'\]\[0\].* attribute 'row'"),
        ("self.twice = [[0]] * 2", r"attribute 'twice'\[1\].* shared with .*'twice'\[0\]"),
        ("self.own = []; self.own.append(self.own)", "attribute 'own'"),
        ("self.all = np.zeros(4); self.view = self.all[2:]", "attribute 'view'.* shared with .*'all'"),
        ("self.view = np.frombuffer(bytearray(8))", "attribute 'view'"),
        (
            "self.last = {'x': 1}; self._setDataPack('p', self.last)",
            "attribute 'last'.*shared with .*_datapacks",
        ),
        ("global counted; counted = [1]; self.mine = counted", "variable 'counted'"),
        ("global made; made = object()", "script.py, variable 'made'"),
        ("import late", "module 'late'"),
        ("self.module = sys", "attribute 'module'"),
        ("counting.calls = 1", "variable 'counting'.* as 'calls'"),
        ("remembering([])", "variable 'remembering'.* default"),
    ],
)
def test_what_can_not_be_put_back_is_named(tmp_path: Path, line: str, named: str) -> None:
    write(
        tmp_path,
        late__py="",
        script__py=HEAD
        + f"""
import importlib.machinery
import logging
import sys
import types
import numpy as np
def counting():
    pass
{"def remembering(x, seen=[]): pass" if "remembering" in line else ""}
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("p")
    def runLoop(self, timestep_ns):
        {line}
""",
    )
    made = engine(script_config(tmp_path))
    if "remembering" not in line:
        made.snapshot()
    made.step({})
    with pytest.raises(NotSnapshotable, match=named):
        made.snapshot()


@pytest.mark.parametrize(
    "value",
    [
        "(1, (2.5, 'x'), ())",
        "([1], {'a': (np.zeros(2), None)})",
        "{'a': [np.float64(0.1), np.float16(1), np.float32(-0.0), np.longlong(3), np.longdouble(1) / 3]}",
        "(np.bool_(True), np.str_('x'), np.bytes_(b'y'), np.complex64(1j), np.uint64(2**64 - 1))",
        "[np.datetime64('2026-01-02', 'ns'), np.timedelta64(3, '25s'), np.datetime64('NaT')]",
        "np.zeros(2, 'i4,f8')[1].copy()",
        "[np.array(1.5), np.array('x'), np.array('2026', 'M8[D]')]",
        "[(1, 2)] * 2 + [np.float64(1)] * 2",
    ],
)
def test_what_a_script_keeps_comes_back_with_its_types(tmp_path: Path, value: str) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + f"""
import numpy as np
kept = None
def types(thing):
    if isinstance(thing, (list, tuple)):
        return [type(thing).__name__, *map(types, thing)]
    if isinstance(thing, dict):
        return [type(thing).__name__, *map(types, thing.values())]
    return [type(thing).__name__, str(getattr(thing, "dtype", "")), repr(thing)]
class Script(EngineScript):
    def initialize(self):
        self.own = None
        self._registerDataPack("types")
    def runLoop(self, timestep_ns):
        global kept
        if kept is None:
            self.own, kept = {value}, {value}
        self._setDataPack("types", [types(self.own), types(kept)])
""",
    )
    EngineConformance(PythonJsonEngine, script_config(tmp_path), [{}] * 3).check()


def test_modules_functions_and_classes_set_in_initialize_are_constants(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
import logging, math
import numpy as np
log = logging.getLogger("x")
LIMITS = (1.0, frozenset({"a"}), np.dtype("f4"))
KIND = np.dtype("f8")
def double(x):
    return 2 * x
class Script(EngineScript):
    def initialize(self):
        self.library, self.kind, self.double = math, dict, double
        self._registerDataPack("y")
        self.n = 1
    def runLoop(self, timestep_ns):
        self.n = self.double(self.n)
        if self.n > 4:
            self.late = self.n
        if self.n > 8 and "late" in vars(self):
            del self.late
        self._setDataPack("y", [self.library.sqrt(self.n), sorted(vars(self))])
""",
    )
    EngineConformance(PythonJsonEngine, script_config(tmp_path), [{}] * 5).check()


def test_a_script_with_a_function_that_can_keep_something_is_replayed_to_its_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
def listed():
    kept = []
    return lambda: kept.append(1)
count = listed()
calls = (count, [])
class Script(EngineScript):
    def runLoop(self, timestep_ns):
        global count, calls
        count = calls = None
""",
    )
    made = engine(script_config(tmp_path))
    made.step({})
    with pytest.raises(NotSnapshotable, match=r"variable 'count'.* in its closure is a builtins\.list"):
        made.snapshot()


def test_attributes_of_functions_and_loggers_that_stay_as_they_were_are_code(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
import logging
log = logging.getLogger("with attributes")
log.limit = 3
def scaled(x):
    return scaled.by * x
scaled.by, scaled.of = 2.0, (1, None)
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("y")
        self.n = 1.0
    def runLoop(self, timestep_ns):
        self.n = min(scaled(self.n), log.limit)
        self._setDataPack("y", self.n)
""",
    )
    try:
        EngineConformance(PythonJsonEngine, script_config(tmp_path), [{}] * 4).check()
    finally:
        del logging.getLogger("with attributes").limit  # type: ignore[attr-defined]


def test_a_failing_script_is_told_by_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, helper__py="def f():\n    return 1 / 0\n")
    write(
        tmp_path,
        script__py=HEAD
        + """
import helper
class Script(EngineScript):
    def runLoop(self, timestep_ns):
        helper.f()
""",
    )
    made = engine(script_config(tmp_path))
    with pytest.raises(ScriptFailed) as error:
        made.step({})
    assert str(error.value) == (
        "The engine 'a' failed in runLoop to 0.01 s, at helper.py, line 2: "
        "ZeroDivisionError: division by zero."
    )


def test_an_error_that_came_by_no_line_of_the_folder_has_no_place(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write(
        folder,
        script__py=HEAD
        + """
import os
import shutil
class Script(EngineScript):
    def runLoop(self, timestep_ns):
        shutil.rmtree(os.getcwd())
""",
    )
    made = engine(script_config(folder))
    made.step({})
    with pytest.raises(ScriptFailed) as error:
        made.step({})
    assert str(error.value).startswith("The engine 'a' failed in runLoop to 0.02 s: FileNotFoundError: ")
    assert str(error.value).endswith(" (the run's folder was removed).")
    assert (error.value.values["file"], error.value.values["line"]) == ("", 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = (", "script.py, line 1: SyntaxError"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        ("class Other: pass", "must define a class Script derived from EngineScript"),
        (HEAD + "class Script(EngineScript):\n    def initialize(self): exit(3)", "SystemExit"),
        (
            HEAD + "class Script(EngineScript):\n    def initialize(self): raise KeyboardInterrupt",
            "line 3: KeyboardInterrupt",
        ),
    ],
)
def test_a_script_that_can_not_be_loaded_says_why(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, script__py=text)
    with pytest.raises(ScriptFailed, match=says):
        engine(script_config(tmp_path))


def test_data_packs_are_registered_once_and_known_by_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("position")
    def runLoop(self, timestep_ns):
        self._setDataPack("positon", {})
""",
    )
    made = engine(script_config(tmp_path))
    assert made.outputs() == {"position": None}
    with pytest.raises(InvalidDataPack, match="Did you mean 'position'"):
        made.step({"positions": {}})
    with pytest.raises(ScriptFailed, match="Did you mean 'position'"):
        made.step({})


def test_data_come_out_as_json_and_share_nothing(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
import numpy as np
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("p")
        self.data = {"t": (1, 2), "a": np.float32([0.1]), "i": np.int64(3), "b": np.bool_(True), "s": "x"}
    def runLoop(self, timestep_ns):
        self._setDataPack("p", self.data)
""",
    )
    made = engine(script_config(tmp_path))
    data = made.step({})["p"]
    assert data == {"t": [1, 2], "a": [float(np.float32(0.1))], "i": 3, "b": True, "s": "x"}
    assert type(data["i"]) is int and data["b"] is True
    data["t"].append(9)
    assert made.outputs()["p"]["t"] == [1, 2]


def test_a_state_of_other_code_is_refused(walker: Path, tmp_path: Path) -> None:
    state = decode(encode(engine(script_config(walker)).snapshot()))
    other = write(tmp_path, other__py=HEAD + "class Script(EngineScript):\n    pass\n")
    with pytest.raises(InvalidState, match="other modules or classes"):
        engine(script_config(other, script="other.py")).restore(state)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("pysolvers", "import pysolvers"),  # stands for any library like it
        ("pysolvers", "from pysolvers import cadical103_new"),
        ("pysolvers", "import pysolvers as p\ndef make(): return p.cadical103_new()"),
        ("nest", "import nest"),
        ("nest", "from nest import Create"),
    ],
)
def test_an_engine_with_handles_of_a_library_in_c_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, held: str
) -> None:
    nest: Any = types.ModuleType("nest")
    nest.__spec__ = importlib.machinery.ModuleSpec("nest", None)
    exec("def Create(): return 7", vars(nest))
    monkeypatch.setitem(sys.modules, "nest", nest)
    write(
        tmp_path,
        script__py=HEAD
        + held
        + """
class Script(EngineScript):
    def initialize(self):
        self.client = 7
    def runLoop(self, timestep_ns):
        self.client = 7
""",
    )
    made = engine(script_config(tmp_path))
    made.snapshot()  # where a fresh engine begins
    made.step({})
    with pytest.raises(NotSnapshotable, match=f"the library '{name}' keeps what can't be read"):
        made.snapshot()


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_pools_of_an_engine_import_its_own_file_and_the_folder(tmp_path: Path, method: str) -> None:
    write(
        tmp_path,
        helper__py="def square(x):\n    return x * x\n",
        script__py=HEAD
        + f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from helper import square

class Shifted:
    def __init__(self, by):
        self.by = by
    def __call__(self, x):
        return square(x) + self.by

def squares(x):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
        return list(pool.map(Shifted(x), range(4)))

class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("squares")
    def runLoop(self, timestep_ns):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
            self._setDataPack("squares", pool.submit(squares, 5).result())
""",
    )
    preparation = multiprocessing.spawn.get_preparation_data
    assert engine(script_config(tmp_path)).step({}) == {"squares": [5, 6, 9, 14]}
    assert multiprocessing.spawn.get_preparation_data is preparation


def test_what_libraries_built_with_cython_share_keeps_nobody_from_being_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys\nclass Script(EngineScript):\n    def runLoop(self, step): len(sys.modules)\n"
    write(tmp_path, script__py=HEAD + script)
    made = engine(script_config(tmp_path))
    made.step({})
    for name in ("_cython_9_9_9", "cython_runtime"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    made.snapshot()
    monkeypatch.setitem(sys.modules, "by_hand", types.ModuleType("by_hand"))
    with pytest.raises(NotSnapshotable, match="'by_hand' was put into sys"):
        made.snapshot()


def test_libraries_of_python_and_of_numpy_keep_nothing_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + """
import math, random, _random, array, itertools, json, zlib, datetime, msgspec
import numpy as np
from numpy.linalg import norm
from numpy.random import normal
from math import sin
class Script(EngineScript):
    def runLoop(self, timestep_ns):
        self.x = sin(norm(np.ones(2)))
""",
    )
    made = engine(script_config(tmp_path))
    made.step({})
    made.snapshot()


@pytest.mark.parametrize(
    "held",
    [
        "ctypes.pointer(ctypes.c_int(3))",
        "ctypes.c_void_p(16)",
        "memoryview(bytearray(4))",
        "mmap.mmap(-1, 8)",
        "open('script.py')",
        "socket.socketpair()",
        "np.frombuffer(mmap.mmap(-1, 80))",
        "np.memmap('x.dat', dtype='f8', mode='w+', shape=(4,))",
        "np.asarray(np.memmap('x.dat', dtype='f8', mode='w+', shape=(4,)))",
        "np.ctypeslib.as_array((ctypes.c_double * 4)())",
        "(1, [threading.Lock()])",
        "{'db': sqlite3.connect(':memory:')}",
        "datetime.datetime_CAPI",
        "weakref.ref(type(self))",
    ],
)
def test_what_is_a_handle_is_not_saved(tmp_path: Path, held: str) -> None:
    write(
        tmp_path,
        script__py=HEAD
        + f"""
import ctypes, datetime, mmap, socket, sqlite3, threading, weakref
import numpy as np
class Script(EngineScript):
    def runLoop(self, timestep_ns):
        self.held = {held}
    def shutdown(self):
        for held in self.held if type(self.held) is tuple else [self.held]:
            if hasattr(held, "close"):
                held.close()
""",
    )
    made = engine(script_config(tmp_path))
    made.step({})
    with pytest.raises(NotSnapshotable, match="attribute 'held'"):
        made.snapshot()
    made.close()
