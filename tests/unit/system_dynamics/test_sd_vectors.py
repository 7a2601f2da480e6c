"""Models of arrays, and of what BPTK-Py's own engine gets wrong, with the numbers that are right."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.bptk_models import agrees, right_answer, vectors

from perdure import bptk as library
from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd

VECTORS = vectors("arrays") | vectors("engine")
# There, all steps of an element are computed before the next one's; here, all elements of a step.
CALLS = {"arr_function": ("L[0],L[2],L[4]", "L[0],L[1],L[2]")}
# There, an average never falls below where it starts (docs/system-dynamics.md), so trends are too low here.
AVERAGES = {
    "t[0]": [-0.5, 0.5, 5 / 6, 13 / 22, 29 / 70],
    "t[1]": [-0.5, 9.5, 59 / 42, 139 / 202, 299 / 682],
}
OURS = {"arr_delay_smooth_lookup": AVERAGES}


def simulated(model: Model, names: Sequence[str]) -> dict[str, list[float]]:
    frame = model.simulate(names)
    return {name: [float(value) for value in frame[name]] for name in names}


def error(work: Callable[[], object]) -> list[str] | None:
    try:
        work()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None


def answer(code: str) -> Any:
    given = {"Model": Model, "bptk": bptk, "sd": sd, "sim": simulated, "err": error}
    exec(code, names := {"__name__": library.__name__, **given})
    return names["out"]


@pytest.mark.parametrize("name", VECTORS)
def test_the_answer_is_right(name: str) -> None:
    found = answer(VECTORS[name]["code"].replace(*CALLS.get(name, ("", ""))))
    right = right_answer(VECTORS[name])
    assert agrees(found, right | OURS[name] if name in OURS else right), found
