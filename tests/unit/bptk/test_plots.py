"""Plots: which rows and columns they show, under which names, and where they are drawn."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from perdure.bptk import Model, bptk
from perdure.engines.system_dynamics.plots import PlotStyle
from perdure.errors import UnknownElement

matplotlib.use("Agg")


@pytest.fixture
def model() -> Model:
    made = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="pl")
    stock, flow, rate = made.stock("s"), made.flow("f"), made.constant("k")
    stock.initial_value = 1.0
    stock.equation = flow
    flow.equation = rate
    rate.equation = 2.0
    made.points["c"] = [(0.0, 0.0), (1.0, 4.0)]
    made.points["d"] = [(0.0, 1.0), (0.5, 3.0)]
    return made


@pytest.fixture
def made(model: Model) -> Iterator[Any]:
    one = bptk()
    one.register_model(model, "smPl")
    one.register_scenarios(
        {"hi": {"constants": {"k": 5.0}, "points": {"c": [[0.0, 1.0], [2.0, 1.0]]}}}, "smPl"
    )
    yield one
    one.destroy()
    plt.close("all")


def plot(made: Any, *scenarios: str, **options: Any) -> Any:
    return made.plot_scenarios(
        scenarios=list(scenarios or ["base"]), scenario_managers=["smPl"], equations=["s"], **options
    )


def shape(frame: Any) -> tuple[list[str], list[str], str | None]:
    return list(frame.columns), [str(at) for at in frame.index], frame.index.name


TIMES = ["0.0", "1.0", "2.0", "3.0"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (["s"], TIMES, "t")),
        ({"freq": "MS"}, (["s"], TIMES, "t")),
        (
            {"start_date": "1/31/2020", "freq": "D"},
            (["s"], [f"2020-0{day} 00:00:00" for day in ("1-31", "2-01", "2-02", "2-03")], None),
        ),
        (
            {"start_date": "2020-02-01", "freq": "MS"},
            (["s"], [f"2020-0{month}-01 00:00:00" for month in (2, 3, 4, 5)], None),
        ),
        ({"visualize_from_period": 1}, (["s"], TIMES[1:], "t")),
        ({"visualize_to_period": 2}, (["s"], TIMES[:2], "t")),
        ({"visualize_from_period": 1, "visualize_to_period": 3}, (["s"], TIMES[1:3], "t")),
        ({"visualize_to_period": 99}, (["s"], TIMES, "t")),
    ],
)
def test_a_data_frame_has_the_rows_that_would_be_drawn(made: Any, options: Any, expected: Any) -> None:
    assert shape(plot(made, return_df=True, **options)) == expected
    assert shape(plot(made, format="df", **options)) == expected


def test_series_are_renamed_wherever_a_key_is_part_of_their_name(made: Any) -> None:
    assert list(plot(made, "base", "hi", return_df=True).columns) == ["smPl_base_s", "smPl_hi_s"]
    renamed = plot(made, "base", "hi", return_df=True, series_names={"smPl_base_s": "Base", "hi": "HI"})
    assert list(renamed.columns) == ["Base", "smPl_HI_s"]


def test_nothing_to_show_is_a_log_line_and_none(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot(made, return_df=True, visualize_from_period=2, visualize_to_period=2) is None
    assert made.plot_scenarios(scenarios=["base"], scenario_managers=["smPl"], equations=["zz"]) is None
    told = "".join(capsys.readouterr())
    assert told.count("nothing_to_plot") == 2
    assert "'zz'" in told


def test_a_plot_is_drawn_with_pyplot_and_returns_none(made: Any) -> None:
    assert plot(made, title="Levels") is None
    assert plt.gca().get_title() == "Levels"


def looks(axes: Axes) -> dict[str, Any]:
    legend, figure = axes.get_legend(), axes.figure
    assert legend is not None
    return {
        "title": axes.get_title(),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "legend": [text.get_text() for text in legend.get_texts()],
        "size": [float(x) for x in figure.get_size_inches()],
        "areas": len(axes.collections),
    }


def test_axes_lie_on_a_figure_of_their_own(made: Any) -> None:
    before = plt.get_fignums()
    default = plot(made, format="axes")
    line = plot(made, format="axes", title="T", x_label="X", y_label="Y", kind="line")
    assert plt.get_fignums() == before
    assert looks(default) == {
        "title": "", "x": "t", "y": "", "legend": ["s"], "size": [20.0, 10.0], "areas": 1
    }  # fmt: skip
    assert looks(line) == {
        "title": "T", "x": "X", "y": "Y", "legend": ["s"], "size": [20.0, 10.0], "areas": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "shown"), [(0.25, "1.23"), (2.0, "1.2"), (500.0, "1")]
)  # the axis's numbers have a mean of about 1.4, 4 and 750
def test_the_larger_the_numbers_of_an_axis_the_fewer_decimals_are_shown(
    model: Model, made: Any, rate: float, shown: str
) -> None:
    made.register_scenarios({"x": {"constants": {"k": rate}}}, "smPl")
    axes = plot(made, "x", format="axes", kind="line")
    assert axes.yaxis.get_major_formatter()(1.2345, None) == shown


def test_stacked_series_and_every_kind_of_pandas_can_be_drawn(made: Any) -> None:
    for kind in ("line", "area", "bar", "barh", "hist", "box"):
        assert isinstance(plot(made, "base", "hi", kind=kind, stacked=kind == "area", format="axes"), Axes)
    with pytest.raises(ValueError, match="nokind"):
        plot(made, kind="nokind", format="axes")


def test_the_configuration_of_an_object_is_the_style_of_its_plots(model: Model) -> None:
    one, other = bptk(configuration={"kind": "line", "figsize": (4, 3)}), bptk()
    for each in (one, other):
        each.register_model(model, "smPl")
    assert looks(plot(one, format="axes"))["size"] == [4.0, 3.0]
    assert looks(plot(one, format="axes"))["areas"] == 0
    assert looks(plot(other, format="axes"))["size"] == [20.0, 10.0]
    assert plot(one, format="axes", matplotlib_rc_settings={"axes.titlesize": 31.0}).title.get_size() == 31.0
    one.destroy()
    other.destroy()
    assert PlotStyle().kind == "area"


def test_an_element_is_drawn_over_the_models_times_or_others(model: Model) -> None:
    stock = model.stock("s")
    frame: Any = stock.plot(return_df=True)
    assert shape(frame) == (["s"], TIMES, None)
    fine: Any = stock.plot(starttime=1, stoptime=2, dt=0.5, return_df=True)
    assert fine["s"].to_dict() == {1.0: 3.0, 1.5: 5.0, 2.0: 5.0}
    later: Any = stock.plot(starttime=4, stoptime=5, format="df")
    assert later["s"].to_dict() == {4.0: 9.0, 5.0: 11.0}
    assert stock.plot() is None
    axes: Any = stock.plot(format="axes")
    assert axes.get_title() == "s"
    plt.close("all")


def test_lookups_are_drawn_over_their_x_values(model: Model, made: Any) -> None:
    frame: Any = model.plot_lookup("c,d", format="df")
    assert frame.to_dict("index").__repr__() == (
        "{0.0: {'c': 0.0, 'd': 1.0}, 0.5: {'c': nan, 'd': 3.0}, 1.0: {'c': 4.0, 'd': nan}}"
    )
    assert model.plot_lookup("c") is None
    axes: Any = model.plot_lookup(["c", "d"], {"kind": "line"}, format="axes")
    assert axes.get_title() == "c, d"
    xs, ys = axes.get_lines()[0].get_data()
    assert (list(xs), list(ys)) == ([0.0, 0.5, 1.0], [0.0, 2.0, 4.0])
    with pytest.raises(UnknownElement, match="'zz'"):
        model.plot_lookup("zz", format="df")
    several = made.plot_lookup(["base", "hi"], ["smPl"], ["c"], return_df=True)
    assert shape(several) == (["smPl_base_c", "smPl_hi_c"], ["0.0", "1.0", "2.0"], None)
    assert several["smPl_hi_c"].to_dict()[2.0] == 1.0
    assert made.plot_lookup(["base"], ["smPl"], "c,d") is None


def test_without_matplotlib_the_extra_is_named_and_data_frames_are_returned() -> None:
    script = """
import sys
sys.modules["matplotlib"] = None
from perdure.bptk import Model, bptk
from perdure.errors import MissingExtra
model = Model(0.0, 1.0, 1.0, "pl")
model.converter("s").equation = 1.0
model.points["c"] = [[0.0, 1.0]]
made = bptk()
made.register_model(model, "smPl")
assert made.plot_scenarios("base", "smPl", equations="s", return_df=True)["s"].tolist() == [1.0, 1.0]
assert model.converter("s").plot(return_df=True)["s"].tolist() == [1.0, 1.0]
for draw in (
    lambda: made.plot_scenarios("base", "smPl", equations="s"),
    lambda: made.plot_lookup("base", "smPl", "c"),
    lambda: model.converter("s").plot(),
    lambda: model.plot_lookup("c"),
):
    try:
        draw()
    except MissingExtra as error:
        assert str(error) == (
            "A plot needs the package 'matplotlib'; install it with: pip install 'perdure[plot]'."
        ), error
    else:
        raise AssertionError("it was drawn")
made.destroy()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
