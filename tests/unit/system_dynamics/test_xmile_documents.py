"""XMILE documents: arrays, modules, macros, graphical functions, run specs, names, and what is refused."""

import json
from pathlib import Path

import pytest
from tests.support.xmile_models import aux, columns_of, flow, model_of, stock
from typer.testing import CliRunner

from perdure.cli import app
from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics.checking import check_file
from perdure.engines.system_dynamics.sources.xmile.tags import parse
from perdure.errors import InvalidModelFile, MissingEquation, UnservableModel

DIMENSIONS = """<dimensions><dim name="R"><elem name="n"/><elem name="s"/></dim><dim name="K" size="2"/>
<dim name="S"><elem name="s"/></dim></dimensions>"""


def array(name: str, dimensions: str, body: str) -> str:
    names = "".join(f'<dim name="{each}"/>' for each in dimensions.split(","))
    return f'<aux name="{name}"><dimensions>{names}</dimensions>{body}</aux>'


P = array(
    "p", "R", '<element subscript="n"><eqn>1</eqn></element><element subscript="s"><eqn>2</eqn></element>'
)
Q = array("q", "R", "<eqn>p[R]*10</eqn>")


# Arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equation", "value"),
    [
        ("SUM(q[*])", 30.0),
        ("SUM(q)", 30.0),
        ("MEAN(q[*])", 15.0),
        ("SIZE(q[*])", 2.0),
        ("RANK(q[*],1)", 1.0),
        ("STDDEV(q[*])", 5.0),
        ("MAX(q[*])", 20.0),
        ("MIN(q[*])", 10.0),
        ("PROD(q[*])", 200.0),
        ("SUM(p[*]*q[*])", 50.0),
        ("q[s]", 20.0),
        ("q[R.s]", 20.0),
        ("q[2]", 20.0),
        ("q[which]", 20.0),
        ("q[which+1]", 0.0),
        ("SUM(q[n:s])", 30.0),
        ("SUM(q[s:s])", 20.0),
        ("SUM(m[*,*])", 66.0),
        ("SUM(m[n,*])", 23.0),
        ("SUM(m[*,1])", 32.0),
        ("INTERPOLATE(q,0.25)", 12.5),
        ("INTERPOLATE(m,1,0)", 21.0),
        ("t[1,s]", 21.0),
        ("row[n]", 23.0),
        ("n + 1", 2.0),
    ],
)
def test_an_array_is_read_and_summed(tmp_path: Path, equation: str, value: float) -> None:
    matrix = array("m", "R,K", "<eqn>q[R] + K</eqn>")
    turned = array("t", "K,R", "<eqn>m[R,K]</eqn>")
    rows = array("row", "R", "<eqn>SUM(m[R,*])</eqn>")
    variables = P + Q + matrix + turned + rows + aux("which", "2") + aux("y", equation)
    model = model_of(tmp_path, variables, before=DIMENSIONS)
    assert columns_of(model, ["y"])["y"] == [value] * 5


def test_the_larger_of_an_array_and_a_number_is_that_of_each_cell(tmp_path: Path) -> None:
    variables = (
        P + Q + array("least", "R", "<eqn>MAX(q, 15)</eqn>") + array("most", "R", "<eqn>MIN(q, 15)</eqn>")
    )
    variables += array("all", "R", "<eqn>MAX(q)</eqn>") + aux("one", "MAX(q, 15)")
    found = columns_of(model_of(tmp_path, variables, before=DIMENSIONS), CELLS)
    assert [found[name][-1] for name in CELLS] == [15.0, 20.0, 10.0, 15.0, 20.0, 20.0]


CELLS = ["least[n]", "least[s]", "most[n]", "most[s]", "all[n]", "one"]


def test_cells_are_elements_with_one_bracket(tmp_path: Path) -> None:
    stocks = """<stock name="st"><dimensions><dim name="R"/></dimensions><eqn>100</eqn>
    <inflow>fi</inflow></stock>
    <flow name="fi"><dimensions><dim name="R"/></dimensions><eqn>p</eqn></flow>"""
    model = model_of(tmp_path, P + stocks + array("w", "R,K", "<eqn>TIME</eqn>"), before=DIMENSIONS)
    assert set(model.elements) >= {"st[n]", "st[s]", "w[n,1]", "w[s,2]"}
    found = columns_of(model, ["st[n]", "st[s]"])
    assert found == {
        "st[n]": [100.0, 101.0, 102.0, 103.0, 104.0],
        "st[s]": [100.0, 102.0, 104.0, 106.0, 108.0],
    }


def test_cells_keep_a_history_each(tmp_path: Path) -> None:
    inputs = array("x", "R", "<eqn>TIME*p</eqn>")
    late = array("late", "R", "<eqn>DELAY(x, 1) + SMTH1(x, 2)</eqn>")
    found = columns_of(model_of(tmp_path, P + inputs + late, before=DIMENSIONS), ["late[n]", "late[s]"])
    assert found["late[s]"] == [2.0 * value for value in found["late[n]"]]


def test_a_subrange_has_elements_of_a_dimension(tmp_path: Path) -> None:
    part = array("part", "S", "<eqn>q[S]</eqn>")
    model = model_of(tmp_path, P + Q + part, before=DIMENSIONS)
    assert columns_of(model, ["part[s]"])["part[s]"] == [20.0] * 5


# Modules and macros -----------------------------------------------------------------------------------------


PLANT = """<model name="Plant"><variables><aux name="load" access="input"/><aux name="out" access="output">
<eqn>load*10</eqn></aux><module name="Inner"><connect to="Inner.a" from="load"/></module></variables>
</model><model name="Inner"><variables><aux name="a"/><aux name="b"><eqn>a + .demand</eqn></aux>
</variables></model>"""


def test_a_module_reads_what_is_connected(tmp_path: Path) -> None:
    module = '<module name="Plant"><connect to="Plant.load" from="demand"/></module>'
    variables = aux("demand", "TIME*2") + aux("seen", "Plant.out + 1") + module
    model = model_of(tmp_path, variables, after=PLANT, stop=4)
    assert columns_of(model, ["Plant.load", "Plant.out", "seen", "Plant.Inner.b"]) == {
        "Plant.load": [2.0, 4.0, 6.0, 8.0],
        "Plant.out": [20.0, 40.0, 60.0, 80.0],
        "seen": [21.0, 41.0, 61.0, 81.0],
        "Plant.Inner.b": [4.0, 8.0, 12.0, 16.0],
    }


MACROS = """<macro name="HALF"><eqn>x/2</eqn><parm>x</parm></macro>
<macro name="MY AVERAGE"><parm>input</parm><parm>period</parm><eqn>level</eqn><variables>
<stock name="level"><eqn>input</eqn><inflow>change</inflow></stock>
<flow name="change"><eqn>(input - level)/HALF(period*2)</eqn></flow></variables></macro>"""


def test_a_macro_has_variables_of_its_own_for_each_call(tmp_path: Path) -> None:
    variables = (
        aux("y", "MY_AVERAGE(TIME, 2) + 0*MY AVERAGE(TIME*5, 2)")
        + aux("z", "SMTH1(TIME, 2)")
        + aux("h", "HALF(5)")
    )
    found = columns_of(model_of(tmp_path, variables, before=MACROS), ["y", "z", "h"])
    assert found["y"] == found["z"]
    assert found["h"] == [2.5] * 5


# Graphical functions, run specs, names ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("continuous", [0.0, 5.0, 17.5, 30.0, 40.0]),
        ("extrapolate", [-7.5, 5.0, 17.5, 30.0, 42.5]),
        ("discrete", [0.0, 0.0, 10.0, 30.0, 40.0]),
    ],
)
def test_graphical_functions_have_types(tmp_path: Path, kind: str, values: list[float]) -> None:
    curve = f'<gf type="{kind}"><xscale min="0" max="4"/><ypts>0,10,20,30,40</ypts></gf>'
    model = model_of(tmp_path, aux("h", "TIME*1.25-2", curve))
    assert columns_of(model, ["h"])["h"] == values
    other = simulate(model, {"outputs": ["h"], "points": {"h": [[0.0, 1.0], [4.0, 1.0]]}})
    assert other[1]["h"] == [1.0] * 5


def test_a_graphical_function_has_its_own_x_values_and_separator(tmp_path: Path) -> None:
    curve = '<gf><xpts>0,2,10</xpts><ypts sep=";">0;10;50</ypts></gf>'
    assert columns_of(model_of(tmp_path, aux("h", "TIME", curve)), ["h"])["h"] == [
        5.0,
        10.0,
        15.0,
        20.0,
        25.0,
    ]
    alone = '<gf name="g"><xpts>0,2,10</xpts><ypts>0,10,50</ypts></gf>'
    several = array("many", "R", f'<element subscript="n">{curve}</element>')
    called = model_of(tmp_path, several + aux("h", "many[n](2)"), before=DIMENSIONS)
    assert columns_of(called, ["h"])["h"] == [10.0] * 5
    variables = alone + aux("h", "g(TIME) + LOOKUP(g, 2) + LOOKUPINV(g, 10)")
    assert columns_of(model_of(tmp_path, variables), ["h"])["h"] == [17.0, 22.0, 27.0, 32.0, 37.0]


def test_run_specs_may_be_reciprocal_and_of_rk4(tmp_path: Path) -> None:
    path = tmp_path / "m.xmile"
    path.write_text(
        '<xmile><sim_specs method="RK4" time_units="h" pause="1"><start>1</start><stop>2</stop>'
        '<dt reciprocal="true">4</dt><save_step>0.5</save_step></sim_specs><model>'
        '<stock name="s"><eqn>1</eqn><inflow>f</inflow></stock>'
        '<flow name="f"><eqn>s</eqn><units>1/h</units><doc>Grows.</doc></flow></model></xmile>'
    )
    model = Model.from_xmile(path)
    assert (model.starttime, model.stoptime, model.dt, model.method) == (1.0, 2.0, 0.25, "rk4")
    assert (model.name, model.save_every, model.pause, model.time_units) == ("m", 0.5, 1.0, "h")
    assert (model.elements["f"].units, model.elements["f"].documentation) == ("1/h", "Grows.")
    times, columns = simulate(model, {"outputs": ["s"]})
    assert times == [1.0, 1.5, 2.0]
    assert columns["s"][-1] == pytest.approx(2.718281828, abs=1e-3)
    assert simulate(model, {"outputs": ["s"], "method": "euler"})[1]["s"][-1] == 1.25**4
    assert check_file(path).remarks == ()


def test_a_save_interval_that_is_no_multiple_of_dt_is_remarked_and_runs_answer_every_dt(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.xmile"
    path.write_text(
        '<xmile><sim_specs isee:save_interval="0.3"><start>0</start><stop>0.5</stop><dt>0.25</dt></sim_specs>'
        '<model><aux name="a"><eqn>1</eqn></aux></model></xmile>'
    )
    assert simulate(Model.from_xmile(path), {})[0] == [0.0, 0.25, 0.5]
    remark = "the save interval 0.3 is not a multiple of dt 0.25; runs answer every dt"
    assert check_file(path).remarks == (remark,)
    shown = CliRunner().invoke(app, ["models", "check", str(path)])
    assert (shown.exit_code, f"remark: {remark}" in shown.output) == (0, True)


@pytest.mark.parametrize(
    ("name", "reference", "bptk"),
    [
        ("My Big Name", "my_big_name", "myBigName"),
        ("snake_case_x", "Snake Case X", "snakeCaseX"),
        ("UPPER", "upper", "upper"),
        (r"two\nlines", "two_lines", "twoLines"),
        ("5% of (all)", '"5% of (all)"', "5%Of(all)"),
        ("Größe", "GRÖSSE", "größe"),
        ("தமிழ் பெயர்", "தமிழ்_பெயர்", "தமிழ்பெயர்"),
        ("a-b's c", '"a-b\'s c"', "absC"),
    ],
)
def test_names_are_the_same_whatever_their_case_and_blanks(
    tmp_path: Path, name: str, reference: str, bptk: str
) -> None:
    model = model_of(tmp_path, f'<aux name="{name}"><eqn>7</eqn></aux>' + aux("y", f"{reference} + 1"))
    assert columns_of(model, ["y"])["y"] == [8.0] * 5
    assert name.replace(r"\n", " ") in model.elements
    assert list(Model.from_xmile(tmp_path / "model.xmile", naming="bptk").elements) == [bptk, "y"]


def test_a_name_may_be_in_quotes_as_equations_have_it(tmp_path: Path) -> None:
    model = model_of(
        tmp_path, '<aux name="&quot;a - b&quot;"><eqn>7</eqn></aux>' + aux("y", '"a_-_b" + "A - B"')
    )
    assert columns_of(model, ["y"])["y"] == [14.0] * 5
    assert list(model.elements) == ["a - b", "y"]


# What is refused --------------------------------------------------------------------------------------------


def test_all_that_cannot_be_served_is_listed_at_once(tmp_path: Path) -> None:
    variables = (
        f"{aux('a', 'FOO(1)')}\n{aux('b', 'unknown + 1')}\n{aux('c', '1 +')}\n{aux('d', 'MAX()')}\n"
        f"{aux('e', 'LN(1, 2)')}\n{aux('f', 'a ? b')}\n{aux('g', 'SMTHN(a, 1, a)')}\n{aux('h', 'nam + (1')}"
    )
    with pytest.raises(UnservableModel, match="line 8: a: there is no function") as refused:
        model_of(tmp_path, variables)
    found = refused.value.values["found"]
    assert [problem[0] for problem in found] == [8, 9, 10, 11, 12, 13, 14, 15]
    assert [problem[1] for problem in found] == list("abcdefgh")
    assert found[0][2] == "there is no function 'FOO'."
    assert found[1][2] == "there is no variable 'unknown'."
    assert found[2][2] == "it isn't complete"
    assert found[3][2] == "MAX takes at least 1 argument, not 0"
    assert found[4][2] == "LN takes 1 argument, not 2"
    assert found[5][2] == "'?' is no part of an equation"
    assert found[7][2] == "')' is missing"
    assert "line 8: a: there is no function 'FOO'" in str(refused.value)


def test_the_clock_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UnservableModel, match="line 8: a: it reads the clock"):
        model_of(tmp_path, aux("a", "CLOCKTIME"))


def test_a_missing_equation_is_an_error_of_the_runs_that_need_it(tmp_path: Path) -> None:
    model = model_of(tmp_path, '<aux name="u"/><aux name="v"><eqn> {later} </eqn></aux>' + aux("w", "u + 1"))
    for name in ("u", "v", "w"):
        with pytest.raises(MissingEquation, match="u" if name == "w" else name):
            columns_of(model, [name])
    assert simulate(model, {"outputs": ["w"], "constants": {"u": 2.0}})[1]["w"] == [3.0] * 5


def test_circles_are_listed_with_all_else_and_their_lines(tmp_path: Path) -> None:
    variables = (
        f"{aux('u', 'v')}\n{aux('v', 'w + FLAW(1)')}\n{aux('w', 'u')}\n{aux('a', 'SMTH1(b, 2)')}\n"
        f"{aux('b', 'a')}\n{aux('c', 'd')}\n{aux('d', 'DELAY(c, 2, 0) + e')}\n{aux('e', 'c')}\n"
        f"{aux('fine', 'PREVIOUS(fine, 1)')}"
    )
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, variables)
    assert refused.value.values["found"] == [
        [9, "v", "there is no function 'FLAW'."],
        [11, "a", "it is defined in a circle: a → b → a"],
        [13, "c", "it is defined in a circle: c → d → e → c"],
    ]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("no xml", "it isn't XML"),
        ("<html/>", "it isn't an XMILE document"),
        ("<xmile/>", "it isn't an XMILE document"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><xmile>&a;</xmile>', "it declares entities"),
        ("<a>" * 100 + "</a>" * 100, "more than 64 levels deep"),
        ("<xmile><model><aux name='a'><eqn>1</eqn></aux></model></xmile>", "there are no run specs"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, document: str, reason: str) -> None:
    path = tmp_path / "m.xmile"
    path.write_text(document)
    with pytest.raises(UnservableModel, match=reason):
        Model.from_xmile(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match=r"^The model file \S+none.xmile can't be read: No such file"):
        Model.from_xmile(tmp_path / "none.xmile")


@pytest.mark.parametrize(
    ("variables", "before", "reason"),
    [
        (aux("a", "(" * 200 + "1" + ")" * 200), "", "nested more than 100 levels deep"),
        (aux("a", "1+" * 40_000 + "1"), "", "65536 are allowed"),
        (
            array("a", "B,B,B", "<eqn>1</eqn>"),
            '<dimensions><dim name="B" size="100"/></dimensions>',
            "1000000 cells; 200000 are allowed",
        ),
        ("", '<dimensions><dim name="B" size="20000"/></dimensions>', "20000 elements; 10000 are allowed"),
        (aux("y", "LOOP(1)"), '<macro name="LOOP"><parm>x</parm><eqn>NEXT(x)</eqn></macro>'
         '<macro name="NEXT"><parm>x</parm><eqn>LOOP(x) + LOOP(x)</eqn></macro>', "levels deep"),
    ],
    ids=["nesting", "length", "cells", "elements", "macros"],
)  # fmt: skip
def test_the_size_of_a_model_is_limited(tmp_path: Path, variables: str, before: str, reason: str) -> None:
    with pytest.raises(UnservableModel, match=reason):
        model_of(tmp_path, variables, before=before)


def test_a_long_sum_is_no_deep_one(tmp_path: Path) -> None:
    model = model_of(tmp_path, aux("a", "+".join(["1"] * 20_000)))
    assert columns_of(model, ["a"])["a"] == [20_000.0] * 5


def test_the_identity_is_that_of_the_same_model_in_python(tmp_path: Path) -> None:
    variables = stock("s", "1", into="f") + flow("f", "s*r") + aux("r", "0.1")
    read = model_of(tmp_path, variables)
    made = Model(1.0, 5.0, 1.0, name="other")
    s, f, r = made.stock("s"), made.biflow("f"), made.converter("r")
    s.initial_value, s.equation, f.equation, r.equation = 1.0, f, s * r, 0.1
    assert read.fingerprint() == made.fingerprint()
    assert read.fingerprint() != model_of(tmp_path, variables.replace("0.1", "0.2")).fingerprint()
    assert json.dumps(simulate(read, {})) == json.dumps(simulate(made, {}))


def test_of_very_many_circles_the_first_are_listed(tmp_path: Path) -> None:
    variables = "\n".join(aux(f"a{i:02}", f"b{i}") + aux(f"b{i}", f"a{i:02} + 1") for i in range(21))
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, variables)
    found = refused.value.values["found"]
    assert [each[1] for each in found] == [f"a{i:02}" for i in range(20)]
    assert found[-1][2] == "it is defined in a circle: a19 → b19 → a19; there are more circles"
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, "\n".join(variables.split("\n")[:20]))
    assert "more" not in str(refused.value)


def test_a_circle_of_initial_values_is_found_beside_another(tmp_path: Path) -> None:
    variables = stock("s", "t") + stock("t", "s") + aux("a", "b") + aux("b", "a")
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, variables)
    assert [each[2].rpartition(": ")[2] for each in refused.value.values["found"]] == [
        "a → b → a",
        "s → t → s",
    ]


def test_modules_that_hold_each_other_are_refused_at_the_first_limit(tmp_path: Path) -> None:
    """Without a limit of all modules together there would be 2^40 of them."""
    held = "<variables><module name='A{0}'/><module name='B{0}'/></variables>"
    after = "".join(f"<model name='{n}{i}'>{held.format(i + 1)}</model>" for i in range(40) for n in "AB")
    with pytest.raises(UnservableModel, match="more than 20000 variables and modules") as refused:
        model_of(tmp_path, '<module name="A0"/>', after=after)
    limits = [each for each in refused.value.values["found"] if "20000" in each[2]]
    assert len(limits) == 1


def test_the_operations_of_all_equations_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.engines.system_dynamics.sources.building.MAX_OPERATIONS", 1000)
    variables = array("x", "B", "<eqn>1</eqn>") + array("y", "B", "<eqn>SUM(x[*]) * B</eqn>") + aux("z", "y")
    with pytest.raises(UnservableModel, match="more than 1000 operations") as refused:
        model_of(tmp_path, variables, before='<dimensions><dim name="B" size="100"/></dimensions>')
    assert len(refused.value.values["found"]) == 1


def test_a_text_of_many_lines_is_read_in_linear_time() -> None:
    """Each line comes on its own; the text must not be copied for each."""
    root = parse(b"<doc>a" + b"\n" * 1_000_000 + b"<b>c</b>d</doc>")
    assert root.text == "a" + "\n" * 1_000_000 + "d"
    assert root.content("b") == "c"


def test_all_unknown_names_of_an_equation_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, aux("x", "FOO(1, TIME) + yy + BAR(ww)") + aux("known", "1"))
    assert [problem[2] for problem in refused.value.values["found"]] == [
        f"there is no {what}."
        for what in ("function 'BAR'", "function 'FOO'", "variable 'ww'", "variable 'yy'")
    ]


def test_a_cell_has_one_equation(tmp_path: Path) -> None:
    before = '<dimensions><dim name="D"><elem name="a"/><elem name="b"/></dim></dimensions>'
    twice = '<element subscript="a"><eqn>1</eqn></element><element subscript="A"><eqn>2</eqn></element>'
    with pytest.raises(UnservableModel, match=r"x: there is already an equation of x\[A\]"):
        model_of(tmp_path, array("x", "D", twice), before=before)
