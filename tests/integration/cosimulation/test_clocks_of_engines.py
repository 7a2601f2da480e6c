"""Clocks that engines and functions read, and what impure functions answer: noted, and answered again."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.support.cosimulated import Killed, MemoryKeeper
from tests.support.experiments import HEAD, replayed, script_engine, started, write

from perdure.drivers.experiments.configuration import read
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.journal import Journal, readings, trajectory
from perdure.drivers.experiments.plan import Past, Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds
from perdure.errors import ImpureFunction
from perdure.state.codec import decode, encode, pack

READS = {
    "time": "time.time()",
    "perf_counter": "time.perf_counter()",
    "monotonic": "time.monotonic_ns()",
    "process time": "time.process_time()",
    "imported by name": "perf_counter()",
    "kept": "kept()",
    "datetime": "datetime.datetime.now().isoformat()",
    "datetime by name": "moment.utcnow().timestamp()",
    "date": "str(datetime.date.today())",
    "strftime": "time.strftime('%H:%M:%S')",
    "timeit": "timeit.default_timer()",
    "uuid1": "str(uuid.uuid1())",
    "imported late": "__import__('time').monotonic_ns()",
    "polled": "[time.time() for _ in range(3000)][-1]",
    "several": "[time.time(), time.monotonic(), time.time(), str(datetime.datetime.now())]",
}
IMPORTS = """
import datetime, time, timeit, uuid
from datetime import datetime as moment
from time import perf_counter
kept = time.monotonic
loaded = time.monotonic_ns()
"""
ENGINE = (
    HEAD
    + IMPORTS
    + """
class Script(EngineScript):
    def initialize(self):
        self.kept = STUBBORN
        self.start = time.monotonic_ns()
        self.n = 0
        self._registerDataPack("said")
        self._setDataPack("said", [self.start, loaded, READ])
    def runLoop(self, timestep_ns):
        self.n += 1
        if self.n % 3:
            self._setDataPack("said", [self.start, loaded, READ])
"""
)
STATUS = (
    """
from nrp_core import *
from nrp_core.data.nrp_json import *
"""
    + IMPORTS
    + """
stubborn = STUBBORN
@EngineDataPack(keyword="said", id=DataPackIdentifier("said", "a"))
@StatusFunction()
def status(said):
    row = JsonRawData()
    row.data = [loaded, READ, said.data]
    return False, [row]
"""
)


def experiment(folder: Path, read: str, stubborn: bool, isolated: bool = False) -> dict[str, Any]:
    kept = "object()" if stubborn else "1.0"
    files = {name: text.replace("STUBBORN", kept).replace("READ", read) for name, text in SOURCES.items()}
    write(folder, **files)
    return {
        "EngineConfigs": [script_engine("a", Isolated=isolated)],
        "StatusFunction": {"Name": "s", "FileName": "status.py"},
    }


SOURCES = {"a__py": ENGINE, "status__py": STATUS}


@pytest.mark.parametrize("what", READS)
def test_what_reads_a_clock_is_saved(tmp_path: Path, what: str) -> None:
    made = started(tmp_path, experiment(tmp_path, READS[what], stubborn=False))
    for _ in range(2):
        made.snapshot()
        made.step()
    made.snapshot()
    assert replayed(made) == {}
    made.close()


@pytest.mark.parametrize(
    ("what", "isolated"), [*((what, False) for what in READS), ("several", True), ("polled", True)]
)
def test_what_is_replayed_reads_again_what_it_had_read(tmp_path: Path, what: str, isolated: bool) -> None:
    config = experiment(tmp_path, READS[what], stubborn=True, isolated=isolated)
    made = started(tmp_path, config)
    states: list[Any] = []
    for _ in range(3):
        for _ in range(2):
            made.step()
        states.append(decode(encode(dict(made.snapshot()))))
    assert set(replayed(made)) == {"engine/a", "functions"}
    made.close()
    for state in states:
        again = started(tmp_path, config, entities=state)  # raises if it answered otherwise
        assert encode(dict(again.snapshot())) == encode(state)
        again.step()
        once_more: Any = decode(encode(dict(again.snapshot())))
        again.close()
        started(tmp_path, config, entities=once_more).close()


def test_a_replayed_engine_does_not_sleep_again(tmp_path: Path) -> None:
    sleeping = "[time.sleep(0.4), time.monotonic()][1]"
    config = experiment(tmp_path, sleeping, stubborn=True)
    made = started(tmp_path, config)
    made.step()
    state: Any = decode(encode(dict(made.snapshot())))
    made.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: pytest.fail("it slept"))
        again = started(tmp_path, config, entities=state)
    again.close()


def test_other_threads_of_an_engine_read_the_real_clocks(tmp_path: Path) -> None:
    threaded = "[threading.Thread(target=time.time).start(), 1][1]"
    config = experiment(tmp_path, threaded.replace("threading", "__import__('threading')"), stubborn=False)
    made = started(tmp_path, config)
    made.step()
    read: Any = made.readings()
    assert read is None
    made.close()


def simulate(
    folder: Path, config: dict[str, Any], keeper: MemoryKeeper, past: Past | None, every: int = 2
) -> None:
    plan = Plan(sim_id=1, script=None, seed=1, timeout=Fraction(12, 100), every=Fraction(every, 100))
    configuration = read(config, engine_kinds(), folder=folder)
    cosimulation = CoSimulation(configuration, folder, 1)
    Simulation(plan, cosimulation, keeper, folder, past, clock=lambda: 0.0, period=3600).run()


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("isolated", [False, True])
def test_steps_after_an_older_savepoint_read_the_clocks_of_the_journal(
    tmp_path: Path, stubborn: bool, isolated: bool
) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
        config = experiment(tmp_path / name, READS["several"], stubborn, isolated)
    goes_on_with_what_was_journalled(tmp_path, config)


NAMES = ("first", "second", "third")


def goes_on_with_what_was_journalled(tmp_path: Path, config: dict[str, Any]) -> None:
    keeper = MemoryKeeper()

    def die(asked: int) -> None:
        if asked == 10:
            raise Killed

    keeper.on_control = die
    with pytest.raises(Killed):
        simulate(tmp_path / "first", config, keeper, None)
    assert [it.timestamp // 10**7 for it in keeper.order] == [0, 2, 4, 6, 8]
    before = list(trajectory(keeper.steps))
    # The newer ones are passed over, as damaged ones are: the steps after it are compared with the journal.
    keeper.on_control = lambda asked: None
    older = keeper.order[1]
    simulate(tmp_path / "second", config, keeper, keeper.past(older))
    rows = list(trajectory(keeper.steps))
    assert rows[: len(before)] == before and len(rows) == 12
    # And what was journalled since leads on, from any savepoint.
    simulate(tmp_path / "third", config, keeper, keeper.past(keeper.order[-3]))
    assert list(trajectory(keeper.steps)) == rows


IMPURE = """
import random, time
from perdure.engines.system_dynamics import Model

class Count:
    n = 0

def draw(model, t, scale):
    Count.n += 1
    return random.SystemRandom().random() * scale + Count.n

model = Model(starttime=0.0, stoptime=100.0, dt=0.01, name="noisy")
level, noise, seen = model.stock("level"), model.converter("noise"), model.converter("seen")
level.initial_value = model.function("begin", lambda model, t: time.time(), impure=IMPURE)()
noise.equation = model.function("draw", draw, impure=IMPURE)(2.0)
seen.equation = model.function("now", lambda model, t: time.perf_counter(), impure=IMPURE)()
level.equation = noise - level * 0.1
"""
NOISY_STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import *
@EngineDataPack(keyword="level", id=DataPackIdentifier("level", "a"))
@EngineDataPack(keyword="seen", id=DataPackIdentifier("seen", "a"))
@StatusFunction()
def status(level, seen):
    row = JsonRawData()
    row.data = [level.data, seen.data]
    return False, [row]
"""


def noisy(folder: Path, isolated: bool, impure: bool = True) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    write(folder, noisy__py=IMPURE.replace("IMPURE", str(impure)), status__py=NOISY_STATUS)
    engine = {"EngineName": "a", "EngineType": "system_dynamics", "ModelFileName": "noisy.py"}
    return {
        "EngineConfigs": [{**engine, "EngineTimestep": 0.01, "Isolated": isolated}],
        "StatusFunction": {"Name": "s", "FileName": "status.py"},
    }


@pytest.mark.parametrize("isolated", [False, True])
def test_what_impure_functions_of_a_model_answered_is_journalled(tmp_path: Path, isolated: bool) -> None:
    for name in NAMES:
        config = noisy(tmp_path / name, isolated)
    goes_on_with_what_was_journalled(tmp_path, config)


def test_a_models_impure_function_that_is_not_declared_is_refused_in_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(ImpureFunction, match="impure=True"):
        started(tmp_path, noisy(tmp_path, isolated=False, impure=False))


READS_MUCH = "[time.time_ns() for _ in range(500)][-1]"


@pytest.mark.parametrize("isolated", [False, True])
def test_readings_of_engines_fill_a_page_of_the_journal_as_the_scripts_do(
    tmp_path: Path, isolated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.drivers.experiments.tape.Journal", lambda: Journal(most_bytes=20_000))
    keeper = MemoryKeeper()
    folder = tmp_path / "first"
    folder.mkdir()
    config = experiment(folder, READS_MUCH, False, isolated)
    config["StatusFunction"] = None
    simulate(folder, {key: value for key, value in config.items() if value}, keeper, None, every=100)
    # Two of three steps read 500 times, in 20 bytes and more each time.
    assert len(keeper.order) >= 4
    assert max(len(pack([*readings([step])])) for step in keeper.steps) < 3 * 20_000
