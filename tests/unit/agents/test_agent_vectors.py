"""Programs with agents for BPTK-Py give what was measured with it, or what is right where it is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

VECTORS = json.loads((Path(__file__).parent / "agent_vectors.json").read_text())

# Agents have sessions here; BPTK-Py says that they have begun and then has none.
OTHERWISE = {"hyb_scenario_equations": ("b.session_state", "b.run_step(flat=True)")}
RIGHT = {"hyb_scenario_equations": {"session": {"h": {"a": {"agents": {"p": {"off": 3}}}}}}}


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
def test_a_program_gives_what_was_measured_or_is_right(vector: dict[str, Any]) -> None:
    names: dict[str, Any] = {}
    code = vector["code"].replace(*OTHERWISE.get(vector["id"], ("", "")))
    exec(VECTORS["prelude"].replace("BPTK_Py", "perdure.bptk") + "\n" + code, names)
    right = vector["right"]
    if isinstance(right, dict):
        right = right | RIGHT.get(vector["id"], {})
    assert as_json(names["out"]) == close_to(right)
    if hasattr(names.get("b"), "destroy"):
        names["b"].destroy()


def close_to(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: close_to(each) for key, each in value.items()}
    if isinstance(value, list):
        return [close_to(each) for each in value]
    return pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
