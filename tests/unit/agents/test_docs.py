"""The examples in the page on agents are true."""

import json
import re
from pathlib import Path
from typing import Any

from perdure.engines.agents.outputs import parsed

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text(encoding="utf-8")


def test_the_example_runs_and_its_session_answers_as_it_says() -> None:
    names: dict[str, Any] = {}
    exec(PAGE.partition("```python\n")[2].partition("```")[0], names)
    request, answer = map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    made = names["made"]
    made.begin_session(**request)
    assert json.loads(json.dumps(made.run_step())) == answer
    made.destroy()


def test_the_outputs_in_the_table_exist() -> None:
    listed = re.findall(r"\| `((?:agents|individuals)/[^`]+)` \|", PAGE)
    assert len(listed) == 4
    for name in listed:
        output = parsed(name)
        assert output is not None and output.text == name
