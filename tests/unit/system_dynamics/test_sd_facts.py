"""Numbers of the language, measured on BPTK-Py 3.2.0 where it says so; and where they differ on purpose."""

import math

import pytest

from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics import functions as sd


def values(model: Model, name: str, **config: object) -> list[float]:
    return simulate(model, {"outputs": [name], **config})[1][name]


def value(expression: object) -> float:
    """Return an expression's value at the start of a model."""
    model = Model(0.0, 1.0, 1.0)
    model.converter("y").equation = expression
    return model.converter("y")(0.0)


STOCK = [
    1.0, 1.075, 1.155625, 1.2422968749999999, 1.3354691406249999, 1.4356293261718749, 1.5433015256347655,
    1.659049140057373, 1.783477825561676, 1.9172386624788016, 2.0610315621647115, 2.2156089293270647,
    2.3817795990265944,
]  # fmt: skip
# Measured on BPTK-Py 3.2.0.
DELAYS = {
    "fixed": [5.0, 5.0, 5.0, 5.0, *STOCK[:9]],
    "off grid": [1.0, 1.0, 1.0, *STOCK[1:11]],
    "constant": [7.0, 7.0, 7.0, *STOCK[1:11]],
    "variable": [STOCK[i] for i in (0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6)],
    "half a step": [-1.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.5, 2.5, 3.0],
    "one and a half steps": [-1.0, -1.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.5, 2.5],
}


@pytest.mark.parametrize("kind", DELAYS)
def test_a_delay_answers_the_past_rounded_to_the_grid(kind: str) -> None:
    model = Model(0.0, 3.0, 0.25)
    stock, growth, time, duration = (
        model.stock("stock"), model.flow("growth"), model.converter("time"), model.constant("duration")
    )  # fmt: skip
    stock.initial_value = 1.0
    stock.equation = growth
    growth.equation = stock * 0.3
    time.equation = sd.time()
    duration.equation = 0.6
    model.converter("delayed").equation = {
        "fixed": sd.delay(model, stock, 1.0, 5.0),
        "off grid": sd.delay(model, stock, 0.6),
        "constant": sd.delay(model, stock, duration, 7.0),
        "variable": sd.delay(model, stock, time * 0.5, 7.0),
        "half a step": sd.delay(model, time, 0.125, -1.0),
        "one and a half steps": sd.delay(model, time, 0.375, -1.0),
    }[kind]
    assert values(model, "stock") == pytest.approx(STOCK, rel=1e-15)
    assert values(model, "delayed") == pytest.approx(DELAYS[kind], rel=1e-15)


# Measured on BPTK-Py 3.2.0, from 1 to 6 in steps of 0.5.
OVER_TIME = {
    "step": (sd.step(10.0, 3.0), [0.0] * 5 + [10.0] * 6),
    "sinwave": (
        sd.sinwave(3.0, 4.0),
        [
            0.0,
            2.1213203435596424,
            3.0,
            2.121320343559643,
            3.6739403974420594e-16,
            -2.1213203435596424,
            -3.0,
            -2.121320343559643,
            -7.347880794884119e-16,
            2.121320343559642,
            3.0,
        ],
    ),
    "coswave": (
        sd.coswave(3.0, 4.0),
        [
            3.0,
            2.121320343559643,
            1.8369701987210297e-16,
            -2.1213203435596424,
            -3.0,
            -2.121320343559643,
            -5.51091059616309e-16,
            2.121320343559642,
            3.0,
            2.121320343559642,
            9.18485099360515e-16,
        ],
    ),
    "lookup": (
        sd.lookup(sd.time(), [[2.0, 1.0], [3.0, 4.0], [5.0, 0.0]]),
        [1.0, 1.0, 1.0, 2.5, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0],
    ),
    "round": (
        sd.round(sd.time() * 1.2345, 2),
        [1.23, 1.85, 2.47, 3.09, 3.7, 4.32, 4.94, 5.56, 6.17, 6.79, 7.41],
    ),
    "modulo": (sd.time() % 1.5, [1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0]),
    "if and max": (
        sd.If(sd.time() > 3.0, 1.0, sd.max(sd.time(), 2.0)),
        [2.0, 2.0, 2.0, 2.5, 3.0] + [1.0] * 6,
    ),
}


@pytest.mark.parametrize("kind", OVER_TIME)
def test_functions_of_time_agree_with_bptk(kind: str) -> None:
    model = Model(1.0, 6.0, 0.5)
    equation, expected = OVER_TIME[kind]
    model.converter("y").equation = equation
    assert values(model, "y") == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_pulses_hit_their_times_and_deliver_their_volume() -> None:
    model = Model(1.0, 6.0, 0.5)
    once, again, level = model.converter("once"), model.converter("again"), model.stock("level")
    once.equation = sd.pulse(model, 8.0, 2.0)
    again.equation = sd.pulse(model, 8.0, 2.0, 1.5)
    level.initial_value = 2.0
    level.equation = again
    # Measured on BPTK-Py 3.2.0.
    assert values(model, "once") == [0.0, 0.0, 16.0] + [0.0] * 8
    assert values(model, "again") == [0.0, 0.0, 16.0, 0.0, 0.0, 16.0, 0.0, 0.0, 16.0, 0.0, 0.0]
    assert values(model, "level") == [2.0, 2.0, 2.0, 10.0, 10.0, 10.0, 18.0, 18.0, 18.0, 26.0, 26.0]
    assert values(model, "level", method="rk4") == pytest.approx(values(model, "level"))


@pytest.mark.parametrize(("dt", "start"), [(0.1, 0.0), (0.1, 1e6), (1 / 3, -7.0), (0.01, 100.0)])
def test_pulses_and_steps_hit_times_that_binary_fractions_miss(dt: float, start: float) -> None:
    model = Model(start, start + 100 * dt, dt)
    model.converter("pulse").equation = sd.pulse(model, 1.0, start + 30 * dt, 10 * dt)
    model.converter("step").equation = sd.step(1.0, start + 30 * dt)
    hits = [n for n, y in enumerate(values(model, "pulse")) if y]
    assert hits == [30, 40, 50, 60, 70, 80, 90, 100]
    assert values(model, "step") == [0.0] * 31 + [1.0] * 70


x = 2.5
# Measured on BPTK-Py 3.2.0.
MATHEMATICS = {
    "exp": (sd.exp(x), 12.182493960703473),
    "ln": (sd.ln(x), 0.9162907318741551),
    "log10": (sd.log10(x), 0.3979400086720376),
    "sqrt": (sd.sqrt(x), 1.5811388300841898),
    "sin": (sd.sin(x), 0.5984721441039565),
    "tan": (sd.tan(x), -0.7470222972386603),
    "arctan": (sd.arctan(x), 1.1902899496825317),
    "arcsin": (sd.arcsin(x / 5), 0.5235987755982989),
    "arccos": (sd.arccos(x / 5), 1.0471975511965976),
    "floor": (sd.floor(-x), -3.0),
    "ceil": (sd.ceil(-x), -2.0),
    "combinations": (sd.combinations(10.0, 3.0), 120.0),
    "permutations": (sd.permutations(10.0, 3.0), 720.0),
    "factorial": (sd.factorial(6.0), 720.0),
    "gammaln": (sd.gammaln(x), 0.2846828704729192),
    "invnorm": (sd.invnorm(0.3), -0.5244005127080409),
    "invnorm of another": (sd.invnorm(0.3, 2.0, 3.0), 0.42679846187587733),
    "normalcdf": (sd.normalcdf(-1.0, 2.0), 0.8185946141203637),
    "normalcdf of another": (sd.normalcdf(-1.0, 2.0, 0.5, 2.0), 0.5467452952462635),
    "modulo": (sd.pi() * 0 + -x % 2.0, 1.5),
}


@pytest.mark.parametrize("kind", MATHEMATICS)
def test_mathematics_agrees_with_bptk(kind: str) -> None:
    expression, expected = MATHEMATICS[kind]
    assert value(expression) == pytest.approx(expected, rel=1e-14)


NAN, INF = math.nan, math.inf
EDGES = [
    (sd.sqrt(-1.0), NAN),
    (sd.ln(-1.0), NAN),
    (sd.ln(0.0), -INF),
    (sd.log10(0.0), -INF),
    (sd.log10(-2.0), NAN),
    (sd.arcsin(1.1), NAN),
    (sd.arccos(-1.1), NAN),
    (sd.exp(1000.0), INF),
    (sd.exp(-1e5), 0.0),
    (sd.sin(sd.Inf()), NAN),
    (sd.cos(sd.Inf()), NAN),
    (sd.tan(sd.nan()), NAN),
    (sd.arctan(sd.Inf()), math.pi / 2),
    ((-8.0 + sd.pi() * 0) ** (1 / 3), NAN),
    ((sd.pi() * 0 - 2.0) ** 3, -8.0),
    ((sd.pi() * 0 - 2.0) ** sd.floor(3.0), -8.0),
    (sd.floor(sd.Inf()), INF),
    (sd.ceil(sd.nan()), NAN),
    (sd.round(sd.Inf(), 0), INF),
    (sd.round(2.5, 0), 2.0),
    (sd.factorial(171.0), INF),
    (sd.factorial(-1.0), 0.0),
    (sd.factorial(sd.nan()), NAN),
    (sd.combinations(3.0, 5.0), 0.0),
    (sd.combinations(1e9, 5e8), INF),
    (sd.combinations(1e15, 2.0), 4.999999999999995e29),
    (sd.permutations(2.0, 3.0), 0.0),
    (sd.permutations(1e9, 100.0), INF),
    (sd.permutations(5.0, 0.0), 1.0),
    (sd.gammaln(0.0), INF),
    (sd.gammaln(-3.0), INF),
    (sd.gammaln(1e308), INF),
    (sd.invnorm(0.0), -INF),
    (sd.invnorm(1.0), INF),
    (sd.invnorm(1.5), NAN),
    (sd.invnorm(0.5, 0.0, -1.0), NAN),
    (sd.normalcdf(0.0, 1.0, 0.0, -1.0), NAN),
    (sd.normalcdf(10.0, 11.0), 7.61985302416e-24),
    (sd.And(2.0, 3.0), 1.0),
    (sd.And(2.0, 0.0), 0.0),
    (sd.Or(0.0, 5.0), 1.0),
    (sd.Not(0.0), 1.0),
    (sd.Not(3.0), 0.0),
    (sd.If(sd.And(sd.pi() > 3, sd.pi() < 4), 1, 2), 1.0),
    ((sd.pi() > 3) + (sd.pi() > 2), 2.0),
    (-(sd.pi() > 3), -1.0),
    (sd.If(0.0, 1.0 / sd.floor(0.5), 5.0), 5.0),
    (sd.And(0.0, 1.0 / sd.floor(0.5)), 0.0),
    (sd.Or(1.0, 1.0 / sd.floor(0.5)), 1.0),
    (sd.max(sd.pi(), 4.0), 4.0),
    (sd.min(sd.sqrt(4.0), sd.sqrt(9.0)), 2.0),
    (sd.abs(-sd.pi()), math.pi),
    (True, 1.0),
    (3, 3.0),
    (sd.pi() == math.pi, 1.0),
    (sd.pi() != 3, 1.0),
    (10.0 - (sd.pi() * 0 + 4.0 - sd.sqrt(9.0)), 9.0),
    (2 ** sd.sqrt(9.0), 8.0),
    (7 % sd.sqrt(9.0), 1.0),
    (7 / sd.sqrt(4.0), 3.5),
    (+sd.pi(), math.pi),
    (abs(-sd.pi()), math.pi),
    (-(2.0 ** sd.sqrt(4.0)), -4.0),
]


@pytest.mark.parametrize("case", range(len(EDGES)))
def test_edges_follow_ieee(case: int) -> None:
    expression, expected = EDGES[case]
    result = value(expression)
    assert type(result) is float
    assert result == pytest.approx(expected, rel=1e-11, nan_ok=True)


def averages() -> Model:
    model = Model(0.0, 4.0, 0.5)
    up, down = model.converter("up"), model.converter("down")
    up.equation = 10.0 + sd.time() * 2.0
    down.equation = 10.0 - sd.time() * 2.0
    model.converter("smooth").equation = sd.smooth(model, up, 2.0, 8.0)
    model.converter("trend").equation = sd.trend(model, up, 2.0, 8.0)
    model.converter("falling").equation = sd.smooth(model, down, 2.0, 9.0)
    return model


def test_smooth_and_trend_of_a_rising_input_agree_with_bptk() -> None:
    # Measured on BPTK-Py 3.2.0.
    assert values(averages(), "smooth") == pytest.approx(
        [
            8.0,
            8.5,
            9.125,
            9.84375,
            10.6328125,
            11.474609375,
            12.35595703125,
            13.2669677734375,
            14.200225830078125,
        ]
    )
    assert values(averages(), "trend") == pytest.approx(
        [0.125, 0.14705882352941177, 0.15753424657534246, 0.16031746031746033, 0.1583394562821455,
         0.15361702127659574, 0.1474609760916815, 0.14068897619682932, 0.13379273736173286]
    )  # fmt: skip


def test_a_smooth_falls_where_bptk_stays() -> None:
    # BPTK-Py 3.2.0 answers 9.25 from 0.5 on, because the change of its average is never negative.
    average = 9.0
    expected = []
    for n in range(9):
        expected.append(average)
        average += 0.5 * (10.0 - n - average) / 2.0
    assert values(averages(), "falling") == pytest.approx(expected)
    assert expected[-1] < 6.0


def test_a_difference_in_parentheses_is_subtracted_whole() -> None:
    model = Model(0.0, 1.0, 1.0)
    a, b, c = (model.constant(name) for name in "abc")
    a.equation, b.equation, c.equation = 10.0, 4.0, 3.0
    model.converter("y").equation = a - (b - c)
    # BPTK-Py 3.2.0 answers 3.0, which is (a - b) - c.
    assert values(model, "y") == [9.0, 9.0]


def test_a_base_in_parentheses_is_raised_whole() -> None:
    # BPTK-Py 3.2.0 answers 11.0 and -4.0, which are a + (b ** 2) and -(a ** 2).
    model = Model(0.0, 1.0, 1.0)
    a, b, p = (model.constant(name) for name in "abp")
    a.equation, b.equation, p.equation = 2.0, 3.0, 2.0
    model.converter("sum").equation = (a + b) ** p
    model.converter("negative").equation = (-a) ** p
    assert (model.converter("sum")(0.0), model.converter("negative")(0.0)) == (25.0, 4.0)


@pytest.mark.parametrize(
    ("dt", "halves"),
    [
        (0.1, 15),
        (0.1, 5),
        (0.1, 3),
        (0.1, 1),
        (0.2, 3),
        (0.3, 7),
        (0.7, 13),
        (1 / 3, 5),
        (1e-3, 9),
        (0.25, 3),
    ],
)
@pytest.mark.parametrize("kind", ["fixed", "variable", "rounded"])
def test_a_delay_half_way_between_grid_points_reads_the_even_one(dt: float, halves: int, kind: str) -> None:
    # BPTK-Py 3.2.0 reads either, as the rounding error of t - duration falls: with dt 0.1 and a duration of
    # 0.75 it reads grid point 1 at t=0.8, though 0 is the even one.
    model = Model(0.0, 30 * dt, dt)
    number, duration = model.stock("number"), model.constant("duration")
    number.equation = 1.0 / sd.dt(model)
    # As written by hand, with few digits, and as calculated.
    duration.equation = round(halves * dt / 2, 12) if kind == "rounded" else halves * dt / 2
    past = duration if kind == "variable" else float(str(duration.equation))
    model.converter("read").equation = sd.delay(model, number, past, -1.0)
    expected = [float(round(n - halves / 2)) if n >= halves / 2 else -1.0 for n in range(31)]
    assert values(model, "read") == pytest.approx(expected)


@pytest.mark.parametrize("duration", [1e300, 1.7e308])
def test_a_delay_longer_than_any_run_reads_the_initial_value(duration: float) -> None:
    model = Model(0.0, 0.3, 0.1)
    long = model.constant("long")
    long.equation = duration
    model.converter("fixed").equation = sd.delay(model, sd.time(), duration, 7.0)
    model.converter("variable").equation = sd.delay(model, sd.time(), long, 7.0)
    assert values(model, "fixed") == values(model, "variable") == [7.0] * 4


def test_a_wave_in_a_stock_is_read_at_the_time_of_its_rate() -> None:
    model = Model(0.0, 4.0, 0.5)
    model.stock("level").equation = sd.sinwave(1.0, 4.0)
    model.biflow("rate").equation = sd.sinwave(1.0, 4.0)
    model.stock("same").equation = model.biflow("rate")
    assert values(model, "level") == values(model, "same")


def test_a_flow_is_never_negative_and_a_biflow_may_be() -> None:
    model = Model(0.0, 2.0, 1.0)
    model.flow("flow").equation = 1.0 - sd.time()
    model.biflow("biflow").equation = 1.0 - sd.time()
    model.flow("nan").equation = sd.nan()
    assert values(model, "flow") == [1.0, 0.0, 0.0]
    assert values(model, "biflow") == [1.0, 0.0, -1.0]
    assert values(model, "nan") == [0.0, 0.0, 0.0]


def test_points_jump_where_an_x_is_repeated_and_are_sorted() -> None:
    model = Model(0.0, 4.0, 0.5)
    model.points["curve"] = [[4.0, 9.0], [1.0, 1.0], [2.0, 2.0], [2.0, 5.0]]
    model.converter("y").equation = sd.lookup(sd.time(), "curve")
    assert values(model, "y") == [1.0, 1.0, 1.0, 1.5, 5.0, 6.0, 7.0, 8.0, 9.0]
    model.points["curve"] = [[2.0, 3.0]]
    assert values(model, "y") == [3.0] * 9


def test_a_lookup_of_no_number_is_no_number() -> None:
    assert math.isnan(value(sd.lookup(sd.nan(), [[0.0, 1.0], [1.0, 2.0], [2.0, 2.0]])))


def test_run_specs_can_be_read_in_equations() -> None:
    model = Model(1.0, 3.0, 0.5)
    model.converter("y").equation = sd.dt(model) + 10 * sd.starttime(model) + 100 * sd.stoptime(model)
    assert values(model, "y") == [310.5] * 5


def test_rk4_is_of_fourth_order() -> None:
    def error(dt: float) -> float:
        model = Model(0.0, 2.0, dt)
        x, v = model.stock("x"), model.stock("v")
        x.initial_value = 1.0
        x.equation = v
        v.equation = -x
        return abs(values(model, "x", method="rk4")[-1] - math.cos(2.0))

    assert error(0.1) < 1e-5
    assert error(0.1) / error(0.05) == pytest.approx(16.0, rel=0.1)


def test_rk4_integrates_explicit_time_at_its_stages() -> None:
    model = Model(0.0, 3.0, 0.5)
    model.stock("cube").equation = 3.0 * sd.time() ** 2
    assert values(model, "cube", method="rk4")[-1] == pytest.approx(27.0, rel=1e-14)


def test_all_57_functions_of_bptk_are_there() -> None:
    assert len(sd.__all__) == 57
    assert all(callable(getattr(sd, name)) for name in sd.__all__)
