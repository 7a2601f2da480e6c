"""Arrays of XMILE files that have one dimension twice, and ranges of subscripts."""

from pathlib import Path

import pytest
from tests.support.xmile_models import columns_of, model_of

from perdure.engines.system_dynamics import SystemDynamicsEngine
from perdure.engines.system_dynamics.sources.budget import Budget
from perdure.errors import InvalidOverride, UnservableModel

DIMENSIONS = (
    '<dimensions><dim name="D"><elem name="a"/><elem name="b"/></dim>'
    '<dim name="E"><elem name="p"/><elem name="q"/><elem name="r"/></dim></dimensions>'
)
SQUARE = '<dim name="D"/><dim name="D"/>'
X = (
    f'<aux name="x"><dimensions>{SQUARE}</dimensions>'
    '<element subscript="a,a"><eqn>1</eqn></element><element subscript="a,b"><eqn>2</eqn></element>'
    '<element subscript="b,a"><eqn>3</eqn></element><element subscript="b,b"><eqn>4</eqn></element></aux>'
)
LINE = (
    '<aux name="e"><dimensions><dim name="E"/></dimensions>'
    '<element subscript="p"><eqn>1</eqn></element><element subscript="q"><eqn>2</eqn></element>'
    '<element subscript="r"><eqn>3</eqn></element></aux>'
)
CELLS = ("a,a", "a,b", "b,a", "b,b")


def values(tmp_path: Path, equation: str, dimensions: str = "") -> list[float]:
    """Return the first value of each cell of an equation of the arrays `x` and `e`."""
    within = f"<dimensions>{dimensions}</dimensions>" if dimensions else ""
    model = model_of(
        tmp_path, f'{X}{LINE}<aux name="y">{within}<eqn>{equation}</eqn></aux>', before=DIMENSIONS
    )
    cells = {"": ("y",), SQUARE: tuple(f"y[{cell}]" for cell in CELLS)}.get(dimensions, ("y[a]", "y[b]"))
    return [column[0] for column in columns_of(model, cells).values()]


@pytest.mark.parametrize("equation", ["x*10", "x[D,D]*10", "MAX(x, 0)*10", "x[*,*]*10"])
def test_each_occurrence_of_a_dimension_is_one_of_the_cell(tmp_path: Path, equation: str) -> None:
    assert values(tmp_path, equation, SQUARE) == [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("SUM(x)", 10.0),
        ("SUM(x[*,*])", 10.0),
        ("PROD(x)", 24.0),
        ("MEAN(x)", 2.5),
        ("SIZE(x)", 4.0),
        ("MAX(x)", 4.0),
        ("RANK(x, 1)", 1.0),
        ("SUM(x*x)", 30.0),
        ("SUM(x*x[*,*])", 100.0),
        ("INTERPOLATE(x, 0.5, 0.5)", 2.5),
        ("E.q + 10*D.b", 22.0),
        ("VMAX(x) - VMIN(x[a,*])", 3.0),
        ("ELMCOUNT(E)", 3.0),
    ],
)
def test_an_array_function_goes_through_all_cells(tmp_path: Path, equation: str, expected: float) -> None:
    assert values(tmp_path, equation) == [expected]


@pytest.mark.parametrize(
    ("equation", "expected"),
    [("SUM(x[D,*])", [3.0, 7.0]), ("SUM(x[*,D])", [4.0, 6.0]), ("x[D,D]", [1.0, 4.0])],
)
def test_a_cell_of_one_dimension_reads_rows_columns_and_the_diagonal(
    tmp_path: Path, equation: str, expected: list[float]
) -> None:
    assert values(tmp_path, equation, '<dim name="D"/>') == expected


def test_the_diagonal_is_not_meant_by_the_name_of_an_array(tmp_path: Path) -> None:
    with pytest.raises(UnservableModel, match="y: x is an array; give it subscripts"):
        values(tmp_path, "x", '<dim name="D"/>')


@pytest.mark.parametrize("function", ["SUM", "PROD", "MIN", "MAX", "MEAN", "SIZE", "STDDEV"])
def test_a_range_that_ends_before_it_begins_is_refused(tmp_path: Path, function: str) -> None:
    assert values(tmp_path, "SUM(e[q:r])") == [5.0]
    with pytest.raises(UnservableModel, match=r"y: the range r:p is empty: 'p' comes before 'r'"):
        values(tmp_path, f"{function}(e[r:p])")


@pytest.mark.parametrize(
    "equation", ["e[", "e[*", "e[*:", "e[p:", "e[p", "e[p,", "SUM(", "SUM(e,", "-", "1+"]
)
def test_an_equation_that_breaks_off_is_refused(tmp_path: Path, equation: str) -> None:
    with pytest.raises(UnservableModel, match="y: "):
        values(tmp_path, equation)


def test_a_constant_that_is_an_array_names_its_cells(tmp_path: Path) -> None:
    model = model_of(tmp_path, X + LINE, before=DIMENSIONS)
    engine = SystemDynamicsEngine(model)
    with pytest.raises(InvalidOverride, match=r"it is an array; set its cells, e\[p\], e\[q\], e\[r\]"):
        engine.initialize({"outputs": ["e[p]"], "constants": {"e": 2.0}})
    engine.initialize({"outputs": ["e[p]"]})
    with pytest.raises(InvalidOverride, match=r"set its cells, x\[a,a\], x\[a,b\], x\[b,a\] …"):
        engine.step({"constants": {"x": 2.0}})


@pytest.mark.parametrize("equation", ["v[1]", "v[TIME]", "v[p]", "v[E]", "v", "SUM(v[*])", "SUM(v[p:q])"])
def test_a_dimension_without_elements_is_refused(tmp_path: Path, equation: str) -> None:
    empty = '<aux name="v"><dimensions><dim name="Z"/></dimensions><eqn>1</eqn></aux>'
    before = DIMENSIONS.replace("<dimensions>", '<dimensions><dim name="Z" size="0"/>')
    with pytest.raises(UnservableModel, match="Z: the dimension has neither elements nor a size"):
        model_of(
            tmp_path,
            f'{empty}<aux name="y"><dimensions><dim name="E"/></dimensions><eqn>{equation}</eqn></aux>',
            before=before,
        )


def test_what_is_too_large_is_refused_before_it_is_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell has more than 10,000 operations, all of them more than 100 million."""
    counted = 0
    spend = Budget.spend

    def counting(self: Budget) -> None:
        nonlocal counted
        counted += 1
        spend(self)

    monkeypatch.setattr(Budget, "spend", counting)
    before = '<dimensions><dim name="B" size="10000"/></dimensions>'
    cells = '<dimensions><dim name="B"/></dimensions>'
    with pytest.raises(UnservableModel, match="more than 1000000 operations"):
        model_of(
            tmp_path,
            f'<aux name="x">{cells}<eqn>1</eqn></aux><aux name="y">{cells}<eqn>SUM(x[*])</eqn></aux>',
            before=before,
        )
    assert counted < 40_000


def test_the_equation_of_one_cell_reads_arrays_without_subscripts_at_that_cell(tmp_path: Path) -> None:
    variables = (
        f'<stock name="s"><dimensions>{SQUARE}</dimensions>'
        '<element subscript="a,a"><eqn>10</eqn></element><element subscript="a,b"><eqn>20</eqn></element>'
        '<element subscript="b,a"><eqn>30</eqn></element><element subscript="b,b"><eqn>40</eqn></element>'
        "<inflow>x</inflow><outflow>o</outflow></stock>"
        '<flow name="o"><dimensions><dim name="D"/></dimensions><eqn>D</eqn></flow>'
        '<aux name="y"><dimensions><dim name="E"/></dimensions><element subscript="p"><eqn>e*100 + E</eqn>'
        '</element><element subscript="q"><eqn>MAX(e, 0)</eqn></element>'
        '<element subscript="r"><eqn>SUM(e)</eqn></element></aux>'
    )
    model = model_of(tmp_path, X.replace("aux", "flow") + LINE + variables, before=DIMENSIONS)
    found = columns_of(model, [f"s[{cell}]" for cell in CELLS])
    assert [column[1] for column in found.values()] == [10 + 1 - 1, 20 + 2 - 1, 30 + 3 - 2, 40 + 4 - 2]
    assert [column[0] for column in columns_of(model, ["y[p]", "y[q]", "y[r]"]).values()] == [101, 2, 6]
