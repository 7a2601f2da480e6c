"""Reading Vensim files: their text, their ranges, and the form that comes of them."""

import re
import sys
from pathlib import Path

import pytest
from tests.support.sd_models import ROOT

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.sources.form import (
    Call,
    Curve,
    Equation,
    Form,
    Item,
    Name,
    Number,
    Operation,
    Variable,
    Whole,
    canonical,
)
from perdure.engines.system_dynamics.sources.problems import Problems
from perdure.engines.system_dynamics.sources.vensim import parsing
from perdure.engines.system_dynamics.sources.vensim.reader import form_of
from perdure.engines.system_dynamics.sources.vensim.text import read_text, split
from perdure.errors import InvalidModelFile, MissingExtra, UnservableModel

CONTROL = """
********************************************************
	.Control
********************************************************~
		Simulation Control Parameters
	|

FINAL TIME  = 10 ~ Month ~ The final time for the simulation. |
INITIAL TIME  = 0 ~ Month ~ The initial time for the simulation. |
SAVEPER  = TIME STEP ~ Month [0,?] ~ How often results are kept. |
TIME STEP  = 0.5 ~ Month [0,?] ~ The time step for the simulation. |
"""


def read(folder: Path, text: str, *, control: str = CONTROL) -> tuple[Form, list[str]]:
    problems = Problems()
    form = form_of(("{UTF-8}\n" + text + control).encode(), folder / "model.mdl", problems)
    return form, [str(problem) for problem in problems]


def variable(form: Form, name: str) -> Variable:
    found = {canonical(each.name): each for each in form.parts[0].variables}
    return found[canonical(name)]


def expression(folder: Path, equation: str, before: str = "") -> object:
    form, problems = read(folder, f"{before}\nx = {equation} ~~|\n")
    assert problems == []
    return variable(form, "x").equations[0].expression


@pytest.mark.parametrize(("equation", "value"), [("-2^2", -4.0), ("(-2)^2", 4.0), ("2*-3^2", -18.0)])
def test_a_power_binds_closer_than_the_sign_before_it(tmp_path, equation, value):
    path = tmp_path / "m.mdl"
    path.write_text(f"{{UTF-8}}\nx = {equation} ~~|\n{CONTROL}")
    assert Model.from_vensim(path).simulate(["x"])["x"].tolist() == [value] * 21


def test_words_between_colons_may_be_in_small_letters(tmp_path):
    found = expression(tmp_path, 'IF THEN ELSE(Time > 1 :and: :Not: Time > 2 :or: "a:and:b" = 1, 1, :na:)')
    assert found == expression(
        tmp_path, 'IF THEN ELSE(Time > 1 :AND: :NOT: Time > 2 :OR: "a:and:b" = 1, 1, :NA:)'
    )


# Text -------------------------------------------------------------------------------------------------------


def test_an_entry_has_its_line_and_no_comments():
    problems = Problems()
    text = split(
        '{UTF-8}\n\na = {why} 1 +\\\n\t\t2 ~ Widget [0,10] ~ Two\n lines. |\n\n"b|~c" = 3 ~~|\n', problems
    )
    assert [(entry.equation, entry.line) for entry in text.entries] == [("a = 1 + 2", 3), ('"b|~c" = 3', 7)]
    assert text.entries[0].units == "Widget [0,10]"
    assert not len(problems)


def test_groups_and_sketches_are_no_entries():
    text = split(CONTROL + "\\\\\\---/// Sketch\nV300  x = 1 ~~|\n", Problems())
    assert [entry.equation.split("=")[0].strip() for entry in text.entries] == [
        "FINAL TIME",
        "INITIAL TIME",
        "SAVEPER",
        "TIME STEP",
    ]


@pytest.mark.parametrize(("line", "number"), [("15:0,0,0,1,0,0", 1), ("15:0,0,0,3,0", 3), ("19:1,2", 0)])
def test_the_settings_name_the_integration_method(line, number):
    text = split(f"a=1~~|\n\\\\\\---/// Sketch\n///---\\\\\\\n:L<%^E!@\n1:run.vdf\n{line}\n", Problems())
    assert text.integration == number


def test_a_macro_keeps_its_entries_to_itself():
    text = split(
        ":MACRO: M(in, other : out)\nM = in ~~|\nout = other ~~|\n:END OF MACRO:\ny = M(1,2) ~~|\n",
        Problems(),
    )
    (macro,) = text.macros
    assert (macro.name, macro.parameters, macro.results, len(macro.entries)) == (
        "M",
        ("in", "other"),
        ("out",),
        2,
    )
    assert [entry.equation for entry in text.entries] == ["y = M(1,2)"]


def test_what_is_left_open_is_a_problem():
    problems = Problems()
    split("a = 1 ~ ~ |\n:MACRO: M(in)\nM = in ~~|\nb = 2 ~ unit", problems)
    assert [str(problem) for problem in problems] == [
        "line 2: M: the macro has no :END OF MACRO:",
        "line 4: b = 2 ~ unit: the file ends within a definition; a | closes it",
    ]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("{UTF-8}\nßé = 1 ~~|".encode(), "ßé = 1"),
        ("\ufeff{UTF-8}\nß = 1 ~~|".encode(), "ß = 1"),
        ("é = 1 ~~|".encode("cp1252"), "é = 1"),
        ("{windows-1251}\nж = 1 ~~|".encode("windows-1251"), "ж = 1"),
        (b"{no such code}\na = 1 ~~|", "a = 1"),
        (b"{UTF-8}\ra = 1 ~~|\r\nb = 2 ~~|\r", "a = 1"),
    ],
)
def test_encodings_and_line_ends(data, name):
    assert read_text(data, Problems()).entries[0].equation == name


# Ranges -----------------------------------------------------------------------------------------------------


def test_ranges_subranges_copies_and_numbered_elements(tmp_path):
    form, problems = read(
        tmp_path, "All: Some, c ~~|\nSome: (a1-a3), b ~~|\nCopy <-> All ~~|\nv[All] = 1 ~~|\n"
    )
    assert problems == []
    found = {each.name: each.elements for each in form.dimensions}
    assert found == {
        "All": ("a1", "a2", "a3", "b", "c"),
        "Some": ("a1", "a2", "a3", "b"),
        "Copy": ("a1", "a2", "a3", "b", "c"),
    }


def test_mappings_go_both_ways_and_to_groups(tmp_path):
    form, problems = read(
        tmp_path, "A: a1, a2 -> B, (C: c1, Rest) ~~|\nB: b1, b2 ~~|\nC: c1, c2, c3 ~~|\nRest: c2, c3 ~~|\n"
    )
    assert problems == []
    mappings = {each.name: dict(each.mappings) for each in form.dimensions}
    assert mappings["A"] == {"B": ("b1", "b2")}
    assert mappings["B"] == {"A": ("a1", "a2")}
    assert mappings["C"] == {"A": ("a1", "a2", "a2")}


def test_ranges_that_make_no_sense(tmp_path):
    _, problems = read(tmp_path, "A: B ~~|\nB: A ~~|\nC: c1, c2 -> (D: d1) ~~|\nD: d1 ~~|\n")
    assert problems == [
        "line 2: A: the range is defined by itself",
        "line 3: B: the range is defined by itself",
        "line 4: C: the mapping to 'D' has 1 parts, not 2",
    ]


# Variables --------------------------------------------------------------------------------------------------


def test_a_stock_its_units_and_its_documentation(tmp_path):
    form, _ = read(tmp_path, "Level = INTEG(In - 2, 7) ~ Widget [0,?] ~ What is there. |\nIn = 3 ~~|\n")
    level = variable(form, "level")
    assert (level.name, level.kind, level.units, level.documentation, level.line) == (
        "Level",
        "stock",
        "Widget",
        "What is there.",
        2,
    )
    assert level.equations == (
        Equation(expression=Operation("subtract", (Name("in"), Number(2.0))), initial=Number(7.0), line=2),
    )


def test_the_run_specs(tmp_path):
    form, _ = read(tmp_path, "a = 1 ~~|\n")
    specs = form.specs
    assert (specs.start, specs.stop, specs.dt, specs.save_every) == (
        Number(0.0),
        Number(10.0),
        Number(0.5),
        Name("SAVEPER"),
    )
    assert (specs.method, specs.time_units) == ("euler", "Month")
    # What the file shows as a variable follows the run specs.
    assert variable(form, "TIME STEP").equations[0].expression == Operation("dt", ())


def times_of(folder: Path, control: str) -> Model:
    path = folder / "model.mdl"
    path.write_text("n = 4 ~~|\nINITIAL TIME = n/2 ~~|\nSAVEPER = TIME STEP ~~|\n" + control)
    return Model.from_vensim(path)


def test_run_specs_may_be_computed(tmp_path):
    model = times_of(tmp_path, "FINAL TIME = INITIAL TIME + MAX(n, 9) ~~|\nTIME STEP = 1/n ~~|\n")
    assert (model.starttime, model.stoptime, model.dt, model.save_every) == (2.0, 11.0, 0.25, 0.25)
    model = times_of(tmp_path, "FINAL TIME = IF THEN ELSE(Time > 5, Time, 9) ~~|\nTIME STEP = 1 ~~|\n")
    assert model.stoptime == 9.0


def test_a_step_that_changes_in_a_run_is_a_problem(tmp_path):
    with pytest.raises(UnservableModel, match="run specs, dt: it must be a number"):
        times_of(tmp_path, "FINAL TIME = 9 ~~|\nTIME STEP = IF THEN ELSE(Time > 5, 1, 2) ~~|\n")


def test_missing_run_specs_and_methods_are_problems(tmp_path):
    settings = "\\\\\\---/// Sketch\n///---\\\\\\\n:L<%^E!@\n15:0,0,0,4,0,0\n"
    _, problems = read(tmp_path, "a = 1 ~~|\n", control="TIME STEP = 1 ~~|\n" + settings)
    assert [problem.partition(":")[0] for problem in problems] == [
        "FINAL TIME",
        "INITIAL TIME",
        "integration",
    ]


def test_cells_get_their_numbers_in_order(tmp_path):
    form, problems = read(
        tmp_path,
        "A: a1, a2 ~~|\nB: b1, b2, b3 ~~|\nv[A, B] :EXCEPT: [a2, B] = 1,2,3; 4,5,6; ~~|\nv[a2, B] = 0 ~~|\n",
    )
    assert problems == []
    v = variable(form, "v")
    assert v.dimensions == ("A", "B")
    assert [(each.subscripts, each.expression) for each in v.equations] == [
        (("a1", "b1"), Number(1.0)),
        (("a1", "b2"), Number(2.0)),
        (("a1", "b3"), Number(3.0)),
        (("a2", "B"), Number(0.0)),
    ]


def test_a_variable_on_a_part_of_a_range_has_the_smallest_one(tmp_path):
    form, _ = read(tmp_path, "All: a, b, c, d ~~|\nSub: a, c ~~|\nv[a] = 1 ~~|\nv[c] = 2 ~~|\nw[b] = 1 ~~|\n")
    assert variable(form, "v").dimensions == ("Sub",)
    assert variable(form, "w").dimensions == ("All",)


def test_lookups_in_all_their_forms(tmp_path):
    form, problems = read(
        tmp_path,
        "f([(0,0)-(9,9)],(2,20),(1,10)) ~~|\ng( 1,2,3, 4,5,6 ) ~~|\n"
        "y = WITH LOOKUP(Time, ([(0,0)-(1,1)],(0,1),(1,2))) ~~|\nz = f(y) + g(3) ~~|\n",
    )
    assert problems == []
    assert variable(form, "f").kind == "curve"
    assert variable(form, "f").equations[0].curve == Curve(((1.0, 10.0), (2.0, 20.0)))
    assert variable(form, "g").equations[0].curve == Curve(((1.0, 4.0), (2.0, 5.0), (3.0, 6.0)))
    assert variable(form, "y").equations[0].curve == Curve(((0.0, 1.0), (1.0, 2.0)))
    assert variable(form, "z").equations[0].expression == Operation(
        "add", (Call("lookup", (Name("f"), Name("y"))), Call("lookup", (Name("g"), Number(3.0))))
    )


def test_limits_of_a_drawing_are_never_evaluated(tmp_path):
    made = tmp_path / "made"
    for opened in (f"[open({str(made)!r}, 'w')]", f'[open("{made}", "w")]', f'\\ [open("{made}", "w")]'):
        for equation in (f"f({opened}, (0,0),(1,1))", f"y = WITH LOOKUP(1, ({opened}, (0,0),(1,1)))"):
            read(tmp_path, f"{equation} ~~|\n")
            assert not made.exists()
    attack = f"[open({str(made)!r}, 'w')]"
    form, problems = read(tmp_path, f"f({attack}, (0,0),(1,1)) ~~|\n")
    assert problems == []
    assert variable(form, "f").equations[0].curve == Curve(((0.0, 0.0), (1.0, 1.0)))
    _, problems = read(tmp_path, f"y = WITH LOOKUP(1, ({attack}, (0,0),(1,1))) ~~|\n")
    assert problems == []
    read(tmp_path, f"y = 1 + {attack} ~~|\n")
    assert not made.exists()


def test_the_parser_evaluates_literals_only(tmp_path, monkeypatch):
    made = tmp_path / "made"
    # As if limits were not taken out.
    monkeypatch.setattr(parsing, "_LIMITS", re.compile("(?!)"))
    _, problems = read(tmp_path, f"f([open({str(made)!r}, 'w')], (0,0),(1,1)) ~~|\n")
    assert len(problems) == 1
    assert not made.exists()
    for equation, value in {"5 - 3": 2.0, "007.50": 7.5, "1 - 2 + 1e1": 9.0, "-.5": -0.5}.items():
        assert expression(tmp_path, equation) == Number(value)


def test_a_macro_names_the_whole_model_with_a_dollar(tmp_path):
    form, problems = read(tmp_path, ":MACRO: M(in)\nM = in * TIME STEP$ ~~|\n:END OF MACRO:\ny = M(2) ~~|\n")
    assert problems == []
    (macro,) = form.macros
    assert (macro.name, macro.parameters, macro.results) == ("M", ("in",), ("M",))
    assert macro.variables[0].equations[0].expression == Operation(
        "multiply", (Name("in"), Name(".time_step"))
    )
    assert variable(form, "y").equations[0].expression == Call("m", (Number(2.0),))


def test_a_macro_takes_lookups(tmp_path):
    path = tmp_path / "model.mdl"
    text = ":MACRO: AT(curve, x)\nAT = curve(x) + 1 ~~|\n:END OF MACRO:\nf((0,0),(10,100)) ~~|\n"
    path.write_text(f"{text}y = AT(f, Time) ~~|\n{CONTROL}")
    assert Model.from_vensim(path).evaluate_equation("y", 5.0) == 51.0


def test_quotes_are_no_part_of_a_name(tmp_path):
    form, _ = read(tmp_path, '"a (b)" = 1 ~~|\n"say \\"hi\\"" = "a (b)" ~~|\n')
    assert [each.name for each in form.parts[0].variables][:2] == ["a (b)", 'say "hi"']
    assert variable(form, 'say "hi"').equations[0].expression == Name("a_(b)")


# Expressions ------------------------------------------------------------------------------------------------


TIME = Operation("time", ())


def number(value: float) -> Number:
    return Number(float(value))


@pytest.mark.parametrize(
    ("equation", "value"),
    [
        ("Time - 2 - 3", Operation("subtract", (Operation("subtract", (TIME, number(2))), number(3)))),
        ("2 ^ 3 ^ 4", Operation("power", (number(2), Operation("power", (number(3), number(4)))))),
        ("-Time ^ 2", Operation("negate", (Operation("power", (TIME, number(2))),))),
        (
            "1 :OR: 2 :AND: 3",
            Operation("or", (number(1), Operation("and", (number(2), number(3))))),
        ),
        (":NOT: 1 = 2", Operation("not", (Operation("equal", (number(1), number(2))),))),
        (":NA:", Number(-(2.0**109))),
        ("GAME(5)", number(5)),
        ("LOG(8, 2)", Operation("divide", (Operation("ln", (number(8),)), Operation("ln", (number(2),))))),
        ("SMOOTH3I(1, 2, 3)", Call("smth3", (number(1), number(2), number(3)))),
        ("DELAY1(1, 2)", Call("delay1", (number(1), number(2)))),
        ("DELAY N(1, 2, 3, 4)", Call("delay_n", (number(1), number(2), number(4), number(3)))),
        ("PULSE TRAIN(1, 2, 3, 4)", Operation("intervals", (number(1), number(3), number(2), number(4)))),
        ("GET TIME VALUE(0, 2, 0)", Operation("add", (TIME, number(2)))),
    ],
)  # fmt: skip
def test_expressions(tmp_path, equation, value):
    assert expression(tmp_path, equation) == value


ARRAYS = "D: d1, d2, d3 ~~|\nE: e1, e2, e3 ~~|\nv[D] = 1 ~~|\nm[D, E] = 2 ~~|\n"


@pytest.mark.parametrize(
    ("left", "equation", "value"),
    [
        ("x", "SUM(v[D!] * 2)", Call("sum", (Operation("multiply", (Name("v", (Whole("D"),)), number(2))),))),
        ("x", "VMAX(v[D!])", Call("max", (Name("v", (Whole("D"),)),))),
        ("x", "ELMCOUNT(D)", number(3)),
        ("x", "v[d2]", Name("v", (Item("d2"),))),
        (
            "x[D]",
            "VECTOR SORT ORDER(v[D], 1)",
            Call(
                "sort_order",
                (Operation("subtract", (Name("D"), number(1))), number(1), Name("v", (Whole("D"),))),
            ),
        ),
        (
            "x",
            "VECTOR ELM MAP(v[d2], 1)",
            Call("element_at", (Operation("add", (number(1), number(1))), Name("v", (Whole("D"),)))),
        ),
        (
            "x",
            "VECTOR SELECT(v[D!], m[D!, e1], 9, 0, 1)",
            Call(
                "vector_select",
                (
                    number(9),
                    number(0),
                    number(1),
                    Name("v", (Whole("D"),)),
                    Name("m", (Whole("D"), Item("e1"))),
                ),
            ),
        ),
    ],
)
def test_functions_of_arrays(tmp_path, left, equation, value):
    form, problems = read(tmp_path, f"{ARRAYS}{left} = {equation} ~~|\n")
    assert problems == []
    assert variable(form, "x").equations[0].expression == value


def test_all_problems_are_listed_with_line_and_element(tmp_path):
    _, problems = read(
        tmp_path,
        "a = DELAY CONVEYOR(1,2,3,4,5,6) ~~|\nb = MAX(1,2,3) ~~|\nc = 1 + + ~~|\nd[nobody] = 1 ~~|\n"
        "e = 1 + GET DIRECT DATA('x','y','z','w') ~~|\nf = GET TIME VALUE(2,0,1) ~~|\n"
        "g :INTERPOLATE: ~~|\nh = GET DIRECT CONSTANTS('nothing.xlsx','a','B2') ~~|\n",
    )
    assert [problem.split(":")[:2] for problem in problems] == [
        [f"line {i}", f" {name}"] for i, name in enumerate("abcdefgh", 2)
    ]
    assert "DELAY CONVEYOR isn't supported" in problems[0]
    assert "doesn't take 3 arguments" in problems[1]
    assert "isn't understood" in problems[2]
    assert "no file 'nothing.xlsx'" in problems[7]


def test_reality_checks_are_left_out(tmp_path):
    form, problems = read(
        tmp_path, "a = 1 ~~|\nt :TEST INPUT: a = 2 ~~|\nc :THE CONDITION: t :IMPLIES: a > 1 ~~|\n"
    )
    assert problems == []
    assert len(form.parts[0].variables) == 5


def test_long_and_deep_equations(tmp_path):
    assert expression(tmp_path, "+".join(["1"] * 500)) is not None
    deep = "(" * 60 + "1" + ")" * 60
    assert expression(tmp_path, deep) == number(1)
    _, problems = read(tmp_path, f"x = {'(' * 3000}1{')' * 3000} ~~|\n")
    assert problems == ["line 2: x: the equation is nested too deeply"]
    _, problems = read(tmp_path, f"x = {'1+' * 40_000}1 ~~|\n")
    assert problems == ["line 2: x: the equation has more than 65536 characters"]


# Models -----------------------------------------------------------------------------------------------------


def test_without_pysd_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysd.translators.vensim.vensim_element", None)
    with pytest.raises(MissingExtra, match=r"Reading Vensim models needs .*'pysd'.*perdure\[vensim\]"):
        Model.from_vensim(ROOT / "samples/teacup/teacup.mdl")


def test_the_ending_of_a_file_decides(tmp_path):
    assert Model.from_file(ROOT / "samples/teacup/teacup.mdl").name == "teacup"
    with pytest.raises(InvalidModelFile, match=r"can't be read: the names of model files end in .*\.mdl"):
        Model.from_file(tmp_path / "model.txt")
    with pytest.raises(InvalidModelFile, match="can't be read"):
        Model.from_vensim(tmp_path / "missing.mdl")


def test_a_model_is_identified_by_its_meaning(tmp_path):
    def fingerprint(text: str) -> str:
        path = tmp_path / "model.mdl"
        path.write_text("{UTF-8}\n" + text + CONTROL)
        return Model.from_vensim(path).fingerprint()

    first = fingerprint("a = 1 ~ Widget ~ Why. |\nb = a * 2 ~~|\n")
    assert first == fingerprint("b = {twice} A\\\n\t\t*2 ~~|\n\na = 1 ~~|\n")
    assert first != fingerprint("a = 1 ~~|\nb = a * 3 ~~|\n")


# Data -------------------------------------------------------------------------------------------------------

DATA = "D: d1, d2 ~~|\nout :INTERPOLATE: ~~|\nnext[D] :LOOK FORWARD: ~~|\nseen = out + next[d1] ~~|\n"
COLUMNS = 'Time\tout\t"next"[d1]\tNext[d2]\n0\t1\t5\t6\n2\t3\t7\t\n4\t5\t9\t8\n'


def of_data(folder: Path, settings: str = "", **options: object) -> Model:
    path = folder / "model.mdl"
    path.write_text("{UTF-8}\n" + DATA + CONTROL + settings)
    return Model.from_vensim(path, **options)


def test_data_come_from_given_files_in_either_direction(tmp_path):
    (tmp_path / "run.tab").write_text(COLUMNS)
    rows = [line.split("\t") for line in COLUMNS.splitlines()]
    (tmp_path / "turned.csv").write_text("\n".join(",".join(column) for column in zip(*rows, strict=True)))
    for name in ("run.tab", "turned.csv"):
        values = of_data(tmp_path, data=[tmp_path / name]).simulate(["out", "next[d1]", "next[d2]", "seen"])
        assert list(values.loc[1.0]) == [2.0, 7.0, 8.0, 9.0]
        assert list(values.loc[9.0]) == [5.0, 9.0, 8.0, 14.0]


def test_raw_data_are_missing_between_their_times(tmp_path):
    (tmp_path / "model.mdl").write_text("d :RAW: ~~|\nknown = IF THEN ELSE(d = :NA:, 0, d) ~~|\n" + CONTROL)
    (tmp_path / "run.csv").write_text("Time,d\n0,1\n2,3\n")
    model = Model.from_vensim(tmp_path / "model.mdl", data=[tmp_path / "run.csv"])
    assert [model.evaluate_equation("known", t) for t in (0.0, 1.0, 2.0, 3.0)] == [1.0, 0.0, 3.0, 0.0]
    assert model.evaluate_equation("d", 1.0) == -(2.0**109)


def test_data_come_from_runs_that_were_loaded(tmp_path):
    (tmp_path / "old.tab").write_text(COLUMNS)
    settings = "\\\\\\---/// Sketch\n///---\\\\\\\n:L<%^E!@\n1:old.vdfx\n15:0,0,0,0,0,0\n"
    assert of_data(tmp_path, settings).evaluate_equation("out", 1.0) == 2.0


def test_data_that_are_nowhere_are_a_problem(tmp_path):
    with pytest.raises(UnservableModel, match="out: it is a data variable without an equation, and no file"):
        of_data(tmp_path)
    (tmp_path / "run.csv").write_text("Time,out\n0,1\n")
    with pytest.raises(UnservableModel, match=r"next: .* run\.csv has no values for it"):
        of_data(tmp_path, data=[tmp_path / "run.csv"])
    with pytest.raises(UnservableModel, match=r"missing\.tab can't be read"):
        of_data(tmp_path, data=[tmp_path / "missing.tab"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1 ~~|\nX = 2 ~~|", "line 3: x: there is already an equation of x"),
        ("D: a, b ~~|\nx[D] = 1 ~~|\nx[D] = 2 ~~|", r"x: there is already an equation of x\[D\]"),
        ("D: a, b ~~|\nx[D] = 1, 2 ~~|\nx[a] = 2 ~~|", r"x: there is already an equation of x\[a\]"),
        ("x = FOO(BAZ(1)) + BAR(2) ~~|", "BAZ isn't supported; FOO isn't supported; BAR isn't supported"),
        ("x = zz + 1/yy ~~|", "there is no variable 'yy'.*there is no variable 'zz'"),
    ],
)
def test_a_variable_that_is_defined_twice_and_all_unknown_names_are_problems(tmp_path, text, reason):
    path = tmp_path / "m.mdl"
    path.write_text(f"{{UTF-8}}\n{text}\n{CONTROL}")
    with pytest.raises(UnservableModel, match=reason):
        Model.from_vensim(path)


@pytest.mark.parametrize("run", ["../old.vdf", "..\\old.vdf", "{folder}/old.vdfx"])
def test_runs_that_were_loaded_are_read_beside_the_model_only(tmp_path, run):
    (tmp_path / "old.tab").write_text(COLUMNS)
    inner = tmp_path / "inner"
    inner.mkdir()
    settings = f"\\\\\\---/// Sketch\n///---\\\\\\\n:L<%^E!@\n1:{run.format(folder=tmp_path)}\n"
    with pytest.raises(UnservableModel, match="out: it is a data variable without an equation, and no file"):
        of_data(inner, settings)
    assert of_data(inner, data=[tmp_path / "old.tab"]).evaluate_equation("out", 1.0) == 2.0


@pytest.mark.parametrize("function", ["DELAY1", "DELAY3", "SMOOTH", "SMOOTH3"])
def test_delays_within_each_other_grow_with_their_number(tmp_path, function):
    def definitions(depth: int) -> int:
        path = tmp_path / "m.mdl"
        path.write_text(f"{{UTF-8}}\ny = {f'{function}(' * depth}Time{', 3)' * depth} ~~|\n{CONTROL}")
        program = Model.from_vensim(path).program()
        return sum(len(each.code) for each in (*program.definitions.values(), *program.initials.values()))

    assert definitions(12) < 2.5 * definitions(6)


def test_calls_of_delayp_within_each_other_are_limited(tmp_path):
    def equation(depth: int) -> str:
        return f"y = {'DELAYP(' * depth}Time{''.join(f', 3 : p{i})' for i in range(depth))} ~~|\n"

    form, problems = read(tmp_path, equation(4))
    assert problems == []
    assert canonical(variable(form, "p3").name) == "p3"
    _, problems = read(tmp_path, equation(200))
    assert "y: with its macros written out it has more than 65536 characters" in problems[0]


def test_an_equation_that_is_nested_too_deeply_is_named(tmp_path):
    _, problems = read(tmp_path, f"y = {'DELAY3(' * 200}Time{', 3)' * 200} ~~|\n")
    assert problems == ["line 2: y: the equation is nested too deeply"]


def test_a_colon_in_a_text_is_no_result_of_a_macro(tmp_path):
    (tmp_path / "t.csv").write_text("1:2\n")
    form, problems = read(tmp_path, "x = GET DIRECT CONSTANTS('t.csv', ':', 'B1') ~~|\n")
    assert problems == []
    assert variable(form, "x").equations[0].expression == number(2)
    _, problems = read(tmp_path, "x = GET XLS CONSTANTS('C:\\data.xls', 'S', 'A1') ~~|\n")
    assert problems == ["line 2: x: there is no file 'C:\\\\data.xls' beside the model"]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("(a1-a99999999)", "a range goes from 1 to 99999999; 10000 elements are allowed"),
        (f"(a1-a{'9' * 5000})", "elements are allowed"),
        ("b, c -> (E: (a1-a99999999))", "a range goes from 1 to 99999999; 10000 elements are allowed"),
    ],
)
def test_ranges_of_numbered_elements_are_limited(tmp_path, definition, reason):
    _, problems = read(tmp_path, f"D: {definition} ~~|\n")
    assert problems[0].startswith("line 2: D: ")
    assert problems[0].endswith(reason)
    _, problems = read(tmp_path, f'"D = 2": {definition} ~~|\n')
    assert problems[0].endswith(reason)


def test_numbered_elements_are_counted(tmp_path):
    form, problems = read(tmp_path, "D: (a1-a3), b ~~|\n")
    assert problems == []
    assert form.dimensions[0].elements == ("a1", "a2", "a3", "b")
