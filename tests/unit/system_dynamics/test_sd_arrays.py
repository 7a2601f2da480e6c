"""Arrays of the language, beyond what the vectors of BPTK-Py show: setting up, errors, names, copies."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import InvalidOverride, ModelError, UnknownElement
from perdure.scenarios import Catalogue
from perdure.testing.engines import EngineConformance


def make() -> Model:
    return Model(starttime=0.0, stoptime=2.0, dt=1.0, name="m")


def final(model: Model, *names: str) -> list[float]:
    _, values = simulate(model, {"outputs": list(names)})
    return [values[name][-1] for name in names]


@pytest.fixture
def model() -> Model:
    model = make()
    model.constant("v").setup_vector(3, [1.0, 2.0, 3.0])
    model.constant("M").setup_matrix([2, 3], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    model.constant("n").setup_named_vector({"a": 1.0, "b": 2.0})
    return model


def test_setting_up_again_adds_cells_and_leaves_the_others(model: Model) -> None:
    v = model.constant("v")
    v.setup_vector(2, [7.0, 8.0])
    assert final(model, "v[0]", "v[1]", "v[2]") == [7.0, 8.0, 3.0]
    v.setup_vector(4, 9.0)
    model.converter("sum").equation = v.arr_sum()
    assert final(model, "v[3]", "sum") == [9.0, 36.0]


def test_a_matrix_has_rows_that_are_arrays(model: Model) -> None:
    row = model.constant("M")[1]
    assert (row.name, row.arrayed, row[2].name) == ("M[1]", True, "M[1][2]")
    model.converter("c").equation = row * 2.0
    assert final(model, "c[0]", "c[2]") == [8.0, 12.0]
    model.converter("C").setup_matrix([2, 3])
    model.converter("C")[0].equation = model.constant("v") * 1.0
    assert final(model, "C[0][2]", "C[1][2]") == [3.0, 0.0]


def test_a_cell_is_set_by_its_index_too(model: Model) -> None:
    c = model.converter("c")
    c.setup_vector(2)
    c[1] = model.constant("v")[2] * 2.0
    assert final(model, "c[0]", "c[1]") == [0.0, 6.0]


def test_an_array_made_by_its_equation_may_have_a_value_beside_its_cells(model: Model) -> None:
    c = model.converter("c")
    c.equation = model.constant("v") * 2.0
    assert not c.has_value
    c.equation = 5.0
    assert final(model, "c", "c[1]") == [5.0, 4.0]
    assert "c" not in model.overridable


def test_an_array_can_be_set_up_after_it_was_summed_but_not_after_it_was_read(model: Model) -> None:
    late = model.constant("late")
    model.converter("sum").equation = late.arr_sum()
    late.setup_vector(2, 4.0)
    assert final(model, "sum") == [8.0]
    other = model.constant("other")
    model.converter("read").equation = other * 2.0
    other.setup_vector(2, 4.0)
    with pytest.raises(ModelError, match=r"uses the array 'other' as a single value; name one .* other\[0\]"):
        final(model, "read")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m: m.constant("v")[3], r"no cell \[3\]; it has v\[0\], v\[1\], v\[2\]"),
        (lambda m: m.constant("v")[1.5], "a text or a whole number, not 1.5"),
        (lambda m: m.constant("v")[True], "not True"),
        (lambda m: m.stock("s")[0], "'s' isn't an array"),
        (lambda m: m.stock("s").setup_vector(0), "from 1 to"),
        (lambda m: m.stock("s").setup_vector(2.0), "not 2.0"),
        (lambda m: m.stock("s").setup_matrix([2_000, 2_000]), "4,000,000 cells"),
        (lambda m: m.stock("s").setup_matrix([2, 2], [[1.0], [2.0, 3.0]]), "a row of the matrix 's' is 2"),
        (lambda m: m.stock("s").setup_named_vector({}), "at least one name"),
        (lambda m: m.stock("s").setup_named_vector({"a]": 1.0}), "brackets"),
        (lambda m: m.stock("s").setup_named_vector({"a": math.nan}), "finite"),
        (lambda m: m.stock("s").setup_named_matrix({"a": {"x": 1.0}, "b": {"y": 1.0}}), "same names"),
        (lambda m: setattr(m.stock("s"), "initial_value", m.constant("v")), "is an array; give each cell"),
        (lambda m: setattr(m.constant("v"), "equation", 1.0), r"single value; set those of v\[0\]"),
        (lambda m: m.constant("v").setup_matrix([1, 1]), "shape 3, so it can't have the shape 1 x 1"),
        (lambda m: setattr(m.stock("s"), "equation", m.constant("v").arr_rank(m.constant("M"))), "rank"),
        (lambda m: m.constant("n") + m.constant("v"), r"2 \(a,b\) and 3"),
        (
            lambda m: m.evaluate_equation("w", 0.0),
            r"the array 'w', which has no value of its own; name w\[0\]",
        ),
    ],
)
def test_what_is_wrong_is_said_at_once(model: Model, wrong: Callable[[Any], Any], message: str) -> None:
    model.converter("w").setup_vector(3)
    with pytest.raises(ModelError, match=message):
        wrong(model)


def test_sums_follow_the_order_of_the_cells(model: Model) -> None:
    cells = [0.1 * n + 1e15 * (n % 2) - 1e15 * (n % 3 == 0) for n in range(40)]
    v = model.constant("long")
    v.setup_vector(len(cells), cells)
    model.converter("sum").equation = v.arr_sum()
    model.converter("mean").equation = v.arr_mean()
    model.converter("dot").equation = v.dot(v)
    total, product = cells[0], cells[0] * cells[0]
    for cell in cells[1:]:
        total, product = total + cell, product + cell * cell
    assert final(model, "sum", "mean", "dot") == [total, total / len(cells), product]


def test_medians_and_ranks_of_what_is_no_number_are_none(model: Model) -> None:
    c = model.converter("c")
    c.setup_vector(4, [3.0, 1.0, 4.0, 2.0])
    model.converter("median").equation = c.arr_median()
    model.converter("rank").equation = c.arr_rank(model.constant("v")[1])
    assert final(model, "median", "rank") == [2.5, 3.0]
    c[2] = sd.nan()
    assert all(map(math.isnan, final(model, "median", "rank")))


def test_an_expression_can_be_summarized_as_well(model: Model) -> None:
    model.converter("sum").equation = (model.constant("v") * 2.0).arr_sum() + 1.0
    assert final(model, "sum") == [13.0]


def test_only_cells_are_outputs_and_a_scenario_sets_cells(model: Model) -> None:
    model.stock("s").equation = model.constant("v") * 1.0
    catalogue = Catalogue()
    catalogue.register_model(model, "manager", scenario={"base": {}, "high": {"constants": {"v[1]": 9.0}}})
    (_, high) = catalogue.select()
    assert {"s[0]", "v[1]"} <= set(high.elements) and "s" not in high.elements
    found = catalogue.run_scenarios(equations=["s[1]"], return_format="dict")
    assert found["manager"]["high"]["equations"]["s[1]"][2.0] == 18.0


def test_an_array_as_a_whole_is_not_a_constant_that_can_be_set(model: Model) -> None:
    engine = SystemDynamicsEngine(model)
    engine.initialize({})
    with pytest.raises(InvalidOverride, match=r"it is an array; set its cells, v\[0\]"):
        engine.validate({"constants": {"v": 1.0}})
    with pytest.raises(UnknownElement):
        model.known("v[7]", "A test")


def test_no_cell_of_a_stock_that_is_not_negative_falls_below_zero(model: Model) -> None:
    s = model.stock("s")
    s.setup_vector(3, 3.0)
    s.non_negative = True
    s.equation = model.constant("v") * -1.0
    assert final(model, "s[0]", "s[1]", "s[2]") == [1.0, 0.0, 0.0]


def test_copies_of_a_model_have_cells_of_their_own(model: Model) -> None:
    model.converter("c").equation = model.constant("v") * 2.0
    copy, frozen = model.thawed(), model.frozen()
    copy.constant("v")[0].equation = 50.0
    assert final(copy, "c[0]") == [100.0]
    assert final(model, "c[0]") == final(frozen, "c[0]") == [2.0]
    assert model.fingerprint() == frozen.fingerprint() != copy.fingerprint()


def test_the_labels_of_what_a_function_is_passed_count(model: Model) -> None:
    def size(view: object, t: float, cells: Any) -> float:
        return float(len(cells))

    prints = set()
    for names in ({"a": 1.0, "b": 1.0}, {"a": 1.0, "c": 1.0}):
        made = make()
        n = made.constant("n")
        n.setup_named_vector(names)
        for cell in ("a", "b", "c"):
            made.constant(f"n[{cell}]").equation = 1.0
        made.converter("size").equation = made.function("size", size, elementwise=False)(n)
        prints.add(made.fingerprint())
    assert len(prints) == 2


def test_a_plot_of_a_matrix_has_a_column_for_each_cell(model: Model) -> None:
    frame = model.constant("M").plot(return_df=True)
    assert list(frame) == ["0, 0", "0, 1", "0, 2", "1, 0", "1, 1", "1, 2"]
    assert list(frame["1, 2"]) == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_an_array_model_with_delays_obeys_the_law(method: str) -> None:
    model = Model(starttime=0.0, stoptime=6.0, dt=0.5, name="supply")
    stock, order, arrival = model.stock("stock"), model.flow("order"), model.flow("arrival")
    goal, lead = model.constant("goal"), model.constant("lead")
    goal.setup_named_vector({"north": 100.0, "south": 80.0, "west": 60.0})
    lead.setup_named_vector({"north": 1.0, "south": 1.5, "west": 0.7})
    stock.setup_named_vector({"north": 90.0, "south": 60.0, "west": 70.0})
    order.equation = (goal - stock) / 2.0 + sd.smooth(model, stock, 3.0, 5.0) * 0.05
    arrival.equation = sd.delay(model, order, lead, 0.0) + sd.delay(model, order, 1.0)
    stock.equation = arrival - stock * sd.uniform(0.05, 0.1)
    model.converter("total").equation = stock.arr_sum()
    model.converter("trend").equation = sd.trend(model, stock, 2.0, 50.0)
    inputs: list[dict[str, Any]] = [{} for _ in range(13)]
    inputs[4] = {"constants": {"goal[west]": 90.0, "lead[north]": 2.0}}
    refused = [{"constants": {"goal": 1.0}}, {"constants": {"stock[west]": 1.0}}]
    EngineConformance(lambda: SystemDynamicsEngine(model), {"method": method}, inputs, refused).check()
