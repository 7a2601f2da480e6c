"""Models written as XMILE and as JSON, and read again."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from tests.support.sd_models import ROOT
from tests.support.xmile_models import aux, flow, model_of, stock
from typer.testing import CliRunner

from perdure.cli import app
from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.engines.system_dynamics.compiling.memories import MEMORIES
from perdure.engines.system_dynamics.expression import Memory, Recall
from perdure.engines.system_dynamics.json_writing import document_of
from perdure.engines.system_dynamics.titles import title_of
from perdure.errors import UnservableModel

FILES = [
    ROOT / "samples" / "teacup" / "teacup.stmx",
    ROOT / "samples" / "bpowers-hares_and_lynxes_modules" / "model.stmx",
    ROOT / "tests" / "smooth_and_stock" / "test_smooth_and_stock.xmile",
    ROOT / "tests" / "builtin_max" / "builtin_max.xmile",
]


FUNCTIONS = list(
    enumerate(
        (
            "STEP(5, 3)",
            "RAMP(2, 3)",
            "PULSE(6, 2, 2)",
            "SIN(x) + COS(x) ^ 2 MOD 3",
            "NPV(x, 0.1)",
            "TREND(x, 2)",
            "DELAY3(x * 2, 2)",
            "PREVIOUS(x, 9)",
            "INIT(x) < 2",
            "x <> 3 OR x = 3",
            "SAFEDIV(1, x - 2, 7)",
            "MEAN(x, 2, 9)",
            "RANK(3, 1, x, 2)",
            "ROUND(x / 2)",
            "QUANTUM(x, 2) + SIGN(x) + INT(-x / 2)",
            "PMT(0.1, x, 1000, 5)",
            "RANDOM(0, 1) * 0 + UNIFORM(2, 2)",
            "IF NOT (x > 2) THEN -INF ELSE 1e-3",
        )
    )
)


def sir() -> Model:
    """Return a model of an infection, with functions of many kinds."""
    model = Model(starttime=0.0, stoptime=20.0, dt=0.25, name="SIR & more")
    susceptible, infected = model.stock("susceptible"), model.stock("infected")
    infection, recovery = model.flow("infection"), model.biflow("recovery")
    contacts, duration = model.constant("contact rate"), model.converter("duration")
    susceptible.initial_value, infected.initial_value = 990.0, 10.0
    susceptible.equation, infected.equation = -infection, infection - recovery
    infection.equation = susceptible * infected * contacts / 1000.0 * sd.lookup(sd.time(), "season")
    recovery.equation = infected / duration
    contacts.equation, duration.equation = 0.6, 4.0
    model.points["season"] = [[0.0, 1.0], [10.0, 0.5], [20.0, 1.0]]
    late = model.converter("late")
    late.equation = sd.delay(model, infected, 2.0, 1.0) + sd.smooth(model, infected, 3.0, 2.0)
    alarm = sd.And(infected > 100.0, sd.Not(late < 5.0))
    model.converter("alarm").equation = sd.If(alarm, 1.0, 0.0)
    model.converter("odd").equation = -((infected - 3.0) ** 2.0) % 7.0 - sd.max(sd.min(infected, 5.0), -2.0)
    return model


def test_a_model_in_python_is_written_as_xmile_and_read_with_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sir.xmile"
    path.write_text(sir().to_xmile())
    read = Model.from_xmile(path)
    assert read.name == "SIR & more"
    assert (read.starttime, read.stoptime, read.dt) == (0.0, 20.0, 0.25)
    names = list(sir().elements)
    assert json.dumps(simulate(read, {"outputs": names})) == json.dumps(simulate(sir(), {"outputs": names}))
    override = {"outputs": names, "constants": {"contact rate": 0.9}, "points": {"season": [[0.0, 2.0]]}}
    assert json.dumps(simulate(read, override)) == json.dumps(simulate(sir(), override))


def test_a_model_in_python_is_written_as_json_and_read_with_the_same_identity() -> None:
    document = json.loads(json.dumps(document_of(sir())))
    read = Model.from_json(document)
    assert read.fingerprint() == sir().fingerprint()
    assert simulate(read, {}) == simulate(sir(), {})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_converted_and_read_with_the_same_numbers(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "target.xmile"
    done = CliRunner().invoke(app, ["models", "convert", str(path), str(target)])
    assert done.exit_code == 0, done.output
    model, read = Model.from_xmile(path), Model.from_xmile(target)
    names = list(model.elements)
    assert json.dumps(simulate(read, {"outputs": names})) == json.dumps(simulate(model, {"outputs": names}))
    assert {name: model.elements[name].units for name in names} == {
        name: read.elements[name].units for name in names
    }


def test_many_functions_are_written_and_read_with_the_same_numbers(tmp_path: Path) -> None:
    equations = "".join(aux(f"y {i}", escape(each)) for i, each in FUNCTIONS)
    model = model_of(tmp_path, aux("x", "TIME") + equations)
    check_that_it_is_the_same(tmp_path, model)


def test_stocks_and_graphical_functions_are_written_and_read_with_the_same_numbers(tmp_path: Path) -> None:
    variables = aux("x", "TIME")
    curve = '<gf type="discrete"><xscale min="0" max="4"/><ypts>0,10,20,30,40</ypts></gf>'
    variables += aux("g", "x", curve) + aux("h", "g(x) + LOOKUPINV(g, 15)")
    variables += stock("s", "5", into="f", out="d", more="<non_negative/>") + flow("f", "1") + flow("d", "9")
    check_that_it_is_the_same(tmp_path, model_of(tmp_path, variables))


def check_that_it_is_the_same(folder: Path, model: Model) -> None:
    """Write a model, read it and compare the numbers."""
    target = folder / "target.xmile"
    target.write_text(model.to_xmile())
    read = Model.from_xmile(target)
    names = list(model.elements)
    assert json.dumps(simulate(read, {"outputs": names})) == json.dumps(simulate(model, {"outputs": names}))


def test_arrays_in_python_are_written_cell_by_cell(tmp_path: Path) -> None:
    model = Model(starttime=0.0, stoptime=4.0, dt=0.5, name="arrays")
    v, matrix, s = model.constant("v"), model.constant("m"), model.stock("s")
    v.setup_named_vector({"a": 1.0, "b": 2.5})
    matrix.setup_matrix([2, 2], [[1.0, 2.0], [3.0, 4.0]])
    s.setup_named_vector({"a": 10.0, "b": 20.0})
    s.equation = v - s * 0.1
    model.converter("scaled").equation = matrix.dot(matrix * 2.0) + matrix
    for name in ("sum", "prod", "mean", "stddev", "max", "min", "size"):
        model.converter(name).equation = getattr(s, f"arr_{name}")()
    model.converter("dot").equation = s.dot(v) + v.arr_sum()
    target = tmp_path / "target.xmile"
    target.write_text(model.to_xmile())
    outputs = {"outputs": [name for name, element in model.elements.items() if not element.arrayed]}
    assert simulate(Model.from_xmile(target), outputs) == simulate(model, outputs)
    model.converter("median").equation = s.arr_median()
    with pytest.raises(UnservableModel, match="median: XMILE has no function for 'array_median'"):
        model.to_xmile()


def test_what_a_target_cannot_say_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    path, target = tmp_path / "model.xmile", tmp_path / "target.json"
    model_of(
        tmp_path,
        stock("s", "5", into="f", more="<non_negative/>") + flow("f", "SMTH1(TIME, 2)") + aux("y", "SIGN(s)"),
    )
    done = CliRunner().invoke(app, ["models", "convert", str(path), str(target)])
    assert isinstance(done.exception, UnservableModel)
    found = done.exception.values["found"]
    assert [problem[1] for problem in found] == ["s", "f", "y"]
    assert not target.exists()
    belt = stock("b", "5", into="f", out="o", more="<conveyor><len>2</len></conveyor>")
    model = model_of(tmp_path, belt + flow("f", "1") + flow("o"))
    check_that_it_is_the_same(tmp_path, model)
    with pytest.raises(UnservableModel, match="o: XMILE has no equation for a conveyor"):
        model.with_constants({"f": 2.0}).to_xmile()


@pytest.mark.parametrize("function", ["DELAY MATERIAL(TIME, 2, 0, 1)", "DELAY INFORMATION(TIME, 2, 1)"])
def test_functions_that_a_target_lacks_are_named_as_files_write_them(tmp_path: Path, function: str) -> None:
    model = model_of(tmp_path, aux("y", function))
    title = function.partition("(")[0]
    with pytest.raises(UnservableModel, match=f"y: XMILE has no equation for {title}"):
        model.with_constants({}).to_xmile()
    with pytest.raises(UnservableModel, match=f"y: a JSON model has no node for {title}"):
        document_of(model)


def test_each_memory_has_a_title() -> None:
    for kind in MEMORIES:
        title = title_of(Recall(Memory("m", kind, (), ()), "last"))
        assert title.startswith("a") or title.isupper()


def test_names_that_xmile_cannot_tell_apart_are_refused() -> None:
    model = Model(0.0, 1.0, 1.0, name="m")
    model.converter("a_b").equation, model.converter("A b").equation = 1.0, 2.0
    with pytest.raises(UnservableModel, match="A b: XMILE has no other name for it than for 'a_b'"):
        model.to_xmile()


ARRAYS = """<dimensions><dim name="D"><elem name="a"/><elem name="b"/></dim><dim name="N" size="3"/>
<dim name="S"><elem name="b"/></dim></dimensions>
<macro name="HALF"><parm>x</parm><eqn>x/2</eqn></macro>
<macro name="MY LEVEL"><parm>in</parm><variables><stock name="MY LEVEL"><eqn>1</eqn><inflow>f</inflow></stock>
<flow name="f"><eqn>in</eqn></flow></variables></macro>"""
AXIS = '<dimensions><dim name="D"/></dimensions>'
AXES = '<dimensions><dim name="D"/><dim name="N"/></dimensions>'
GF = "<gf><xpts>0,5</xpts><ypts>0,10</ypts></gf>"
KEPT = (
    f'<aux name="m">{AXES}<eqn>D*10 + N</eqn></aux>'
    f'<stock name="s">{AXES}<eqn>m[D,N]</eqn><inflow>i</inflow></stock>'
    f'<flow name="i">{AXES}<eqn>IF D = D.b THEN m ELSE -HALF(m)</eqn></flow>'
    f'<aux name="one">{AXIS}<element subscript="a"><eqn>SUM(m[a,*])</eqn></element>'
    f'<element subscript="S"><eqn>TIME</eqn>{GF}</element></aux>'
    f'<aux name="look up">{AXIS}<element subscript="a">{GF}</element>'
    '<element subscript="b">' + GF.replace("10", "20") + "</element></aux>"
    f'<aux name="late">{AXIS}<eqn>SMTH3("look up"[D](TIME), 2) + m[D, 2]</eqn></aux>'
    '<aux name="total"><eqn>SUM(s) + MAX(s[*,1]) + MY_LEVEL(3) + PREVIOUS(SELF, 1)</eqn></aux>'
    '<aux name="moving"><eqn>s[b, INT(TIME)]</eqn></aux>'
    '<module name="Plant"><connect to="Plant.load" from="total"/></module>'
)
PLANT = (
    '<model name="Plant"><variables><aux name="load" access="input"/>'
    '<aux name="out"><eqn>load*2 + .one[a]</eqn></aux></variables></model>'
)


def test_a_file_keeps_its_arrays_macros_and_modules(tmp_path: Path) -> None:
    model = model_of(tmp_path, KEPT, before=ARRAYS, after=PLANT, stop=3)
    check_that_it_is_the_same(tmp_path, model)
    written = model.to_xmile()
    for part in (
        '<dim name="N"><elem name="1"/>',
        '<macro name="HALF">',
        '<model name="Plant">',
        "SUM(m[a, *])",
    ):
        assert part in written
    assert "s[a,1]" not in written
    assert Model.from_xmile(tmp_path / "target.xmile").fingerprint() == model.fingerprint()


def test_a_changed_model_is_written_as_it_is_now(tmp_path: Path) -> None:
    variables = f'<aux name="m">{AXES}<eqn>D*10 + N</eqn></aux>' + aux("total", "SUM(m)")
    model = model_of(tmp_path, variables, before=ARRAYS).with_constants({"m[a,2]": 7.0})
    check_that_it_is_the_same(tmp_path, model)
    assert 'name="m[a,2]"' in model.to_xmile()


STRUCTURES = (
    stock("queue", "6", into="come", out="enter", more="<queue/>")
    + flow("come", "2")
    + '<flow name="enter"/>'
    + stock(
        "belt",
        "4",
        into="enter",
        out="leave",
        more='<outflow>lost</outflow><conveyor exponential_leak="true" one_at_a_time="false" '
        'batch_integrity="true"><len>3</len><capacity>9</capacity><in_limit>3</in_limit><sample>1</sample>'
        "<arrest>TIME = 3</arrest></conveyor>",
    )
    + '<flow name="leave"/>'
    + '<flow name="lost" leak_start="0.25" leak_end="1"><eqn>0.1</eqn><leak/></flow>'
    + stock(
        "oven",
        "0",
        into="leave",
        out="done",
        more="<oven><len>2</len><capacity>5</capacity><fill_time>1</fill_time><clean_time>1</clean_time></oven>",
    )
    + '<flow name="done"><multiplier>3</multiplier></flow>'
    + stock("shelf", "0", into="done")
)


def test_a_file_keeps_its_conveyors_queues_and_ovens(tmp_path: Path) -> None:
    model = model_of(tmp_path, STRUCTURES, stop=12)
    check_that_it_is_the_same(tmp_path, model)
    assert Model.from_xmile(tmp_path / "target.xmile").fingerprint() == model.fingerprint()
