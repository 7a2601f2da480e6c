"""Programs for BPTK-Py, run as they are but for the import, give what was measured with it or is right."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot as plt

VECTORS = json.loads((Path(__file__).parent / "model_vectors.json").read_text())

PRELUDE = """
from BPTK_Py import *
from BPTK_Py import sd_functions as sd

def sim(m, names):
    d = m.simulate(names)
    return {n: [float(x) for x in d[n]] for n in names}

def err(f):
    try: f()
    except Exception as e: return [type(e).__name__, str(e)]
"""


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    plt.close("all")


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_program_gives_what_was_measured(vector: dict[str, Any]) -> None:
    names: dict[str, Any] = {}
    exec((PRELUDE + vector["code"]).replace("BPTK_Py", "perdure.bptk"), names)
    assert as_json(names["out"]) == vector["right"]
