"""Models with the numbers that BPTK-Py 3.2.0 gives for them, from `tests/fixtures/bptk_models`."""

import json
import math
import re
from pathlib import Path
from typing import Any

__all__ = ["agrees", "right_answer", "vectors"]

_FILES = Path(__file__).parents[1] / "fixtures/bptk_models"
_ERROR = re.compile(r"\w*(Error|Exception)")
_TOLERANCE = 1e-9


def vectors(area: str) -> dict[str, dict[str, Any]]:
    """Return the vectors of an area by id."""
    return {vector["id"]: vector for vector in json.loads((_FILES / f"{area}.json").read_text())}


def right_answer(vector: dict[str, Any]) -> Any:
    """Return what the code of a vector should make."""
    return vector["bptk_py_3_2_0"] if vector["verdict"] == "right" else vector["right"]


def agrees(found: Any, right: Any) -> bool:
    """Whether an answer is right; for an error, any error is, since texts and classes are our own."""
    if _is_error(right):
        return _is_error(found)
    if isinstance(right, dict):
        found = {str(key): value for key, value in found.items()}
        return found.keys() == right.keys() and all(agrees(found[key], right[key]) for key in right)
    if isinstance(right, list):
        return len(found) == len(right) and all(map(agrees, found, right))
    if isinstance(right, int | float) and not isinstance(right, bool):
        return math.isclose(found, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(found == right)


def _is_error(value: Any) -> bool:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
        value = value[0]
    return isinstance(value, str) and _ERROR.fullmatch(value) is not None
