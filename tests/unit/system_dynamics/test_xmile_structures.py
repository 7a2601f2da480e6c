"""Stocks that don't fall below zero, conveyors, queues and ovens of XMILE files."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.xmile_models import aux, columns_of, flow, model_of, stock

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine
from perdure.errors import EvaluationFailed, UnservableModel


def test_a_non_negative_stock_gives_no_more_than_it_has(tmp_path: Path) -> None:
    model = model_of(
        tmp_path,
        stock("s", "100", into="in", out="out", more="<non_negative/>") + flow("in", "5") + flow("out", "40"),
        stop=6,
    )
    found = columns_of(model, ["s", "out"])
    assert found["s"] == [100.0, 65.0, 30.0, 0.0, 0.0, 0.0]
    assert found["out"] == [40.0, 40.0, 35.0, 5.0, 5.0, 5.0]


def test_the_outflows_of_a_non_negative_stock_come_in_the_order_of_priority(tmp_path: Path) -> None:
    model = model_of(
        tmp_path,
        stock("s", "10", out="first,second", more="<non_negative/>")
        + flow("first", "7")
        + flow("second", "7"),
        stop=3,
    )
    found = columns_of(model, ["s", "first", "second"])
    assert found == {"s": [10.0, 0.0, 0.0], "first": [7.0, 0.0, 0.0], "second": [3.0, 0.0, 0.0]}


def test_flows_between_two_non_negative_stocks_close_no_circle(tmp_path: Path) -> None:
    model = model_of(
        tmp_path,
        stock("a", "10", into="back", out="there", more="<non_negative/>")
        + stock("b", "0", into="there", out="back", more="<non_negative/>")
        + flow("there", "8")
        + flow("back", "9"),
        stop=3,
    )
    found = columns_of(model, ["a", "b"])
    assert [a + b for a, b in zip(found["a"], found["b"], strict=True)] == [10.0, 10.0, 10.0]
    assert min(found["a"] + found["b"]) >= 0.0


def test_a_negative_flow_and_a_flow_that_is_not_negative(tmp_path: Path) -> None:
    variables = stock("s", "100", into="in", out="out") + flow("out", "1")
    model = model_of(tmp_path, variables + flow("in", "-5"))
    assert columns_of(model, ["s"])["s"] == [100.0, 94.0, 88.0, 82.0, 76.0]
    model = model_of(tmp_path, variables + flow("in", "-5", "<non_negative/>"))
    assert columns_of(model, ["s", "in"]) == {"s": [100.0, 99.0, 98.0, 97.0, 96.0], "in": [0.0] * 5}


# Conveyors --------------------------------------------------------------------------------------------------


def belt(folder: Path, options: str, *, out: str = "out", more: str = "", **times: float) -> Model:
    return model_of(
        folder,
        stock("belt", "10", into="in", out=out, more=f"<conveyor {options}</conveyor>")
        + flow("in", "IF TIME = 2 THEN 7 ELSE 5")
        + flow("out")
        + more,
        **times,  # type: ignore[arg-type]
    )


def test_a_conveyor_gives_back_what_came_in_after_the_transit_time(tmp_path: Path) -> None:
    found = columns_of(belt(tmp_path, "><len>2</len>", stop=6), ["belt", "out"])
    assert found == {"belt": [10.0, 10.0, 12.0, 12.0, 10.0, 10.0], "out": [5.0, 5.0, 5.0, 7.0, 5.0, 5.0]}


def test_a_conveyor_moves_by_one_place_a_step(tmp_path: Path) -> None:
    found = columns_of(belt(tmp_path, "><len>1.5</len>", dt=0.25, stop=4), ["out"])
    assert found["out"][:6] == pytest.approx([10.0 / 1.5] * 6)
    # What comes in at 2 comes out at 3.5.
    assert found["out"][6:] == [5.0, 5.0, 5.0, 5.0, 7.0, 5.0, 5.0]


def test_a_linear_leak_takes_its_fraction_by_the_outlet(tmp_path: Path) -> None:
    leak = flow("lost", "0.4", "<leak/>")
    model = belt(tmp_path, "><len>2</len>", out="out,lost", more=leak, stop=8)
    found = columns_of(model, ["belt", "out", "lost"])
    # A constant inflow of 5 leaves 5 and, after a place, 4 on the belt, and 3 flow out.
    assert found["belt"][0] == 10.0
    assert found["out"][0] + found["lost"][0] == pytest.approx(10.0 * 5.0 / 9.0)
    assert found["out"][-1] == pytest.approx(3.0)
    assert found["lost"][-1] == pytest.approx(2.0)
    assert found["belt"][-1] == pytest.approx(9.0)


def test_a_leak_may_have_a_zone(tmp_path: Path) -> None:
    early = '<flow name="lost" leak_start="0" leak_end="0.5"><eqn>0.5</eqn><leak/></flow>'
    found = columns_of(belt(tmp_path, "><len>4</len>", out="out,lost", more=early, stop=12), ["belt", "out"])
    # 5 come in; at the inlet and the place after it a quarter of that is lost at each.
    assert found["out"][-1] == pytest.approx(2.5)
    assert found["belt"][-1] == pytest.approx(5.0 + 3.75 + 2.5 + 2.5)


def test_an_exponential_leak_takes_a_fraction_of_what_is_there(tmp_path: Path) -> None:
    leak = flow("lost", "", "<leak>0.1</leak>")
    model = belt(tmp_path, 'exponential_leak="true"><len>2</len>', out="out,lost", more=leak, stop=8)
    found = columns_of(model, ["out", "lost"])
    assert found["out"][-1] == pytest.approx(5.0 * 0.9 * 0.9)
    assert found["lost"][-1] == pytest.approx(0.5 + 0.45)


def test_a_leak_of_whole_units_carries_the_rest_over(tmp_path: Path) -> None:
    leak = flow("lost", "0.1", "<leak/><leak_integers/>")
    found = columns_of(belt(tmp_path, "><len>2</len>", out="out,lost", more=leak, stop=40), ["lost"])
    assert set(found["lost"]) == {0.0, 1.0}
    assert sum(found["lost"]) == pytest.approx(0.1 * 5.0 * 40.0, abs=2.0)


def test_a_conveyor_takes_in_what_there_is_room_for(tmp_path: Path) -> None:
    found = columns_of(belt(tmp_path, "><len>2</len><capacity>9</capacity>", stop=4), ["belt", "in", "out"])
    assert found["in"] == [4.0, 5.0, 4.0, 5.0]
    assert found["belt"] == [10.0, 9.0, 9.0, 9.0]
    limited = columns_of(belt(tmp_path, "><len>2</len><in_limit>3</in_limit>", stop=4), ["in"])
    assert limited["in"] == [3.0, 3.0, 3.0, 3.0]


def test_a_conveyor_stands_still_while_it_is_arrested(tmp_path: Path) -> None:
    model = belt(tmp_path, "><len>2</len><arrest>TIME = 2 OR TIME = 3</arrest>", stop=6)
    found = columns_of(model, ["belt", "in", "out"])
    assert found["in"] == [5.0, 0.0, 0.0, 5.0, 5.0, 5.0]
    assert found["out"] == [5.0, 0.0, 0.0, 5.0, 5.0, 5.0]
    assert found["belt"] == [10.0] * 6


def test_the_transit_time_is_read_when_material_comes_in(tmp_path: Path) -> None:
    found = columns_of(belt(tmp_path, "><len>IF TIME &gt;= 3 THEN 1 ELSE 3</len>", stop=6), ["out"])
    # Those of 2 and of 4 come out at once.
    third = 10.0 / 3.0
    assert found["out"] == pytest.approx([third, third, third, 5.0 + 5.0, 7.0 + 5.0, 5.0])
    kept = belt(tmp_path, "><len>IF TIME &gt;= 3 THEN 1 ELSE 3</len><sample>TIME = 1</sample>", stop=6)
    assert columns_of(kept, ["out"])["out"] == pytest.approx([third, third, third, 5.0, 7.0, 5.0])


def test_a_leak_without_a_fraction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnservableModel, match="line 8: belt: its leak lost has no fraction"):
        belt(tmp_path, "><len>2</len>", out="out,lost", more=flow("lost", "", "<leak/>"))


# Queues and ovens -------------------------------------------------------------------------------------------

QUEUE = (
    stock("line", "4", into="come", out="enter", more="<queue/>")
    + flow("come", "IF TIME = 1 THEN 6 ELSE 0")
    + flow("enter")
    + stock(
        "ride", "0", into="enter", out="leave", more="<conveyor {options}><len>2</len>{limits}</conveyor>"
    )
    + flow("leave")
)


def test_a_queue_gives_one_batch_a_step(tmp_path: Path) -> None:
    found = columns_of(
        model_of(tmp_path, QUEUE.format(options="", limits=""), stop=4), ["line", "enter", "leave"]
    )
    assert found["enter"] == [4.0, 6.0, 0.0, 0.0]
    assert found["line"] == [4.0, 6.0, 0.0, 0.0]
    assert found["leave"] == [0.0, 0.0, 4.0, 6.0]


def test_a_queue_gives_what_there_is_room_for(tmp_path: Path) -> None:
    limits = "<capacity>5</capacity>"
    every = 'one_at_a_time="false"'
    found = columns_of(
        model_of(tmp_path, QUEUE.format(options=every, limits=limits), stop=4), ["enter", "line"]
    )
    assert found == {"enter": [4.0, 1.0, 4.0, 1.0], "line": [4.0, 6.0, 5.0, 1.0]}
    whole = 'one_at_a_time="false" batch_integrity="true"'
    found = columns_of(
        model_of(tmp_path, QUEUE.format(options=whole, limits=limits), stop=4), ["enter", "line"]
    )
    assert found == {"enter": [4.0, 0.0, 0.0, 0.0], "line": [4.0, 6.0, 6.0, 6.0]}


def test_what_has_no_room_overflows(tmp_path: Path) -> None:
    variables = QUEUE.format(options="", limits="<capacity>5</capacity>").replace(
        "<outflow>enter</outflow>", "<outflow>enter</outflow><outflow>away</outflow>"
    )
    found = columns_of(
        model_of(tmp_path, variables + flow("away", "", "<overflow/>"), stop=3), ["enter", "away"]
    )
    assert found == {"enter": [4.0, 1.0, 0.0], "away": [0.0, 5.0, 0.0]}


OVEN = (
    stock(
        "oven",
        "0",
        into="fill",
        out="done",
        more="<oven><len>2</len><capacity>6</capacity><fill_time>10</fill_time><clean_time>1</clean_time></oven>",
    )
    + flow("fill", "4")
    + flow("done")
)


def test_an_oven_fills_processes_and_empties(tmp_path: Path) -> None:
    found = columns_of(model_of(tmp_path, OVEN, stop=9), ["oven", "fill", "done"])
    # Full after 2, done 2 after that last step, a step to clean.
    assert found["fill"] == [4.0, 2.0, 0.0, 0.0, 0.0, 4.0, 2.0, 0.0, 0.0]
    assert found["done"] == [0.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 6.0]
    assert found["oven"] == [0.0, 4.0, 6.0, 6.0, 0.0, 0.0, 4.0, 6.0, 6.0]


# Resuming ---------------------------------------------------------------------------------------------------


def leaky(folder: Path) -> Model:
    leaks = flow("lost", "0.2 + 0.01 * TIME", "<leak/>") + flow("units", "0.3", "<leak/><leak_integers/>")
    options = "><len>IF TIME MOD 3 = 0 THEN 2 ELSE 3</len><capacity>14</capacity>"
    return belt(folder, options, out="out,lost,units", more=leaks, dt=0.5, stop=7)


def many(folder: Path) -> Model:
    """Return a conveyor for each of many cells, which are alike but for their numbers."""
    cells = '<dimensions><dim name="R"/></dimensions>'
    options = "<conveyor><len>2+R MOD 3</len><capacity>90</capacity></conveyor>"
    return model_of(
        folder,
        stock("belt", "R", into="in", out="out,lost", more=cells + options)
        + flow("in", "5 + SMTH3(TIME, R) + PREVIOUS(belt, 1)/100", cells)
        + flow("out", "", cells)
        + flow("lost", "0.1", f"{cells}<leak/>")
        + stock("rest", "R", into="out", out="gone", more=f"{cells}<non_negative/>")
        + flow("gone", "rest*0.5 + EXP(R/20)", cells)
        + aux("all", "SUM(belt[*]) + SUM(rest)"),
        before='<dimensions><dim name="R" size="40"/></dimensions>',
        stop=6,
        dt=0.5,
    )


@pytest.mark.parametrize(
    "made",
    [
        leaky,
        many,
        lambda folder: model_of(folder, QUEUE.format(options="", limits="<capacity>5</capacity>"), stop=7),
        lambda folder: model_of(folder, OVEN, stop=12),
    ],
    ids=["conveyor", "conveyors of an array", "queue", "oven"],
)
def test_a_structure_goes_on_with_the_same_bits_from_every_step(
    tmp_path: Path, made: Callable[[Path], Model]
) -> None:
    model = made(tmp_path)
    engine = SystemDynamicsEngine(model)
    engine.initialize({})
    states, answers = [engine.snapshot()], []
    while not engine.finished:
        answers.append(engine.step({}))
        states.append(engine.snapshot())
    for n, state in enumerate(states):
        resumed = SystemDynamicsEngine(model)
        resumed.initialize({})
        resumed.restore(state)
        rest = []
        while not resumed.finished:
            rest.append(resumed.step({}))
        assert rest == answers[n:]
        assert resumed.snapshot() == states[-1]


def test_material_is_neither_lost_nor_made(tmp_path: Path) -> None:
    model = leaky(tmp_path)
    names = ["belt", "in", "out", "lost", "units"]
    found = columns_of(model, names)
    for n in range(len(found["belt"]) - 1):
        net = found["in"][n] - found["out"][n] - found["lost"][n] - found["units"][n]
        assert found["belt"][n + 1] == pytest.approx(found["belt"][n] + 0.5 * net)
    # The stock adds its flows up; the belt knows what is on it.
    engine = SystemDynamicsEngine(model)
    engine.initialize({"outputs": []})
    while not engine.finished:
        engine.step({})
    state = engine.snapshot()
    assert isinstance(state, dict)
    (numbers,) = state["memories"].values()  # type: ignore[union-attr]
    stride, head = 1 + 3 * 2, 3 + 2 * 2
    assert sum(numbers[head::stride]) == pytest.approx(state["stocks"]["belt"])  # type: ignore[index, call-overload]


def test_an_aux_of_a_structure_keeps_its_own_numbers(tmp_path: Path) -> None:
    model = belt(tmp_path, "><len>wait</len>", more=aux("wait", "2"), stop=3)
    assert "wait" in model.overridable


@pytest.mark.parametrize("out", ["f,h", "h,f"])
def test_outflows_that_read_each_other_take_no_more_than_there_is(tmp_path: Path, out: str) -> None:
    """The flow that is read comes first, in either order of priority."""
    model = model_of(
        tmp_path,
        stock("A", "5", out=out, more="<non_negative/>")
        + stock("B", "0", into="f,h")
        + aux("twice", "h*2")
        + flow("f", "twice")
        + flow("h", "3"),
    )
    columns = columns_of(model, ["A", "B", "f", "h"])
    assert [columns[name][:3] for name in ("A", "B")] == [[5.0, 0.0, 0.0], [0.0, 5.0, 5.0]]
    assert (columns["h"][0], columns["f"][0]) == (3.0, 2.0)


@pytest.mark.parametrize("time", ["1e9", "1e308*10", "1e7"])
def test_the_places_of_a_conveyor_are_limited(tmp_path: Path, time: str) -> None:
    conveyor = f"<conveyor><len>{time}</len></conveyor>"
    model = model_of(
        tmp_path, stock("C", "40", into="i", out="o", more=conveyor) + flow("i", "10") + flow("o")
    )
    with pytest.raises(EvaluationFailed, match="transit time must be"):
        columns_of(model, ["o"])
