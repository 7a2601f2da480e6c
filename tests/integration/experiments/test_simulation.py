"""A simulation from beginning to end: time-outs, pauses, stops, errors, savepoints, forks."""

import itertools
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import cosimulated
from tests.support.cosimulated import MILLISECOND, STEP, Killed, MemoryKeeper, SmallCoSimulation, contents
from tests.support.scripted import attempt, folder_of, plan_of

from perdure.drivers.experiments.journal import RUN_LOOP, records, trajectory
from perdure.drivers.experiments.keeper import Control
from perdure.drivers.experiments.plan import Ending, EndState, Past
from perdure.drivers.experiments.saved_files import SavedFiles
from perdure.drivers.experiments.script_position import POSITION, ScriptPosition, restarted
from perdure.drivers.experiments.simulation import Simulation
from perdure.errors import EngineCrashed, FileLost, HashSeedChanged, ReplayMismatch, ScriptFailed
from perdure.state.codec import encode, pack
from perdure.times import NANOSECOND

LOOP = """
try:
    while True:
        nrp.run_loop({n})
except NRPSimulationTimeout:
    file_logger.info("time is up at %s", nrp.simulation_time)
"""


def run(
    tmp_path: Path, script: str | None, keeper: MemoryKeeper | None = None, **given: Any
) -> tuple[Ending, SmallCoSimulation, MemoryKeeper, Path]:
    keeper = keeper or MemoryKeeper()
    folder = folder_of(tmp_path, script, len(list(tmp_path.iterdir())))
    engine = {name: given.pop(name) for name in ("done_at", "fails_at", "quiet") if name in given}
    savepoint = given.pop("savepoint", None)
    ending, cosimulation = attempt(keeper, plan_of(script, **given), folder, savepoint, **engine)
    return ending, cosimulation, keeper, folder


def at_step(step: int, do: Callable[[], None]) -> Callable[[int], None]:
    """Return a hook that does something when the step after `step` steps is asked for.

    It is asked once before the script begins.
    """
    return lambda asked: do() if asked == step + 2 else None


# Time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "n"), [(5, 2), (6, 2), (7, 10), (1, 1), (3, 1)])
def test_no_step_is_lost_to_a_timeout(tmp_path: Path, steps: int, n: int) -> None:
    ending, cosimulation, _, folder = run(tmp_path, LOOP.format(n=n), steps=steps)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.steps_taken == steps
    assert contents(folder)["main_script_3.log"].decode() == f"time is up at {steps / 1000}\n"


def test_an_uncaught_timeout_completes(tmp_path: Path) -> None:
    ending, cosimulation, _, _ = run(tmp_path, "while True: nrp.run_loop(3)", steps=8)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.steps_taken == 8


def test_without_a_script_it_runs_to_the_timeout(tmp_path: Path) -> None:
    ending, cosimulation, _, _ = run(tmp_path, None, steps=2345, quiet=True, every=1000)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.steps_taken == 2345
    assert cosimulation.closed


def test_without_a_script_it_runs_until_the_status_function_says_done(tmp_path: Path) -> None:
    ending, cosimulation, keeper, _ = run(tmp_path, None, done_at=17)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.steps_taken == 17
    assert [row[0] for row in trajectory(keeper.steps)] == [step for step in range(1, 18) if step % 3]


def test_a_script_is_told_that_the_simulation_is_done_and_then_that_its_time_is_up(tmp_path: Path) -> None:
    script = """
done, rows = nrp.run_loop(10)
file_logger.info("%s %s", done, [row[0] for row in rows])
nrp.run_loop()
"""
    ending, cosimulation, keeper, _ = run(tmp_path, script, done_at=4)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.steps_taken == 4
    assert keeper.lines == [("info", "True [1, 2, 4]")]


def test_a_script_may_read_the_times(tmp_path: Path) -> None:
    script = """
nrp.run_loop(3)
file_logger.info("%s", (nrp.simulation_time, nrp.simulation_time_remaining, nrp.max_timesteps, nrp.sim_id))
file_logger.info("%s", nrp.real_time)
"""
    _, _, keeper, _ = run(tmp_path, script, steps=10)
    assert [text for _, text in keeper.lines] == ["(0.003, 0.007, 10, 3)", "0.0"]


def test_a_script_without_a_timeout_has_endless_time(tmp_path: Path) -> None:
    script = "file_logger.info('%s %s', nrp.simulation_time_remaining, nrp.max_timesteps)"
    _, _, keeper, _ = run(tmp_path, script)
    assert keeper.lines == [("info", "inf 0")]


@pytest.mark.parametrize("name", ["initialize", "reset", "stop", "shutdown"])
def test_what_a_script_may_not_do_says_so(tmp_path: Path, name: str) -> None:
    ending, *_ = run(tmp_path, f"nrp.{name}()")
    assert ending.error is not None
    assert ending.error.type == "NotImplementedError"
    assert ending.error.message.startswith(f"{name}() is not available: ")


@pytest.mark.parametrize("given", ["0", "-1", "1.0", "True", "'1'"])
def test_a_number_of_steps_is_a_positive_integer(tmp_path: Path, given: str) -> None:
    ending, cosimulation, _, _ = run(tmp_path, f"nrp.run_loop({given})")
    assert ending.error is not None
    assert ending.error.type == "ValueError"
    assert cosimulation.steps_taken == 0


def test_data_packs_are_sent_with_the_first_step(tmp_path: Path) -> None:
    def total(script: str) -> float:
        _, _, keeper, _ = run(tmp_path, script)
        return float(list(trajectory(keeper.steps))[-1][1])

    plain = total("nrp.run_loop(4)")
    pack = {"engine_name": "engine", "datapack_name": "push", "data": {"x": 100.0}}
    assert total("nrp.set_json_datapack('push', 'engine', {'x': 100.0}); nrp.run_loop(4)") == pytest.approx(
        plain + 100
    )
    assert total(f"nrp.run_loop(4, [{pack!r}])") == pytest.approx(plain + 100)
    assert total(f"import json; nrp.run_loop(4, json.dumps([{pack!r}]))") == pytest.approx(plain + 100)


@pytest.mark.parametrize("packs", ["{}", "[1]", "[{'engine_name': 'engine'}]", "'\"text\"'"])
def test_data_packs_of_another_form_are_refused(tmp_path: Path, packs: str) -> None:
    ending, *_ = run(tmp_path, f"nrp.run_loop(1, {packs})")
    assert ending.error is not None
    assert ending.error.message.startswith("json_data is a list of")


# Errors -----------------------------------------------------------------------------------------------------


def test_a_script_that_raises_fails_with_file_and_line(tmp_path: Path) -> None:
    ending, _, keeper, _ = run(tmp_path, "nrp.run_loop(3)\n\nraise KeyError('no such thing')\n")
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert ending.error.in_words == "KeyError: 'no such thing' (main_script.py, line 3)"
    assert ending.error.text == "raise KeyError('no such thing')"
    assert [row[0] for row in trajectory(keeper.steps)] == [1, 2]


def test_an_error_in_a_module_of_the_script_is_found_there(tmp_path: Path) -> None:
    ending, *_ = run(tmp_path, "import helper\nhelper.stamp(1)\n")
    assert ending.error is not None
    assert (ending.error.file, ending.error.line) == ("main_script.py", 2)


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    ending, cosimulation, _, _ = run(tmp_path, "x = 1\nif x\n    pass\n")
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert (ending.error.type, ending.error.file, ending.error.line) == ("SyntaxError", "main_script.py", 2)
    assert ending.error.text == "if x"
    assert cosimulation.closed


def test_a_missing_script_fails(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, None)
    ending, _ = attempt(MemoryKeeper(), plan_of("gone"), folder)
    assert ending.error is not None
    assert ending.error.type == "FileNotFoundError"


@pytest.mark.parametrize(
    ("code", "how"),
    [("", EndState.COMPLETED), ("0", EndState.COMPLETED), ("3", EndState.FAILED), ("'no'", EndState.FAILED)],
)
def test_a_script_may_exit(tmp_path: Path, code: str, how: EndState) -> None:
    ending, *_ = run(tmp_path, f"import sys\nnrp.run_loop()\nsys.exit({code})")
    assert ending.how is how
    if how is EndState.FAILED:
        assert ending.error is not None
        assert ending.error.line == 3


def test_any_other_base_exception_fails_the_run(tmp_path: Path) -> None:
    ending, *_ = run(tmp_path, "class Mine(BaseException): pass\nraise Mine('odd')")
    assert ending.error is not None
    assert ending.error.in_words == "Mine: odd (main_script.py, line 2)"


@pytest.mark.parametrize(
    "script",
    [
        "nrp.run_loop(9)",
        "try:\n    nrp.run_loop(9)\nexcept ZeroDivisionError:\n    file_logger.error('seen')",
        "while True:\n  try:\n    nrp.run_loop(9)\n  except Exception:\n    file_logger.error('seen')",
    ],
)
def test_an_engine_that_fails_fails_the_run_whatever_the_script_does_with_the_error(
    tmp_path: Path, script: str
) -> None:
    ending, cosimulation, keeper, _ = run(tmp_path, script, fails_at=6)
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert ending.error.in_words.startswith("ZeroDivisionError: the engine divides by zero")
    assert keeper.lines == ([("error", "seen")] if "except" in script else [])
    assert keeper.order[-1].timestamp == 5 * MILLISECOND
    assert cosimulation.closed


def test_an_engine_that_cannot_start_fails_the_run(tmp_path: Path) -> None:
    class Broken(SmallCoSimulation):
        def initialize(self, entities: Any = None) -> None:
            raise OSError("no such simulator")

    folder = folder_of(tmp_path, None)
    ending = Simulation(plan_of(None), Broken(folder), MemoryKeeper(), folder).run()
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert ending.error.in_words == "OSError: no such simulator"


def test_what_an_engine_says_of_its_own_script_is_told(tmp_path: Path) -> None:
    class Wrong(SmallCoSimulation):
        def step(self) -> None:
            raise ScriptFailed(
                what="The engine 'a'",
                doing="in `runLoop`",
                at=", at a.py, line 7",
                file="a.py",
                line=7,
                kind="KeyError",
                reason="'x'",
            )

    folder = folder_of(tmp_path, None)
    ending = Simulation(plan_of(None), Wrong(folder), MemoryKeeper(), folder).run()
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert ending.error.in_words == "KeyError: 'x' (a.py, line 7)"


def test_a_lost_engine_is_raised_since_another_attempt_may_get_on(tmp_path: Path) -> None:
    class Lost(SmallCoSimulation):
        def step(self) -> None:
            raise EngineCrashed(engine="a", reason="killed")

    folder = folder_of(tmp_path, None)
    cosimulation = Lost(folder)
    with pytest.raises(EngineCrashed):
        Simulation(plan_of(None), cosimulation, MemoryKeeper(), folder).run()
    assert cosimulation.closed


def test_an_engine_that_cannot_be_shut_down_fails_a_completed_run(tmp_path: Path) -> None:
    class Stuck(SmallCoSimulation):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError("stuck")

    folder = folder_of(tmp_path, None)
    ending = Simulation(plan_of(None, steps=3), Stuck(folder), MemoryKeeper(), folder).run()
    assert ending.how is EndState.FAILED
    assert ending.error is not None
    assert ending.error.in_words == "OSError: stuck"


def test_a_store_that_fails_ends_the_run_though_the_script_swallows_everything(tmp_path: Path) -> None:
    keeper = MemoryKeeper()

    def fail(number: int) -> None:
        if number == 2:
            raise OSError("the disk is full")

    keeper.before_append = fail
    script = "while True:\n    try:\n        nrp.run_loop(2)\n    except Exception:\n        pass\n"
    with pytest.raises(OSError, match="the disk is full"):
        run(tmp_path, script, keeper)


# Pause and stop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(13))
def test_a_pause_acts_between_any_two_steps_and_saves(tmp_path: Path, step: int) -> None:
    keeper = MemoryKeeper()
    held: list[tuple[Any, ...]] = []
    hold = keeper.hold

    def hold_and_look() -> None:
        held.append((keeper.reports[-1]["steps"], len(keeper.reports), keeper.order[-1].timestamp))
        hold()

    keeper.hold = hold_and_look  # type: ignore[method-assign]
    keeper.on_control = at_step(step, lambda: setattr(keeper, "desired", Control.PAUSED))
    _, cosimulation, _, _ = run(tmp_path, "nrp.run_loop(13)", keeper)
    assert held == [(step, 1, step * MILLISECOND)]
    assert cosimulation.steps_taken == 13
    assert [report["steps"] for report in keeper.reports] == [step, step, 13]
    assert [row[0] for row in trajectory(keeper.steps)] == [step for step in range(1, 14) if step % 3]


@pytest.mark.parametrize("step", range(13))
@pytest.mark.parametrize("control", [Control.STOPPING, Control.PREEMPTED])
@pytest.mark.parametrize(
    "script", ["nrp.run_loop(13)", "try:\n    nrp.run_loop(13)\nexcept Exception:\n    pass"]
)
def test_a_stop_and_the_end_of_a_worker_act_between_any_two_steps_and_save(
    tmp_path: Path, step: int, control: Control, script: str
) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(step, lambda: setattr(keeper, "desired", control))
    ending, cosimulation, _, _ = run(tmp_path, script + "\nfile_logger.info('not stopped')", keeper)
    assert ending == Ending(how=EndState.STOPPED)
    assert cosimulation.steps_taken == step
    assert keeper.order[-1].timestamp == step * MILLISECOND
    assert keeper.lines == []


def test_a_stop_that_a_script_swallows_meets_it_again_at_the_next_call(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(4, lambda: setattr(keeper, "desired", Control.STOPPING))
    script = """
import time
for _ in range(3):
    try:
        nrp.run_loop(10)
    except:
        file_logger.info("swallowed at %s", time.time() > 0)
"""
    ending, cosimulation, _, _ = run(tmp_path, script, keeper)
    assert ending == Ending(how=EndState.STOPPED)
    assert cosimulation.steps_taken == 4


def test_a_stopped_script_may_clean_up(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(4, lambda: setattr(keeper, "desired", Control.STOPPING))
    script = "try:\n    nrp.run_loop(10)\nfinally:\n    file_logger.info('cleaned up')"
    run(tmp_path, script, keeper)
    assert keeper.lines == [("info", "cleaned up")]


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(4, lambda: setattr(keeper, "desired", Control.PAUSED))
    keeper.hold = lambda: setattr(keeper, "desired", Control.STOPPING)  # type: ignore[method-assign]
    ending, cosimulation, _, _ = run(tmp_path, "nrp.run_loop(10)", keeper)
    assert ending == Ending(how=EndState.STOPPED)
    assert cosimulation.steps_taken == 4


def test_a_sleeping_script_obeys(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(2, lambda: setattr(keeper, "desired", Control.STOPPING))
    ending, *_ = run(tmp_path, "import time\nnrp.run_loop(2)\ntime.sleep(1e6)", keeper)
    assert ending == Ending(how=EndState.STOPPED)


def test_a_replay_is_broken_off_at_once_when_the_worker_ends(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(9, lambda: setattr(keeper, "desired", Control.PREEMPTED))
    run(tmp_path, LOOP.format(n=3), keeper, steps=20)
    saved = len(keeper.order)
    keeper.desired = Control.RUNNING
    keeper.on_control = lambda asked: None
    replayed = keeper.asked + 2  # its second question: the first is before the script begins

    def preempt(asked: int) -> None:
        if asked == replayed:
            keeper.desired = Control.PREEMPTED

    keeper.on_control = preempt
    ending, cosimulation, _, _ = run(tmp_path, LOOP.format(n=3), keeper, steps=20)
    assert (ending, cosimulation.steps_taken) == (Ending(how=EndState.STOPPED), 0)
    assert (len(keeper.order), keeper.arrivals) == (saved, 0)


def test_a_stopped_run_goes_on_from_where_it_stopped_when_forked(tmp_path: Path) -> None:
    whole = run(tmp_path, LOOP.format(n=7), steps=20)
    keeper = MemoryKeeper()
    keeper.on_control = at_step(9, lambda: setattr(keeper, "desired", Control.STOPPING))
    run(tmp_path, LOOP.format(n=7), keeper, steps=20)
    keeper.desired = Control.RUNNING
    keeper.on_control = lambda asked: None
    ending, cosimulation, _, folder = run(tmp_path, LOOP.format(n=7), keeper, steps=20)
    assert ending == whole[0]
    assert cosimulation.steps_taken == 11
    assert contents(folder) == contents(whole[3])
    assert list(trajectory(keeper.steps)) == list(trajectory(whole[2].steps))


# Savepoints -------------------------------------------------------------------------------------------------


def test_savepoints_lie_on_the_grid_and_at_both_ends(tmp_path: Path) -> None:
    _, _, keeper, _ = run(tmp_path, LOOP.format(n=4), steps=23, every=5)
    assert [savepoint.timestamp // MILLISECOND for savepoint in keeper.order] == [0, 5, 10, 15, 20, 23]
    assert [savepoint.position for savepoint in keeper.order] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("n", [1, 3, 5, 100])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_the_pages_before_a_savepoint_hold_exactly_the_steps_up_to_it(
    tmp_path: Path, n: int, every: int
) -> None:
    keeper = MemoryKeeper()
    keeper.on_control = at_step(7, lambda: setattr(keeper, "desired", Control.PAUSED))
    run(tmp_path, LOOP.format(n=n), keeper, steps=13, every=every)
    assert {savepoint.timestamp for savepoint in keeper.order} >= {7 * MILLISECOND, 13 * MILLISECOND}
    for savepoint in keeper.order:
        before = records(keeper.steps[: savepoint.position])
        steps = [record.answer.steps for record in before if record.name == RUN_LOOP]
        assert sum(steps) * MILLISECOND == savepoint.timestamp


def test_each_savepoint_says_how_many_are_kept(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, None)
    keeper = MemoryKeeper()
    plan = msgspec.structs.replace(plan_of(None, steps=9, every=2), keep=7)
    Simulation(plan, SmallCoSimulation(folder), keeper, folder).run()
    assert {savepoint.keep for savepoint in keeper.order} == {7}


def test_the_distance_of_savepoints_is_a_multiple_of_the_timestep(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, None)
    keeper = MemoryKeeper()
    plan = plan_of(None, steps=9)
    plan = type(plan)(sim_id=1, script=None, seed=1, timeout=plan.timeout, every=2 * STEP + NANOSECOND)
    Simulation(plan, SmallCoSimulation(folder), keeper, folder).run()
    assert [timestamp // MILLISECOND for timestamp in keeper.savepoints] == [0, 3, 6, 9]


def test_the_distance_is_measured_once_and_then_kept(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    plan = plan_of(LOOP.format(n=3), steps=99, every=None)

    def simulate(folder: Path, seconds_a_step: float, past: Past | None) -> None:
        cosimulation = SmallCoSimulation(folder)
        clock = lambda: cosimulation.time_ns / MILLISECOND * seconds_a_step  # noqa: E731
        Simulation(plan, cosimulation, keeper, folder, past, clock=clock).run()

    def die(asked: int) -> None:
        if asked == 61:
            raise Killed

    keeper.on_control = die
    with pytest.raises(Killed):
        simulate(folder_of(tmp_path, LOOP.format(n=3), 0), 1 / 16, None)
    # The first when a fifth of a second was spent in steps, and then five times as far apart.
    assert [savepoint.timestamp // MILLISECOND for savepoint in keeper.order] == [0, 4, 20, 40]
    keeper.on_control = lambda asked: None
    simulate(folder_of(tmp_path, LOOP.format(n=3), 1), 1 / 8, keeper.past())
    assert [savepoint.timestamp // MILLISECOND for savepoint in keeper.order[4:]] == [42, 60, 80, 99]


def test_a_plain_loop_costs_one_record_a_savepoint(tmp_path: Path) -> None:
    _, _, keeper, _ = run(tmp_path, "for _ in range(1000): nrp.run_loop()", every=500, quiet=True)
    assert len(keeper.steps) == 3
    assert sum(len(step.inputs or b"") + len(step.outputs) for step in keeper.steps) < 250
    assert len(list(records(keeper.steps))) == 1002  # two of the calls are cut after their only step


def test_reports_tell_how_far_it_is(tmp_path: Path) -> None:
    _, _, keeper, _ = run(tmp_path, "nrp.run_loop(15)", steps=20)
    assert keeper.reports[-1] == {
        "real_time": 0.0,
        "simulation_time": 0.015,
        "time_left": 0.005,
        "steps": 15,
        "max_steps": 20,
        "fraction": 0.75,
        "samples": pack(None),  # those of the co-simulation, which has none here
        "replaying": False,
        "parts": {"engine": {"kept": "saved", "reason": None}},
    }
    _, _, endless, _ = run(tmp_path, "nrp.run_loop(2)")
    known = {name: endless.reports[-1][name] for name in ("steps", "max_steps", "fraction", "time_left")}
    assert known == {"steps": 2, "max_steps": None, "fraction": None, "time_left": None}
    _, _, done, _ = run(tmp_path, None, steps=0)
    assert (done.reports[-1]["fraction"], done.reports[-1]["max_steps"]) == (1.0, 0)


def test_the_time_that_a_report_says_is_left_is_that_of_the_steps_that_are_left(tmp_path: Path) -> None:
    script = "nrp.run_loop(25)\nfile_logger.info(nrp.simulation_time_remaining)\n"
    plan = msgspec.structs.replace(plan_of(script), timeout=25 * STEP + STEP / 2)
    keeper, folder = MemoryKeeper(), folder_of(tmp_path, script)
    Simulation(plan, SmallCoSimulation(folder), keeper, folder).run()
    assert keeper.lines == [("info", "0.0")]
    known = {name: keeper.reports[-1][name] for name in ("steps", "max_steps", "fraction", "time_left")}
    assert known == {"steps": 25, "max_steps": 25, "fraction": 1.0, "time_left": 0.0}


# Going on ---------------------------------------------------------------------------------------------------


def broken_off(tmp_path: Path, script: str, step: int, **given: Any) -> MemoryKeeper:
    keeper = MemoryKeeper()

    def die() -> None:
        raise Killed

    keeper.on_control = at_step(step, die)
    with pytest.raises(Killed):
        run(tmp_path, script, keeper, **given)
    keeper.on_control = lambda asked: None
    return keeper


def test_a_script_is_answered_from_its_journal_without_steps(tmp_path: Path) -> None:
    keeper = broken_off(tmp_path, LOOP.format(n=2), 12)
    _, cosimulation, _, _ = run(tmp_path, LOOP.format(n=2), keeper, steps=20)
    assert cosimulation.steps_taken == 10  # from the savepoint at step 10


def test_what_a_script_logs_again_goes_into_its_log_only(tmp_path: Path) -> None:
    script = "for i in range(6):\n    file_logger.info('round %s', i)\n    nrp.run_loop(2)"
    keeper = broken_off(tmp_path, script, 10)
    assert [text for _, text in keeper.lines] == [
        "round 0",
        "round 1",
        "round 2",
        "round 3",
        "round 4",
        "round 5",
    ]
    assert keeper.arrivals == 0
    keeper.lines.clear()
    _, _, _, folder = run(tmp_path, script, keeper)
    # The newest savepoint is at step 10, before the fifth round's call was recorded as over.
    assert keeper.lines == [("info", "round 5")]
    assert keeper.arrivals == 1  # which drops what was printed again
    assert contents(folder)["main_script_3.log"].decode() == "".join(f"round {i}\n" for i in range(6))


def test_a_sleep_is_over_at_once_in_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("perdure.drivers.experiments.simulation.time.sleep", slept.append)
    clock = itertools.count()
    monkeypatch.setattr("perdure.drivers.experiments.simulation.time.monotonic", lambda: float(next(clock)))
    script = "import time\ntime.sleep(2)\nnrp.run_loop(5)\ntime.sleep(3)\nnrp.run_loop(5)\n"
    keeper = broken_off(tmp_path, script, 12)
    assert slept
    slept.clear()
    run(
        tmp_path,
        "import time\ntime.sleep(2)\nnrp.run_loop(5)\n",
        keeper,
        savepoint=keeper.order[1],
    )
    assert slept == []


def test_another_call_than_the_journals_is_named_with_its_line(tmp_path: Path) -> None:
    keeper = broken_off(tmp_path, "nrp.run_loop(2)\nnrp.run_loop(20)\n", 8)
    with pytest.raises(ReplayMismatch) as caught:
        run(tmp_path, "nrp.run_loop(2)\n\nnrp.run_loop(21)\n", keeper)
    assert "the script calls nrp.run_loop(21) at main_script.py:3, where it called nrp.run_loop(20)" in str(
        caught.value
    )
    assert "(call 2)" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time\ntime.time()\nnrp.run_loop(2)", "the script calls time.time() at main_script.py:2"),
        ("nrp.run_loop(2)", "the script ends, where it called nrp.run_loop(20)"),
        ("from helper import stamp\nstamp()", "the script calls time.monotonic_ns() at helper.py:5"),
    ],
)
def test_a_script_that_goes_another_way_is_refused(tmp_path: Path, script: str, said: str) -> None:
    keeper = broken_off(tmp_path, "nrp.run_loop(2)\nnrp.run_loop(20)\n", 8)
    with pytest.raises(ReplayMismatch) as caught:
        run(tmp_path, script, keeper)
    assert said in str(caught.value)


def test_a_mismatch_is_not_swallowed_by_the_script(tmp_path: Path) -> None:
    keeper = broken_off(tmp_path, "nrp.run_loop(20)\n", 8)
    with pytest.raises(ReplayMismatch):
        run(
            tmp_path,
            "while True:\n    try:\n        nrp.run_loop(3)\n    except Exception: pass",
            keeper,
        )


def test_a_script_that_goes_on_where_it_had_ended_is_refused(tmp_path: Path) -> None:
    _, _, keeper, _ = run(tmp_path, "nrp.run_loop(7)")
    with pytest.raises(ReplayMismatch, match="where it ended when its journal was written"):
        run(tmp_path, "nrp.run_loop(7)\nnrp.run_loop(1)", keeper)


def test_engines_that_answer_otherwise_after_an_older_savepoint_are_refused(tmp_path: Path) -> None:
    keeper = broken_off(tmp_path, LOOP.format(n=3), 17)
    keeper.steps[-1] = keeper.steps[0]  # what the journal holds of steps 11 to 15 is of steps 1 to 5
    script = LOOP.format(n=3)
    with pytest.raises(ReplayMismatch):
        run(tmp_path, script, keeper, savepoint=keeper.order[2])


def test_another_hash_seed_is_refused(tmp_path: Path) -> None:
    keeper = broken_off(tmp_path, LOOP.format(n=3), 8)
    newest = keeper.order[-1]
    place = ScriptPosition.read(newest)
    state: Any = place.to_state()
    entities = {**newest.entities, POSITION: encode({**state, "hash_sample": place.hash_sample ^ 1})}
    keeper.order[-1] = type(newest)(timestamp=newest.timestamp, position=newest.position, entities=entities)
    with pytest.raises(HashSeedChanged, match="PYTHONHASHSEED"):
        run(tmp_path, LOOP.format(n=3), keeper)


class Large(SmallCoSimulation):
    """Appends to a large file and writes another in its middle, and a third anew."""

    def initialize(self, entities: Any = None) -> None:
        super().initialize()
        (self.folder / "table.bin").write_bytes(random.Random(1).randbytes(300_000))

    def step(self) -> None:
        super().step()
        with (self.folder / "large.bin").open("ab") as file:
            file.write(random.Random(self.time_ns).randbytes(70_000))
        with (self.folder / "table.bin").open("r+b") as file:
            file.seek(150_000)
            file.write(b"%d" % self.time_ns)
        (self.folder / "weights.bin").write_bytes(random.Random(self.time_ns).randbytes(2_500_000))


@pytest.mark.parametrize("step", [7, 12, 19])
def test_large_files_are_put_back_as_they_were_though_the_folder_is_gone(tmp_path: Path, step: int) -> None:
    def simulate(keeper: MemoryKeeper, folder: Path) -> Path:
        Simulation(plan_of(None, steps=20), Large(folder), keeper, folder, keeper.past()).run()
        return folder

    whole = contents(simulate(MemoryKeeper(), folder_of(tmp_path, None, 0)))
    keeper = MemoryKeeper()

    def die() -> None:
        raise Killed

    keeper.on_control = at_step(step, die)
    with pytest.raises(Killed):
        simulate(keeper, first := folder_of(tmp_path, None, 1))
    shutil.rmtree(first)
    keeper.on_control = lambda asked: None
    assert contents(simulate(keeper, folder_of(tmp_path, None, 2))) == whole
    # A file that grows is stored once, one that is written anew as often as it is saved.
    weights = len(keeper.order) * 2_500_000
    assert keeper.blobs.written < weights + 20 * 70_000 + len(keeper.order) * 300_000


def test_a_file_that_is_too_large_for_a_savepoint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosimulated, "SavedFiles", partial(SavedFiles, limit=100_000))

    def simulate(keeper: MemoryKeeper, number: int) -> Path:
        folder = folder_of(tmp_path, None, number)
        Simulation(plan_of(None, steps=20), Large(folder), keeper, folder, keeper.past()).run()
        return folder

    keeper = MemoryKeeper()

    def die() -> None:
        raise Killed

    keeper.on_control = at_step(12, die)
    with pytest.raises(Killed):
        simulate(keeper, 0)
    keeper.on_control = lambda asked: None
    with pytest.raises(FileLost, match=r"large\.bin"):
        simulate(keeper, 1)


def test_a_large_file_that_the_script_writes_itself_needs_no_room_in_savepoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosimulated, "SavedFiles", partial(SavedFiles, limit=100_000))
    script = "with open('own.bin', 'wb') as file: file.write(bytes(range(256)) * 900)\n" + LOOP.format(n=3)
    keeper = broken_off(tmp_path, script, 12)
    _, _, _, folder = run(tmp_path, script, keeper, steps=20)
    assert contents(folder)["own.bin"] == bytes(range(256)) * 900


# Forks ------------------------------------------------------------------------------------------------------


def test_a_fork_with_another_script_starts_it_at_its_top_on_the_engines_as_they_were(tmp_path: Path) -> None:
    _, _, keeper, former = run(tmp_path, LOOP.format(n=3), steps=20)
    savepoint = keeper.order[2]  # at step 10
    forked = MemoryKeeper()
    forked.steps = keeper.steps[: savepoint.position]
    forked.order = [restarted(savepoint, "main_script_3.log")]
    forked.blobs = keeper.blobs
    other = (
        "import pathlib\nfile_logger.info('%s', nrp.simulation_time)\n"
        "file_logger.info(pathlib.Path('latest.txt').read_text()[:3])\n"
        "nrp.run_loop(4)\nnrp.run_loop(4)\n"
    )

    def die() -> None:
        raise Killed

    forked.on_control = at_step(7, die)
    with pytest.raises(Killed):
        run(tmp_path, other, forked)
    assert [savepoint.timestamp // MILLISECOND for savepoint in forked.order] == [10, 15]
    forked.on_control = lambda asked: None
    ending, cosimulation, _, folder = run(tmp_path, other, forked)
    assert ending == Ending(how=EndState.COMPLETED)
    assert cosimulation.time_ns == 18 * MILLISECOND
    assert contents(folder)["main_script_3.log"].decode() == "0.01\n10:\n"
    whole = contents(former)["engine.csv"].decode().splitlines(keepends=True)
    assert contents(folder)["engine.csv"].decode() == "".join(
        whole[:19]
    )  # the same engines: the same numbers


def test_a_fork_with_another_script_begins_a_log_of_its_own(
    tmp_path: Path,
) -> None:
    script = "file_logger.info('x' * 100_000)\n" + LOOP.format(n=3)
    _, _, keeper, _ = run(tmp_path, script, steps=20)
    savepoint = keeper.order[2]
    forked = MemoryKeeper()
    forked.steps = keeper.steps[: savepoint.position]
    # The name differs as that of another script would.
    forked.order = [restarted(savepoint, "main_script_5.log")]
    ending, _, _, folder = run(tmp_path, "file_logger.info('mine')\nnrp.run_loop(1)\n", forked, sim_id=5)
    assert ending == Ending(how=EndState.COMPLETED)
    assert contents(folder)["main_script_5.log"] == b"mine\n"
    assert "main_script_3.log" not in contents(folder)


def test_a_fork_with_the_same_script_knows_the_simulation_by_the_same_id(tmp_path: Path) -> None:
    script = "file_logger.info('begun %s', nrp.sim_id)\nnrp.run_loop(1 + nrp.sim_id)\n" + LOOP.format(n=3)
    _, _, keeper, _ = run(tmp_path, script, steps=20)
    forked = MemoryKeeper()
    savepoint = keeper.order[2]
    forked.steps, forked.order = keeper.steps[: savepoint.position], [savepoint]
    _, _, _, folder = run(tmp_path, script, forked, steps=12)
    assert contents(folder)["main_script_3.log"].decode() == "begun 3\ntime is up at 0.012\n"
    assert [row[0] for row in trajectory(forked.steps)] == [1, 2, 4, 5, 7, 8, 10, 11]
