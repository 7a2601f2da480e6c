"""The law of co-simulations: cut at any step and restored into a fresh one, every later bit is the same."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.experiments import HEAD, replayed, script_engine, started, write

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.samples import MAX_VALUES, SAMPLES
from perdure.engines.kinds import engine_kinds
from perdure.errors import ReplayMismatch
from perdure.state.codec import decode, encode

BEYOND = 3  # steps that are compared after the last cut

EXAMPLES = Path(__file__).parents[3] / "examples" / "experiments"

SCRIPT = (
    HEAD
    + """
import random
import numpy as np
class Script(EngineScript):
    def initialize(self):
        self.x = random.random()
        {extra}
        self._registerDataPack("heard")
        self._registerDataPack("said")
        self._setDataPack("said", {"x": self.x})
    def runLoop(self, timestep_ns):
        heard = self._getDataPack("heard") or {}
        self.x = 0.5 * self.x + sum(heard.values()) + random.gauss(0, 1) * np.random.rand()
        self._setDataPack("said", {"x": self.x, "t": self._time_ns})
"""
)

# Keeps a set, which no snapshot takes, from the start.
STUBBORN = SCRIPT.replace("{extra}", "self.pair = {1, 2}")
# Keeps one from its third step on, and no more after its sixth.
FICKLE = SCRIPT.replace("{extra}", "self.n = 0").replace(
    "        heard =",
    "        self.n += 1\n        self.pair = {self.n} if 3 <= self.n < 6 else None\n        heard =",
)

FUNCTIONS = """
from nrp_core import *
from nrp_core.data.nrp_json import *
import random
heard = {"calls": 0}
{keep}
"""
FUNCTION = """
@EngineDataPack(keyword="p", id=DataPackIdentifier("said", "{source}"))
@TransceiverFunction("{target}")
def from_{source}_to_{target}(p):
    heard["calls"] += 1
    {remember}
    return [JsonDataPack("heard", "{target}", {"x": p.data["x"] * random.random()})]
"""
STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import *
rows = {"n": 0}
{packs}
@SimulationIteration(keyword="i")
@StatusFunction()
def status(i, **packs):
    rows["n"] += 1
    row = JsonRawData()
    row.data = [i, rows["n"], {name: [pack.data, pack.isUpdated()] for name, pack in packs.items()}]
    return False, [row]
"""


def record(made: CoSimulation, steps: int) -> bytes:
    """Step and return all that was answered, to the bit."""
    for _ in range(steps):
        made.step()
    return encode(made.take_trajectory())


def resumed(present: CoSimulation, make: Any) -> CoSimulation:
    """Return a fresh one that was put where `present` is, which is closed."""
    state = decode(encode(dict(present.snapshot())))
    present.close()
    fresh: CoSimulation = make()
    fresh.restore(state)
    return fresh


def law(make: Any, steps: int, cuts: list[int]) -> None:
    """Check that runs cut at each of `cuts`, twice, and at the end, go on as the uninterrupted one."""
    whole = make()
    answers = [record(whole, 1) for _ in range(steps + BEYOND)]
    whole.close()
    present = make()
    before = 0
    for cut in (*cuts, steps):
        for step in range(before, cut):
            assert record(present, 1) == answers[step], f"step {step} after a cut at {before}"
        # What was restored must be able to be saved itself. A state may be a snapshot or a list of inputs,
        # so that only what comes of it can be compared.
        present = resumed(resumed(present, make), make)
        before = cut
    for step in range(steps, steps + BEYOND):
        assert record(present, 1) == answers[step], f"step {step} after a cut at the end"
    present.close()


KINDS = {
    "plain": SCRIPT.replace("{extra}", "pass"),
    "stubborn": STUBBORN,
    "fickle": FICKLE,
}


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    names = "abc"[: draw(st.integers(1, 3))]
    kinds = {name: draw(st.sampled_from(list(KINDS))) for name in names}
    steps = {name: draw(st.sampled_from([0.01, 0.015, 0.02, 0.035])) for name in names}
    links = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=4, unique=True))
    return {"kinds": kinds, "steps": steps, "links": links, "keeps": draw(st.booleans())}


def build(folder: Path, drawn: dict[str, Any]) -> dict[str, Any]:
    """Write an experiment's files and return its configuration."""
    write(folder, **{f"{name}__py": KINDS[kind] for name, kind in drawn["kinds"].items()})
    keep = "kept = [object()]" if drawn["keeps"] else ""
    functions = FUNCTIONS.replace("{keep}", keep)
    for source, target in drawn["links"]:
        text = FUNCTION.replace("{remember}", "heard['last'] = p.data['x']")
        functions += text.replace("{source}", source).replace("{target}", target)
    packs = "\n".join(
        f'@EngineDataPack(keyword="{name}", id=DataPackIdentifier("said", "{name}"))'
        for name in drawn["kinds"]
    )
    write(folder, f__py=functions, status__py=STATUS.replace("{packs}", packs))
    return {
        "EngineConfigs": [script_engine(name, step) for name, step in drawn["steps"].items()],
        "DataPackProcessingFunctions": [{"Name": "f", "FileName": "f.py"}] if drawn["links"] else [],
        "StatusFunction": {"Name": "status", "FileName": "status.py"},
    }


@given(experiments(), st.lists(st.integers(0, 12), max_size=3).map(sorted))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_any_mix_of_engines_goes_on_with_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Any], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("experiment")
    config = build(folder, drawn)
    law(lambda: started(folder, config, seed=5), 12, cuts)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["exchange", "pendulum", "cartpole", "warm_motor"])
def test_the_examples_go_on_with_the_same_bits(name: str) -> None:
    folder = EXAMPLES / name
    configuration = load(folder, "simulation_config.json", engine_kinds())

    def make() -> CoSimulation:
        made = CoSimulation(configuration, folder, 8)
        made.initialize()
        return made

    law(make, 60, [0, 7, 31, 52])
    made = make()
    record(made, 30)
    made.snapshot()
    assert replayed(made) == {}
    made.close()


def test_isolated_engines_go_on_with_the_same_bits(tmp_path: Path) -> None:
    drawn = {
        "kinds": {"a": "plain", "b": "stubborn"},
        "steps": {"a": 0.01, "b": 0.025},
        "links": [("a", "b"), ("b", "a")],
        "keeps": False,
    }
    config = build(tmp_path, drawn)
    law(lambda: started(tmp_path, config), 10, [0, 3, 6])
    inside = started(tmp_path, config)
    expected = record(inside, 10)
    inside.close()
    for engine in config["EngineConfigs"]:
        engine["Isolated"] = True
    law(lambda: started(tmp_path, config), 10, [2, 7])
    outside = started(tmp_path, config)
    assert record(outside, 10) == expected
    outside.close()


def test_what_is_replayed_is_named_with_its_reason(tmp_path: Path) -> None:
    drawn = {"kinds": {"a": "stubborn"}, "steps": {"a": 0.01}, "links": [("a", "a")], "keeps": True}
    made = started(tmp_path, build(tmp_path, drawn))
    record(made, 3)
    made.snapshot()
    assert list(replayed(made)) == ["engine/a", "functions"]
    assert "attribute 'pair'" in replayed(made)["engine/a"]
    assert "f.py, variable 'kept'[0]" in replayed(made)["functions"]
    made.close()


def test_an_engine_is_replayed_only_from_its_last_snapshot(tmp_path: Path) -> None:
    drawn = {"kinds": {"a": "fickle"}, "steps": {"a": 0.01}, "links": [], "keeps": False}
    made = started(tmp_path, build(tmp_path, drawn))
    inputs = []
    for _ in range(8):
        record(made, 1)
        _, runs, _ = made.snapshot()["engine/a"]  # type: ignore[misc]
        inputs.append(sum(run[0] for run in runs))
    assert inputs == [0, 0, 1, 2, 3, 0, 0, 0]
    made.close()


READS = {
    "file": "float(__import__('pathlib').Path('read.txt').read_text())",
    "nothing else": "2.0 * steps['n']",
}
READER = (
    HEAD
    + """
pair, steps = [{1, 2}], {"n": 0}
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("said")
        self._setDataPack("said", {start})
    def runLoop(self, timestep_ns):
        steps["n"] += 1
        self._setDataPack("said", 0.0 if steps["n"] == 5 else {step})
"""
)
READING = """
from nrp_core import *
from nrp_core.data.nrp_json import *
pair, steps = [{1, 2}], {"n": 0}
@StatusFunction()
def status():
    steps["n"] += 1
    row = JsonRawData()
    row.data = {step}
    return False, [row]
"""


def read_again(folder: Path, engine: dict[str, Any], meanwhile: Any) -> CoSimulation:
    """Take five steps with the read file changing, and restore it all; `meanwhile` is done before that."""
    status = {"StatusFunction": {"Name": "s", "FileName": "status.py"}}
    config = {"EngineConfigs": [script_engine("a") | engine], **status}
    file = write(folder, read__txt="0") / "read.txt"
    made = started(folder, config)
    try:
        for step in range(5):
            made.snapshot()
            file.write_text(str(step))
            record(made, 1)
        state: Any = decode(encode(dict(made.snapshot())))
    finally:
        made.close()
    meanwhile(file)
    again = started(folder, config)
    try:
        again.restore(state)
    finally:
        again.close()
    return again


def written(folder: Path, *, start: str = "0.0", step: str = "0.0", row: str = "0.0") -> Path:
    engine = READER.replace("{start}", start).replace("{step}", step)
    return write(folder, a__py=engine, status__py=READING.replace("{step}", row))


@pytest.mark.parametrize("isolated", [False, True])
def test_an_engine_that_answers_otherwise_when_replayed_is_refused(tmp_path: Path, isolated: bool) -> None:
    folder = written(tmp_path, step=READS["file"])
    with pytest.raises(ReplayMismatch, match=r"the engine 'a'.* answered otherwise"):
        read_again(folder, {"Isolated": isolated}, lambda file: None)


def test_functions_that_answer_otherwise_when_replayed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayMismatch, match=r"the functions.* answered otherwise"):
        read_again(written(tmp_path, row=READS["file"]), {}, lambda file: None)


def test_an_engine_that_starts_otherwise_when_replayed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayMismatch, match=r"the engine 'a'.* answered otherwise"):
        read_again(written(tmp_path, start=READS["file"]), {}, lambda file: None)


def test_an_engine_that_fails_when_replayed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayMismatch, match=r"the engine 'a'.* it failed: .*FileNotFoundError"):
        read_again(written(tmp_path, step=READS["file"]), {}, lambda file: file.unlink())


def test_an_engine_that_answers_the_same_when_replayed_goes_on(tmp_path: Path) -> None:
    same = READS["nothing else"]
    again = read_again(written(tmp_path, step=same, row=same), {}, lambda file: None)
    assert again.time == Fraction(5, 100)


@pytest.mark.parametrize("isolated", [False, True])
def test_tuples_and_numpy_scalars_in_data_packs_and_variables_are_saved_not_replayed(
    tmp_path: Path, isolated: bool
) -> None:
    """Each step reads its clock: given its inputs again, a part would answer otherwise."""
    keeps = """
last, day = (0, [np.float16(0.1)], {"k": np.int8(1)}), np.datetime64("2026-01-01", "D")
def advance():
    global last, day
    assert type(last) is tuple and type(last[2]["k"]) is np.int8 and type(day) is np.datetime64
    day += 1
    last = (time.monotonic_ns(), [np.float32(last[0]), (np.bool_(1), np.str_("x"))], {"k": last[2]["k"] + 1})
    return {"x": (last[0], last[1][0]), "y": np.float64(0.5)}
"""
    write(
        tmp_path,
        a__py=HEAD
        + "import time\nimport numpy as np\n"
        + keeps
        + """
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("said")
        self._registerDataPack("heard")
        self._setDataPack("said", (0, np.float64(0.5)))
    def runLoop(self, timestep_ns):
        said, heard = self._getDataPack("said"), self._getDataPack("heard")
        assert type(said) in (tuple, dict) and type(heard["x"]) is list
        self.limits = (np.float32(0.1), (1, [2]))
        self._setDataPack("said", advance() | {"limits": (self.limits[0], heard["x"][1])})
""",
        f__py="from nrp_core import *\nfrom nrp_core.data.nrp_json import *\n"
        + "import time\nimport numpy as np\n"
        + keeps
        + """
@EngineDataPack(keyword="p", id=DataPackIdentifier("said", "a"))
@TransceiverFunction("a")
def answer(p):
    return [JsonDataPack("heard", "a", {"x": (np.float64(1.5), np.int64(2)), "p": p.data})]
@StatusFunction()
def status():
    row = JsonRawData()
    row.data = advance()
    return False, [row]
""",
    )
    config = {
        "EngineConfigs": [script_engine("a", Isolated=isolated)],
        "DataPackProcessingFunctions": [{"Name": "f", "FileName": "f.py"}],
        "StatusFunction": {"Name": "s", "FileName": "f.py"},
    }
    made = started(tmp_path, config)
    record(made, 3)
    made.snapshot()
    record(made, 2)
    state: Any = decode(encode(dict(made.snapshot())))
    assert replayed(made) == {}
    made.close()
    again = started(tmp_path, config)
    again.restore(state)
    assert encode(dict(again.snapshot())) == encode(state)
    record(again, 2)
    assert replayed(again) == {}
    again.close()


def test_packs_in_flight_are_part_of_the_state(tmp_path: Path) -> None:
    drawn = {
        "kinds": {"a": "plain", "b": "plain"},
        "steps": {"a": 0.01, "b": 0.04},
        "links": [("a", "b")],
        "keeps": False,
    }
    config = build(tmp_path, drawn)

    def make(resumed: bool) -> bytes:
        made = started(tmp_path, config)
        record(made, 1)
        made.set_datapack("heard", "b", {"x": 1000.0})
        if resumed:
            state = decode(encode(dict(made.snapshot())))
            made.close()
            made = started(tmp_path, config)
            made.restore(state)
        answer = record(made, 8)
        made.close()
        return answer

    assert make(True) == make(False)


def test_the_state_does_not_grow_with_the_steps_but_for_samples_up_to_their_limit() -> None:
    folder = EXAMPLES / "pendulum"
    configuration = load(folder, "simulation_config.json", engine_kinds())
    made = CoSimulation(configuration, folder, 8)
    made.initialize()
    sizes, sampled = [], []
    for _ in range(4):
        record(made, 100)
        state = dict(made.snapshot())
        sampled.append(len(encode(state.pop(SAMPLES))))
        sizes.append(len(encode(state)))
    made.close()
    assert max(sizes) - min(sizes) < 200
    assert max(sampled) < 8 * MAX_VALUES + 1_000  # bytes of the numbers, and names
