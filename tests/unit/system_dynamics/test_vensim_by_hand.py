"""Functions and constructs of Vensim that PySD doesn't have, with values worked out by hand."""

from pathlib import Path

import pytest
from tests.unit.system_dynamics.test_vensim_resume import bits

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics.json_writing import document_of
from perdure.errors import UnservableModel

CONTROL = "INITIAL TIME=0 ~~|FINAL TIME=11 ~~|TIME STEP=1 ~~|SAVEPER=1 ~~|"
NA = -(2.0**109)


def model_of(folder: Path, text: str) -> Model:
    path = folder / "m.mdl"
    path.write_text(f"{{UTF-8}}\n{text}\n{CONTROL}")
    return Model.from_vensim(path)


def values(folder: Path, text: str, name: str) -> list[float]:
    return [float(value) for value in model_of(folder, text).simulate([name])[name]]


DELAYS = """
x = STEP(10, 2) + Time ~~|
tau = 3 - STEP(1, 5) + STEP(2, 8) ~~|
material = DELAY MATERIAL(x, tau, 1, -1) ~~|
information = DELAY INFORMATION(x, tau, 1) ~~|
"""


def test_material_comes_together_when_its_delay_falls_and_is_missing_when_it_grows(tmp_path):
    # What enters at 4 and 5 arrives at 7; nothing arrives at 10 and 11.
    assert values(tmp_path, DELAYS, "material") == [1, 1, 1, 0, 1, 12, 13, 14 + 15, 16, 17, -1, -1]


def test_the_newest_information_counts_and_is_held(tmp_path):
    assert values(tmp_path, DELAYS, "information") == [1, 1, 1, 0, 1, 12, 13, 15, 16, 17, 17, 17]


def test_delays_that_change_go_on_with_the_same_bits_at_every_step(tmp_path):
    model = model_of(tmp_path, DELAYS)

    def begun() -> SystemDynamicsEngine:
        engine = SystemDynamicsEngine(model)
        engine.initialize({"outputs": ["material", "information"]})
        return engine

    engine, states, answers = begun(), [], []
    while not engine.finished:
        states.append(engine.snapshot())
        answers.append(bits(engine.step({})))
    for n, state in enumerate(states):
        resumed = begun()
        resumed.restore(state)
        assert [bits(resumed.step({})) for _ in states[n:]] == answers[n:]


MACRO = """
:MACRO: SPLIT(x, y : rest, kept)
SPLIT = x*2 ~~|
rest = y + SPLIT ~~|
kept = INTEG(x, y) ~~|
:END OF MACRO:
D: p, q ~~|
k[D] = 1, 2 ~~|
a[D] = 1 + SPLIT(k[D]*Time, 3 : b[D], c[D]) ~~|
d = SPLIT(1, 1) + 0 ~~|
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a[q]", [1, 5, 9, 13]), ("b[q]", [3, 7, 11, 15]), ("c[q]", [3, 3, 5, 9]), ("d", [2, 2, 2, 2])],
)
def test_a_call_of_a_macro_names_its_further_results(tmp_path, name, expected):
    assert values(tmp_path, MACRO, name)[:4] == expected


def test_a_call_may_name_the_first_results_only_and_no_other(tmp_path):
    first = MACRO.replace(": b[D], c[D]", ": b[D]")
    assert values(tmp_path, first, "b[p]")[:3] == [3, 5, 7]
    with pytest.raises(UnservableModel, match="line 10: a: SPLIT has 2 further results, not 3"):
        model_of(tmp_path, MACRO.replace("c[D]", "c[D], e[D]"))


def test_delayp_computes_what_is_on_its_way(tmp_path):
    text = "x = STEP(10, 2) ~~|\nout = DELAYP(x, 3 : on its way) ~~|"
    assert values(tmp_path, text, "out")[:7] == [0, 0, 0, 0, 0, 10, 10]
    assert values(tmp_path, text, "on its way")[:7] == [0, 0, 0, 10, 20, 30, 30]


CURVE = "f((0,1),(1,2),(2,2.5)) ~~|\n"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0, [0, 1, 1, 0.75, 0.5, 0.5, 0]),
        (1, [1, 1, 1, 0.75, 0.5, 0.5, 0.5]),
        (-1, [NA, 1, 1, 0.75, 0.5, 0.5, NA]),
    ],
)
def test_the_slope_of_a_lookup_at_points_between_them_and_beyond(tmp_path, mode, expected):
    found = values(tmp_path, f"{CURVE}s = LOOKUP SLOPE(f, Time/2 - 0.5, {mode}) ~~|", "s")
    assert found[:7] == expected


def test_the_mode_of_a_slope_is_a_number(tmp_path):
    with pytest.raises(UnservableModel, match="the last argument of LOOKUP SLOPE must be 0, 1, -1"):
        model_of(tmp_path, f"{CURVE}s = LOOKUP SLOPE(f, Time, 3) ~~|")


DATA = "x := WITH LOOKUP(Time, ((0,0),(10,100))) ~~|\n"


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("y := TIME SHIFT(x, 8)", [80, 90, 100, 100]),
        ("y = GET DATA BETWEEN TIMES(x, Time + 8, 0)", [80, 90, 100, NA]),
        ("y = GET DATA BETWEEN TIMES(x, Time - 1, 1)", [NA, 0, 100, 100]),
        ("y = GET DATA BETWEEN TIMES(x, Time + 8, -1)", [0, 0, 100, NA]),
        ("y = TIME BASE(5, 2)", [5, 7, 9, 11]),
    ],
)
def test_data_at_other_times(tmp_path, equation, expected):
    assert values(tmp_path, f"{DATA}{equation} ~~|", "y")[:4] == expected


MARKET = """
R: r1, r2 ~~|
S: s1, s2 ~~|
P: ptype, ppriority, pwidth, pextra ~~|
dem[R] = 3, 5 ~~|
sup[S] = 4, 6 ~~|
dp[R,P] = 1,3,2,0;1,4,2,0; ~~|
sp[S,P] = 1,1,2,0;1,2,2,0; ~~|
price = FIND MARKET PRICE(dem[r1], dp[r1,ptype], sup[s1], sp[s1,ptype]) ~~|
asked[R] = DEMAND AT PRICE(dem[R], dp[R,ptype], price) ~~|
given[S] = SUPPLY AT PRICE(sup[S], sp[S,ptype], price) ~~|
"""


def test_a_market_price_balances_demand_and_supply(tmp_path):
    # 3*(0.5 - (p-3)/2) + 5 = 4 + 6*(0.5 + (p-2)/2), so p = 20/9.
    row = (
        model_of(tmp_path, MARKET)
        .simulate(["price", "asked[r1]", "asked[r2]", "given[s1]", "given[s2]"])
        .iloc[0]
    )
    assert row.tolist() == pytest.approx([20 / 9, 8 / 3, 5, 4, 11 / 3])


def test_a_fixed_quantity_is_the_same_at_all_prices(tmp_path):
    fixed = MARKET.replace("1,3,2,0;", "0,9,9,0;").replace("1,1,2,0;", "0,9,9,0;")
    # 3 + 5 = 4 + 6*(0.5 + (p-2)/2), so p = 2 + 1/3.
    row = model_of(tmp_path, fixed).simulate(["price", "asked[r1]", "given[s1]"]).iloc[0]
    assert row.tolist() == pytest.approx([7 / 3, 3, 4])


def test_an_equation_that_is_not_written_yet_is_missing(tmp_path):
    model = model_of(tmp_path, "a = A FUNCTION OF(b) ~~|\nb = 2 ~~|")
    assert list(model.program().missing) == ["a"]
    assert model.simulate(["b"])["b"].tolist() == [2.0] * 12


AGING = """
age: (a1-a4) ~~|
older: (a2-a4) -> younger ~~|
younger: (a1-a3) ~~|
people[a1] = INTEG(1 - people[a1], 0) ~~|
people[older] = INTEG(people[younger] - people[older], 0) ~~|
"""


def test_a_mapping_of_ranges_with_common_elements_shifts_them(tmp_path):
    model = model_of(tmp_path, AGING)
    found = model.simulate([f"people[a{i}]" for i in range(1, 5)])
    assert found.iloc[4].tolist() == [1, 1, 1, 1]
    assert found.iloc[2].tolist() == [1, 1, 0, 0]


def test_a_comment_may_hold_a_whole_definition(tmp_path):
    text = "{ a = 1 ~ unit ~ old | }\na = 2 {or 3 | 4 ~} + 1 ~ m { ~ open |\nb = a ~~|"
    assert values(tmp_path, text, "b")[0] == 3


DRAWS = """
D: p, q ~~|
a = RANDOM UNIFORM(0, 1, {seed}) ~~|
b[D] = RANDOM NORMAL(-9, 9, 0, 1, {seed}) ~~|
c = RANDOM EXPONENTIAL(0, 9, 0, 1, {seed}) + RANDOM POISSON(0, 9, 3, 0, 1, {seed}) ~~|
"""


@pytest.mark.parametrize(("seed", "repeats"), [("7", True), ("-7", True), ("0", False), ("a", False)])
def test_a_draw_with_a_seed_repeats_whatever_the_seed_of_the_run(tmp_path, seed, repeats):
    model = model_of(tmp_path, DRAWS.format(seed=seed if seed != "a" else "Time"))
    runs = [simulate(model, {"seed": n, "stream": f"s{n}"})[1] for n in range(2)]
    for name in ("a", "b[p]", "b[q]", "c"):
        assert (runs[0][name] == runs[1][name]) is repeats
        assert len(set(runs[0][name])) > 6
    assert runs[0]["b[p]"] != runs[0]["b[q]"]


def test_other_seeds_give_other_numbers(tmp_path):
    found = [values(tmp_path, DRAWS.format(seed=seed), "a") for seed in (1, 2, 1)]
    assert found[0] == found[2] != found[1]


def test_a_converted_model_keeps_its_seeds(tmp_path):
    model = model_of(tmp_path, "a = RANDOM UNIFORM(0, 1, 5) ~~|")
    path = tmp_path / "m.xmile"
    path.write_text(model.to_xmile())
    assert Model.from_xmile(path).simulate(["a"])["a"].tolist() == model.simulate(["a"])["a"].tolist()
    with pytest.raises(UnservableModel, match="a: a JSON model has no seeds of its own"):
        document_of(model)
