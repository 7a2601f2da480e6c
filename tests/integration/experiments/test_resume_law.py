"""The law of experiments: broken off anywhere, any number of times, a run ends as if nothing had happened."""

import tempfile
import textwrap
from functools import partial
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support import former_journal
from tests.support.cosimulated import MemoryKeeper, contents
from tests.support.scripted import Break, attempt, folder_of, plan_of, until_it_ends

from perdure.drivers.experiments import tape
from perdure.drivers.experiments.journal import Journal, records, trajectory
from perdure.drivers.experiments.keeper import Control
from perdure.drivers.experiments.plan import Ending, EndState, Plan

# No sets are written out: compiled again in one process, as here, their order may be another one.
STATEMENTS = (
    "note(random.random())",
    "note(random.gauss(0, 1))",
    "note(random.Random().random())",
    "note(np.random.rand())",
    "note(np.random.normal())",
    "note(np.random.default_rng().integers(1000))",
    "note(uuid.uuid4())",
    "note(uuid.uuid1())",
    "note(os.urandom(5))",
    "note(secrets.token_hex(3))",
    "note(time.time())",
    "note(perf_counter())",
    "note(datetime.datetime.now())",
    "note(datetime.date.today())",
    "note(helper.stamp())",
    "note(nrp.real_time)",
    "note(nrp.simulation_time)",
    "note(nrp.simulation_time_remaining)",
    "time.sleep(0)",
    "[note(time.time()) for _ in range(9)]",
    "[(time.sleep(0), note(perf_counter()), note(uuid.uuid1())) for _ in range(5)]",
    "[safely(2) for _ in range(6)]",
    "file_logger.info('in round %s: %s', i, random.random())",
    "file_logger.debug(str(set('alpha beta gamma delta'.split())))",
    "[note(word) for word in set('north east south west'.split())]",
    "append('notes.txt', f'{i}\\n')",
    "Path('rewritten.json').write_text(json.dumps({'round': i, 'draw': random.random()}))",
    "nrp.set_json_datapack('push', 'engine', {'x': random.random()})",
    "run(1)",
    "run(1)",
    "run(2)",
    "run(3 + i)",
    "run(7)",
    "run(1, [{'engine_name': 'engine', 'datapack_name': 'push', 'data': {'x': 1.0}}])",
    "safely(4)",
)

HEAD = """
import datetime, json, os, random, secrets, time, uuid
from pathlib import Path
from time import perf_counter

import numpy as np

import helper

own = open("script.csv", "w")


def note(value):
    own.write(f"{value!r},")


def run(*given):
    done, rows = nrp.run_loop(*given)
    note((done, rows))
    rows.clear()


def append(name, text):
    with open(name, "a") as file:
        file.write(text)


def safely(count):
    try:
        run(count)
    except NRPSimulationTimeout as error:
        note(str(error))


file_logger.warning("begun with %s", random.random())
"""

ENDS = (
    "file_logger.info('the end')",
    "raise ValueError('ends badly')",
    "while True: run(2)",
    "try:\n    while True: run(3)\nexcept NRPSimulationTimeout: file_logger.info('time is up')",
    "raise SystemExit('no more')",
)


@st.composite
def scripts(draw: st.DrawFn) -> str:
    rounds = draw(st.integers(1, 4))
    statements = draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=10))
    body = textwrap.indent("\n".join(statements), "    ")
    return f"{HEAD}\nfor i in range({rounds}):\n{body}\n\n{draw(st.sampled_from(ENDS))}\n"


IN_A_CLOCK = (  # with pages of three calls it arrives in the reading of a clock
    f"{HEAD}\nfor i in range(2):\n    for _ in range(5):\n"
    "        time.sleep(0), note(perf_counter()), note(uuid.uuid1())\n    run(1)\n"
)

breaks = st.lists(
    st.tuples(st.sampled_from(["step", "before append", "after append"]), st.integers(0, 25)), max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=scripts(),
    breaks=breaks,
    older=st.lists(st.integers(0, 3), max_size=4),
    every=st.integers(1, 9),
    steps=st.integers(1, 40),
    page=st.sampled_from([1, 2, 3, 5, 10_000]),
)
@example(script=IN_A_CLOCK, breaks=[("before append", 7)], older=[], every=2, steps=1, page=3)
def test_a_run_broken_off_anywhere_ends_as_if_nothing_had_happened(
    script: str, breaks: list[Break], older: list[int], every: int, steps: int, page: int
) -> None:
    plan = plan_of(script, steps=steps, every=every)
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        mock.patch.object(tape, "Journal", partial(Journal, most_records=page)),
    ):
        undisturbed, disturbed = MemoryKeeper(), MemoryKeeper()
        ending, folder = until_it_ends(undisturbed, plan, Path(one), script)
        same_ending, last_folder = until_it_ends(disturbed, plan, Path(other), script, breaks, older)
        assert same_ending == ending
        assert list(trajectory(disturbed.steps)) == list(trajectory(undisturbed.steps))
        assert list(records(disturbed.steps)) == list(records(undisturbed.steps))
        assert contents(last_folder) == contents(folder)
        assert disturbed.steps == undisturbed.steps
        assert disturbed.order[-1] == undisturbed.order[-1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=scripts(),
    first=st.tuples(st.sampled_from(["step", "after append"]), st.integers(0, 25)),
    breaks=breaks,
    older=st.lists(st.integers(0, 3), max_size=4),
    every=st.integers(1, 9),
    steps=st.integers(1, 40),
    page=st.sampled_from([1, 3, 10_000]),
)
def test_a_run_whose_journal_is_of_the_former_form_goes_on_as_if_nothing_had_happened(
    script: str, first: Break, breaks: list[Break], older: list[int], every: int, steps: int, page: int
) -> None:
    plan = plan_of(script, steps=steps, every=every)
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        mock.patch.object(tape, "Journal", partial(Journal, most_records=page)),
    ):
        undisturbed, disturbed = MemoryKeeper(), MemoryKeeper()
        ending, folder = until_it_ends(undisturbed, plan, Path(one), script)
        breaks = [first, *breaks]
        same_ending, last_folder = until_it_ends(
            disturbed, plan, Path(other), script, breaks, older, former_journal.rewrite
        )
        assert same_ending == ending
        assert list(trajectory(disturbed.steps)) == list(trajectory(undisturbed.steps))
        assert list(records(disturbed.steps)) == list(records(undisturbed.steps))
        assert contents(last_folder) == contents(folder)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=scripts(),
    stops=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    control=st.sampled_from([Control.PAUSED, Control.STOPPING, Control.PREEMPTED]),
    every=st.integers(1, 9),
    steps=st.integers(1, 40),
    page=st.sampled_from([1, 2, 10_000]),
)
def test_a_run_paused_stopped_or_preempted_between_any_steps_ends_as_if_nothing_had_happened(
    script: str, stops: list[int], control: Control, every: int, steps: int, page: int
) -> None:
    plan = plan_of(script, steps=steps, every=every)
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        mock.patch.object(tape, "Journal", partial(Journal, most_records=page)),
    ):
        undisturbed, disturbed = MemoryKeeper(), MemoryKeeper()
        ending, folder = until_it_ends(undisturbed, plan, Path(one), script)
        if control is Control.PAUSED:
            desired = {disturbed.asked + stop + 1 for stop in stops}

            def pause(asked: int) -> None:
                if asked in desired:
                    disturbed.desired = Control.PAUSED

            disturbed.on_control = pause
            last_folder = folder_of(Path(other), script)
            same_ending, _ = attempt(disturbed, plan, last_folder)
        else:
            same_ending, last_folder = _stopped_again_and_again(
                disturbed, plan, Path(other), script, stops, control
            )
        assert same_ending == ending
        assert list(trajectory(disturbed.steps)) == list(trajectory(undisturbed.steps))
        assert contents(last_folder) == contents(folder)
        engine = [keeper.order[-1].entities["engine"] for keeper in (undisturbed, disturbed)]
        assert engine[0] == engine[1]


def _stopped_again_and_again(
    keeper: MemoryKeeper, plan: Plan, root: Path, script: str, stops: list[int], control: Control
) -> tuple[Ending, Path]:
    """Stop a run and go on from its last savepoint, as a fork or another worker does."""
    for number, stop in enumerate([*stops, None]):
        folder = folder_of(root, script, number)
        keeper.desired = Control.RUNNING
        last = None if stop is None else keeper.asked + stop

        def want(asked: int, last: int | None = last) -> None:
            if last is not None and asked > last:
                keeper.desired = control

        keeper.on_control = want
        ending, _ = attempt(keeper, plan, folder)
        if ending.how is not EndState.STOPPED:
            return ending, folder
    raise AssertionError("nobody stopped the last one")


@settings(max_examples=15, deadline=None)
@given(breaks=breaks, every=st.integers(1, 9), steps=st.integers(1, 40), done=st.integers(1, 60))
def test_the_law_holds_without_a_script(breaks: list[Break], every: int, steps: int, done: int) -> None:
    plan = plan_of(None, steps=steps, every=every)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        undisturbed, disturbed = MemoryKeeper(), MemoryKeeper()
        _, folder = until_it_ends(undisturbed, plan, Path(one), None, done_at=done)
        _, last_folder = until_it_ends(disturbed, plan, Path(other), None, breaks, done_at=done)
        assert disturbed.steps == undisturbed.steps
        assert disturbed.order[-1] == undisturbed.order[-1]
        assert contents(last_folder) == contents(folder)
        assert len([*trajectory(undisturbed.steps)]) == sum(
            step % 3 > 0 for step in range(1, min(steps, done) + 1)
        )
