"""Equations of XMILE files: what BPTK-Py 3.2.0 answers where that is right, and what is right elsewhere.

`bptk_models/xmile.json` was measured with BPTK-Py 3.2.0; its numbers have six decimals.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model, simulate
from perdure.errors import UnservableModel

VECTORS = json.loads((Path(__file__).parents[2] / "fixtures" / "bptk_models" / "xmile.json").read_text())

BASE = """
<aux name="a"><eqn>10</eqn></aux><aux name="b"><eqn>3</eqn></aux><aux name="c"><eqn>2</eqn></aux>
<aux name="x"><eqn>TIME</eqn></aux><aux name="neg"><eqn>-7.5</eqn></aux><aux name="half"><eqn>2.5</eqn></aux>
<aux name="half2"><eqn>3.5</eqn></aux><aux name="i0"><eqn>0</eqn></aux>
<aux name="g"><eqn>TIME</eqn><gf><xscale min="0" max="4"/><ypts>0,10,20,30,40</ypts></gf></aux>
"""


def model_of(tmp_path: Path, variables: str, *, before: str = "", stop: str = "5", dt: str = "1") -> Model:
    """Return the model of the frame of the vectors with these variables."""
    path = tmp_path / "model.xmile"
    path.write_text(VECTORS["frame"] % (stop, "", dt, before, variables))
    return Model.from_xmile(path, naming="bptk")


def values_of(tmp_path: Path, equation: str) -> list[float]:
    """Return an equation's values from 1 to 5, with the base variables of the vectors."""
    written = equation.replace("&", "&amp;").replace("<", "&lt;")
    model = model_of(tmp_path, f'{BASE}<aux name="y"><eqn>{written}</eqn></aux>')
    return simulate(model, {"outputs": ["y"]})[1]["y"]


# What BPTK-Py 3.2.0 has neither right nor marked as wrong; see docs/xmile.md.
DIFFERENT = {
    # Rounded there to three digits.
    "NORMALCDF(-1.96,1.96)": [0.9500042] * 5,
    "NORMALCDF(8,12,10,2)": [0.6826895] * 5,
    # It begins there with another average than that of an initial trend of zero.
    "TREND(x, c, i0)": [0.0, 0.5, 0.5, 0.388889, 0.3],
    "TREND(x,2,0.1)": [0.1, 0.590909, 0.528571, 0.397196, 0.302676],
    "FORCST(x,2,1)": [1.0, 3.0, 4.5, 5.555556, 6.5],
    "FORCST(x,2,1,0)": [1.0, 3.0, 4.5, 5.555556, 6.5],
    "NPV(x,0.1,100)": [101.0, 102.818182, 105.297521, 108.30278, 111.717847],
    "DELAY3(x*2,2)": [2.0, 2.0, 2.0, 2.0, 8.75],
}
REFUSED = ("FOO(a)", "LOG(100)", "INTERPOLATE(x,0.5)")


@pytest.mark.parametrize("vector", VECTORS["equations"], ids=lambda vector: vector["eqn"])
def test_an_equation_has_the_right_values(tmp_path: Path, vector: dict[str, Any]) -> None:
    equation = vector["eqn"]
    if equation in REFUSED:
        with pytest.raises(UnservableModel, match=r"line 12: y: "):
            values_of(tmp_path, equation)
        return
    expected = DIFFERENT.get(equation) or vector.get("right", vector["bptk_py_3_2_0"])
    numbers = [float(number) for number in expected]
    answers = values_of(tmp_path, equation)
    assert answers == pytest.approx(numbers, rel=1e-9, abs=6e-7, nan_ok=True)
    whole = [n for n, number in enumerate(numbers) if math.isfinite(number) and number == round(number)]
    assert [answers[n] for n in whole] == pytest.approx([numbers[n] for n in whole], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("equation", "value"),
    [
        ("2^3^2", 512.0),
        ("2^-1^2", 0.5),
        ("-3^2", -9.0),
        ("2^3*2", 16.0),
        ("(2^3)^2", 64.0),
        ("NOT 2 = 3", 0.0),
        ("NOT (2 = 3)", 1.0),
        ("NOT 0 = 1", 1.0),
        ("NOT 0 AND 0", 0.0),
        ("1 - NOT 0 * 3", -2.0),
        ("8/4/2", 1.0),
        ("8//4//0 + 1", 1.0),
        ("6 // 3 * 2", 4.0),
    ],
)
def test_operators_bind_as_xmile_says(tmp_path: Path, equation: str, value: float) -> None:
    assert values_of(tmp_path, equation) == [value] * 5


@pytest.mark.parametrize(
    ("naming", "equation", "values"),
    [
        ("file", "PULSE(10, 2)", [0.0, 10.0, 0.0, 0.0, 0.0]),
        ("file", "PULSE(10, 2, 0)", [0.0, 10.0, 0.0, 0.0, 0.0]),
        ("file", "PULSE(10, 2, 2)", [0.0, 10.0, 0.0, 10.0, 0.0]),
        ("bptk", "PULSE(10, 2)", [0.0, 10.0, 10.0, 10.0, 10.0]),
        ("bptk", "PULSE(10, 2, 2)", [0.0, 10.0, 0.0, 10.0, 0.0]),
    ],
)
def test_a_pulse_without_interval_fires_once_but_for_bptk(
    tmp_path: Path, naming: Any, equation: str, values: list[float]
) -> None:
    model_of(tmp_path, f'<aux name="y"><eqn>{equation}</eqn></aux>')
    model = Model.from_xmile(tmp_path / "model.xmile", naming=naming)
    assert simulate(model, {"outputs": ["y"]})[1]["y"] == values


@pytest.mark.parametrize(
    ("equation", "values"),
    [
        ("XIDZ(6, x - 2, 9)", [-6.0, 9.0, 6.0, 3.0, 2.0]),
        ("ZIDZ(6, x - 2)", [-6.0, 0.0, 6.0, 3.0, 2.0]),
        ("INTEGER(neg)", [-7.0] * 5),
        ("IF_THEN_ELSE(x > 2, 1, 0)", [0.0, 0.0, 1.0, 1.0, 1.0]),
        ("IF THEN ELSE(x > 2, 1, 0)", [0.0, 0.0, 1.0, 1.0, 1.0]),
        ("PULSE TRAIN(2, 1, 2, 5)", [0.0, 1.0, 0.0, 1.0, 0.0]),
        ("SAMPLE IF TRUE(x = 3, x, 7)", [7.0, 7.0, 3.0, 3.0, 3.0]),
        ("DELAY FIXED(x, 2, 8)", [8.0, 8.0, 1.0, 2.0, 3.0]),
        ("SMOOTHI(x, 2, 0)", [0.0, 0.5, 1.25, 2.125, 3.0625]),
        ("SMOOTH(x, 2)", [1.0, 1.0, 1.5, 2.25, 3.125]),
        ("LOG(9^x, 3)", [2.0, 4.0, 6.0, 8.0, 10.0]),
        ("POWER(x, 2)", [1.0, 4.0, 9.0, 16.0, 25.0]),
        ("GAME(x)", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("ACTIVE INITIAL(x, 9)", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("LOOKUP EXTRAPOLATE(g, x + 2)", [30.0, 40.0, 50.0, 60.0, 70.0]),
    ],
)
def test_functions_that_converters_leave_mean_what_they_mean_in_vensim(
    tmp_path: Path, equation: str, values: list[float]
) -> None:
    assert values_of(tmp_path, equation) == pytest.approx(values)


@pytest.mark.parametrize(
    "equation",
    ["UNIFORM(0, 1, 5)", "NORMAL(0, 1, 5)", "RANDOM(0, 1, 5)", "GAMMA(2, 3, 5)", "MONTECARLO(40, 5)"],
)
def test_a_draw_with_a_seed_repeats_whatever_the_seed_of_the_run(tmp_path: Path, equation: str) -> None:
    model = model_of(
        tmp_path, f'<aux name="y"><eqn>{equation}</eqn></aux><aux name="z"><eqn>RANDOM</eqn></aux>', stop="40"
    )
    first, second = (simulate(model, {"outputs": ["y", "z"], "seed": seed})[1] for seed in (1, 2))
    assert first["y"] == second["y"]
    assert first["z"] != second["z"]
    assert len(set(first["y"])) > 1
