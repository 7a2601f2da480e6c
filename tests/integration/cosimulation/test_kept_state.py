"""Wherever Python lets code keep something, a run that was resumed gives the numbers of one that wasn't."""

import decimal
import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import mean
from textwrap import indent
from typing import Any, NamedTuple

import pytest
from tests.support.experiments import HEAD, replayed, script_engine, started, write

from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.engines.python_script.script import EngineScript
from perdure.state.codec import decode, encode


class Kept(NamedTuple):
    """A way to keep something: at the top of a file, in the class of a script, at its start, in its step."""

    top: str = ""
    step: str = ""
    body: str = ""
    start: str = "pass"


COUNTING = """
def counting(function):
    count = 0
    def counted(*given):
        nonlocal count
        count += 1
        return count
    return counted
"""
LISTED = """
def listed():
    kept = [0]
    def count(*given):
        kept[0] += 1
        return kept[0]
    return count
"""
PLACES = {  # of engines and of functions
    "nested class": Kept("class A:\n    class B:\n        n = 0", "A.B.n += 1\nx = A.B.n"),
    "base made by a function": Kept(
        "def made():\n    class Base:\n        n = 0\n    return Base\nclass A(made()):\n    pass",
        "A.__bases__[0].n += 1\nx = A.n",
    ),
    "class in a closure": Kept(
        "def made():\n    class Held:\n        n = 0\n    def count():\n        Held.n += 1\n"
        "        return Held.n\n    return count\ncount = made()",
        "x = count()",
    ),
    "closure": Kept(f"{COUNTING}\n@counting\ndef count(): pass", "x = count()"),
    "list in a closure": Kept(f"{LISTED}\ncount = listed()", "x = count()"),
    "method of a closure": Kept(
        f"{COUNTING}\nclass A:\n    @counting\n    def count(self): pass", "x = A().count()"
    ),
    "property of a closure": Kept(f"{LISTED}\nclass A:\n    n = property(listed())", "x = A().n"),
    "static method of a closure": Kept(f"{LISTED}\nclass A:\n    n = staticmethod(listed())", "x = A.n()"),
    "special method of a closure": Kept(f"{LISTED}\nclass A:\n    __call__ = listed()", "x = A()()"),
    "wrapped function": Kept(
        f"import functools\n{LISTED}\ninner = listed()\n@functools.wraps(inner)\n"
        "def count(): return count.__wrapped__()\ndel inner",
        "x = count()",
    ),
    "default of a method": Kept(
        "class A:\n    def count(self, kept=[]):\n        kept.append(1)\n        return len(kept)",
        "x = A().count()",
    ),
    "default in a list": Kept(
        "def made():\n    def inner(kept=[]):\n        kept.append(1)\n        return len(kept)\n"
        "    return lambda: inner()\ncount = made()",
        "x = count()",
    ),
    "attribute of a function as a variable of its closure": Kept(
        "def made():\n    n = 0\n    def count(): return n\n    return count\ncount = made()\ncount.n = 0",
        "count.n += 1\nx = count.n",
    ),
    "attribute of a function": Kept("def count(): pass\ncount.n = 0", "count.n += 1\nx = count.n"),
    "other globals": Kept(
        "names = {}\nexec('n = 0\\ndef count():\\n    global n\\n    n += 1\\n    return n', names)\n"
        "count = names['count']\ndel names",
        "x = count()",
    ),
    "bound built-in": Kept("kept = [0]\npush = kept.append", "push(1)\nx = len(kept)"),
    "bound draw": Kept("import random\ndraw = random.Random(5).random", "x = draw()"),
    "bound draw of NumPy's": Kept("import numpy as np\ndraw = np.random.default_rng(5).normal", "x = draw()"),
    "special name": Kept("__count__ = 0", "global __count__\n__count__ += 1\nx = __count__"),
    "attribute of a logger": Kept(
        "import logging\nlog = logging.getLogger('kept')\nlog.n = 0", "log.n += 1\nx = log.n"
    ),
    "environment": Kept(
        "import os\nos.environ['KEPT'] = '0'",
        "os.environ['KEPT'] += '1'\nx = len(os.environ['KEPT'])",
    ),
    "attribute of a library": Kept("import math\nmath.kept = 0", "math.kept += 1\nx = math.kept"),
    "class of a library": Kept(
        "from fractions import Fraction\nFraction.kept = 0", "Fraction.kept += 1\nx = Fraction.kept"
    ),
    "function of a library": Kept(
        "from statistics import mean\nmean.kept = 0", "mean.kept += 1\nx = mean.kept"
    ),
    "module made by hand": Kept(
        "import sys, types\nkept = types.ModuleType('kept')\nkept.n = 0\n"
        "sys.modules['kept'] = kept\ndel kept",
        "import kept\nkept.n += 1\nx = kept.n",
    ),
    "property of its own kind": Kept(
        "class Counting(property):\n    def __get__(self, one, kind=None):\n        self.n += 1\n"
        "        return self.n\nclass A:\n    n = Counting()\nvars(A)['n'].n = 0",
        "x = A().n",
    ),
    "class of a class": Kept(
        "def made():\n    class Meta(type):\n        n = 0\n    return Meta\n"
        "class A(metaclass=made()):\n    pass",
        "type(A).n += 1\nx = A.n",
    ),
    "module of its own": Kept(
        "import types\nown = types.ModuleType('own')\nown.kept = []",
        "own.kept.append(1)\nx = len(own.kept)",
    ),
    "decimal context": Kept(
        "import decimal\ndecimal.getcontext().prec = 20",
        "decimal.getcontext().prec += 1\nx = float(decimal.getcontext().prec)",
    ),
}
OF_SCRIPTS = {
    "special attribute": Kept(step="self.__x__ += 1\nx = self.__x__", start="self.__x__ = 0"),
    "bound attribute": Kept(
        "import numpy as np", "x = self.draw()", start="self.draw = np.random.default_rng(5).normal"
    ),
    "method": Kept(COUNTING, "x = self.count()", body="@counting\ndef count(self): pass"),
    "property": Kept(LISTED, "x = self.count", body="count = property(listed())"),
    "class in an attribute": Kept(
        step="self.kind.n += 1\nx = self.kind.n", start="class Kind:\n    n = 0\nself.kind = Kind"
    ),
    "class of the script": Kept(
        "import random",
        "if self._time_ns == 40_000_000:\n    self.__class__ = Busy\nx = self.scale * random.random()",
        body="scale = 1",
        start="global Busy\nclass Busy(Script): scale = 2",
    ),
    "base class": Kept("EngineScript.kept = 0", "EngineScript.kept += 1\nx = EngineScript.kept"),
    "list in the base class": Kept(
        "EngineScript.kept = []", "EngineScript.kept.append(1)\nx = len(EngineScript.kept)"
    ),
}
STEPS, RESUMED_AT = 12, 8


@pytest.fixture(autouse=True)
def _surroundings_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEPT", "")
    with decimal.localcontext():
        yield
    sys.modules.pop("kept", None)
    for thing in (math, Fraction, mean, EngineScript):
        if "kept" in vars(thing):
            delattr(thing, "kept")
    vars(logging.getLogger("kept")).pop("n", None)


def engine_of(kept: Kept) -> str:
    return f"""{HEAD}
{kept.top}
class Script(EngineScript):
{indent(kept.body, "    ")}
    def initialize(self):
        self._registerDataPack("p")
{indent(kept.start, "        ")}
    def runLoop(self, timestep_ns):
{indent(kept.step, "        ")}
        self._setDataPack("p", {{"x": x}})
"""


def function_of(kept: Kept) -> str:
    return f"""from nrp_core import *
from nrp_core.data.nrp_json import *
{kept.top}
@StatusFunction()
def status():
{indent(kept.step, "    ")}
    row = JsonRawData()
    row.data = {{"x": x}}
    return False, [row]
"""


OBSERVER = """from nrp_core import *
from nrp_core.data.nrp_json import *
@EngineDataPack(keyword="p", id=DataPackIdentifier("p", "a"))
@StatusFunction()
def status(p):
    row = JsonRawData()
    row.data = {"p": p.data}
    return False, [row]
"""
IDLE = HEAD + "class Script(EngineScript):\n    def runLoop(self, timestep_ns): pass\n"


def made(folder: Path) -> CoSimulation:
    status = {"Name": "status", "FileName": "status.py"}
    return started(folder, {"EngineConfigs": [script_engine("a")], "StatusFunction": status})


def rows(cosimulation: CoSimulation, count: int) -> list[str]:
    for _ in range(count):
        cosimulation.step()
    return [json.dumps(row) for row in cosimulation.take_trajectory()]


def check_that_a_resumed_run_is_the_same(folder: Path) -> None:
    first = made(folder)
    expected = rows(first, STEPS)
    first.close()
    assert len(set(expected)) > STEPS // 2, "it keeps something"
    interrupted = made(folder)
    for _ in range(RESUMED_AT):
        interrupted.snapshot()
        rows(interrupted, 1)
    state: Any = decode(encode(dict(interrupted.snapshot())))
    interrupted.close()
    resumed = made(folder)
    resumed.restore(state)
    assert rows(resumed, STEPS - RESUMED_AT) == expected[RESUMED_AT:]
    resumed.close()


@pytest.mark.parametrize("kept", [pytest.param(kept, id=name) for name, kept in PLACES.items()])
def test_functions_go_on_with_what_they_kept(tmp_path: Path, kept: Kept) -> None:
    check_that_a_resumed_run_is_the_same(write(tmp_path, a__py=IDLE, status__py=function_of(kept)))


@pytest.mark.parametrize(
    "kept", [pytest.param(kept, id=name) for name, kept in (PLACES | OF_SCRIPTS).items()]
)
def test_an_engine_goes_on_with_what_it_kept(tmp_path: Path, kept: Kept) -> None:
    check_that_a_resumed_run_is_the_same(write(tmp_path, a__py=engine_of(kept), status__py=OBSERVER))


USUAL = """
import abc, dataclasses, functools, logging, math, os, random, sys, time
from collections import deque, namedtuple
from dataclasses import dataclass, field
from random import gauss, random as draw

import numpy as np
from numpy import dot, sin
from numpy.random import normal

log = logging.getLogger(__name__)
Point = namedtuple("Point", "x y")
LIMITS = (Point, 1.0, frozenset({"a"}))
def scaled(factor):
    def scale(x):
        return factor * x
    return scale
def logged(function):
    @functools.wraps(function)
    def wrapper(*given):
        log.debug("called")
        return function(*given)
    return wrapper
@dataclass
class Gains:
    p: float = 1.0
    d: list = field(default_factory=list)
class Controller(abc.ABC):
    "Answers a torque."
    limit: float = 2.0
    class Modes:
        idle = "idle"
    @property
    def rate(self): return 1.0
    @staticmethod
    def clip(x, low=-1.0, high=1.0): return min(max(x, low), high)
    @classmethod
    def make(cls): return cls()
    @abc.abstractmethod
    def torque(self, angle): ...
class Damped(Controller):
    def __init__(self): super().__init__()
    @logged
    def torque(self, angle): return self.clip(-angle)
double = scaled(2.0)
@logged
def halved(x): return x / 2
"""


def test_what_scripts_usually_hold_can_be_saved(tmp_path: Path) -> None:
    step = (
        "x = double(halved(Damped().torque(draw() + gauss(0, 1) + normal()))) + float(dot(1, sin(1)))\n"
        "x += Point(1, 2).y + len(repr(Gains(x)))"
    )
    one = Kept(USUAL, step, start="os.environ['KEPT'] = 'set'")
    cosimulation = made(write(tmp_path, a__py=engine_of(one), status__py=OBSERVER))
    rows(cosimulation, 3)
    cosimulation.snapshot()
    assert replayed(cosimulation) == {}
    assert os.environ["KEPT"] == "set"
    cosimulation.close()
