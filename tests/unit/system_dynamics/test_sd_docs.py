"""docs/system-dynamics.md stays true."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from perdure.engines.system_dynamics import engine
from perdure.engines.system_dynamics import functions as sd

TEXT = (Path(__file__).parents[3] / "docs" / "system-dynamics.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    namespace: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, namespace)
    # The first tank loses half of 8 in the first step; the second one gets what the first loses.
    assert namespace["cascade"].stock("lower.level")(1.0) == 8.0
    assert namespace["times"][-1] == 20.0
    # A tenth of 100 times 4, and of 80 times 5.
    assert namespace["branches"].converter("revenue")(0.0) == 80.0
    # Logistic growth towards the 1000 at which the saturation is complete.
    assert namespace["values"]["customers"][-1] == pytest.approx(978.0, abs=5.0)


@pytest.mark.parametrize("name", sd.__all__)
def test_every_function_is_described(name: str) -> None:
    assert re.search(rf"`{name}[`(]", TEXT)
    assert inspect.getdoc(getattr(sd, name))


def test_every_key_of_the_config_is_described() -> None:
    source = inspect.getsource(engine)
    for name in ("starttime", "timestep", "method", "outputs", "constants", "points", "seed", "stream"):
        assert f'"{name}"' in source
        assert f"`{name}`" in TEXT
