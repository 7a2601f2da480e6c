"""Engines that import libraries which put modules into `sys.modules` by hand, and that hold DataFrames."""

from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from tests.support.experiments import HEAD, replayed, script_engine, started, write

from perdure.state.codec import decode, encode

LIBRARY = """
import sys, types
made = types.ModuleType("by_hand_NAME")
made.PY3 = True
made.text = str
class Lazy: pass
made.Lazy = Lazy
sys.modules["by_hand_NAME"] = made
"""
ENGINE = (
    HEAD
    + """
TOP
class Script(EngineScript):
    def initialize(self):
        self.n = 0.0
        START
        self._registerDataPack("x")
        self._setDataPack("x", 0.0)
    def runLoop(self, timestep_ns):
        STEP
        self._setDataPack("x", self.n)
"""
)


def engine(folder: Path, top: str = "", start: str = "pass", step: str = "self.n += 1.0") -> dict[str, Any]:
    text = ENGINE.replace("TOP", top)
    text = text.replace("START", indent(start, " " * 8).lstrip()).replace(
        "STEP", indent(step, " " * 8).lstrip()
    )
    write(folder, a__py=text)
    return {"EngineConfigs": [script_engine("a")]}


def goes_on(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Check that it goes on with the same bits, from each savepoint; return what was replayed."""
    made = started(folder, config)
    states: list[bytes] = []
    for _ in range(4):
        made.step()
        states.append(encode(dict(made.snapshot())))
    refused = replayed(made)
    made.close()
    for number, state in enumerate(states[:-1]):
        again = started(folder, config, entities=decode(state))
        for later in states[number + 1 :]:
            again.step()
            assert encode(dict(again.snapshot())) == later
        again.close()
    return refused


@pytest.mark.parametrize("late", [False, True])
def test_modules_that_libraries_put_by_hand_are_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    name = f"likesix{late}"
    (tmp_path / "site" / name).mkdir(parents=True)
    (tmp_path / "site" / name / "__init__.py").write_text(LIBRARY.replace("NAME", name))
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = tmp_path / "folder"
    folder.mkdir()
    use = f"import {name}\nself.n += {name}.made.PY3"
    config = engine(folder, top="# It has modules.\n" + ("" if late else f"import {name}"), step=use)
    assert goes_on(folder, config) == {}


@pytest.mark.parametrize(
    "put",
    [
        "sys.modules['mine'] = made",
        "sys.modules.update(mine=made)",
        "sys.modules.setdefault('mine', made)",
        "from sys import modules as held; held['mine'] = made",
        "from sys import \\\nmodules as held\nheld['mine'] = made",
        "'#'; sys.modules['mine'] = made  # by hand",
        "getattr(sys, 'modules')['mine'] = made",
        "vars(sys)['modules']['mine'] = made",
        "exec('sys.modules[\"mine\"] = made')",
    ],
)
def test_modules_that_the_folders_code_puts_by_hand_are_still_found(tmp_path: Path, put: str) -> None:
    top = "import sys, types\nmade = types.ModuleType('mine')\nmade.n = [0]\n" + put + "\ndel made"
    try:
        config = engine(tmp_path, top=top, step="import mine\nmine.n[0] += 1\nself.n = mine.n[0]")
        made = started(tmp_path, config)
        made.step()
        made.snapshot()
        assert "by hand" in replayed(made)["engine/a"]
        made.close()
    finally:
        __import__("sys").modules.pop("mine", None)


FRAME = "pd.DataFrame({'t': [0.0], 'x': [0.1], 'who': ['a']})"
HELD = {
    "a frame that grows": (
        f"self.kept = {FRAME}",
        "new = pd.DataFrame({'t': [self.n], 'x': [self.n * 0.1], 'who': ['b']})\n"
        "self.kept = pd.concat([self.kept, new], ignore_index=True).iloc[-3:]\n"
        "self.n += float(self.kept['x'].sum()) + len(self.kept)",
    ),
    "a frame that is changed": (
        f"self.kept = {FRAME}",
        "self.kept.loc[0, 'x'] += 0.1\nself.kept[f'c{len(self.kept.columns)}'] = self.n\n"
        "self.n = float(self.kept.select_dtypes('number').sum(axis=1).iloc[0])",
    ),
    "a rolling series": (
        "self.kept = pd.Series([0.1, 0.2, 0.7], name='x')",
        "self.kept = self.kept.rolling(2, min_periods=1).mean() * 1.1\nself.n = float(self.kept.sum())",
    ),
    "frames in a dict, and an index": (
        f"self.kept = {{'a': {FRAME}, 'i': pd.RangeIndex(3)}}\nself.days = pd.date_range('2026', periods=3)",
        "self.kept['a']['x'] *= 1.1\nself.n = float(self.kept['a']['x'].iloc[0]) + self.days[1].day",
    ),
    "a frame of its module": ("global table", "table['x'] += 0.1\nself.n = float(table['x'].iloc[0])"),
}


@pytest.mark.parametrize("what", HELD)
def test_an_engine_that_holds_a_frame_is_saved_and_goes_on_with_the_same_bits(
    tmp_path: Path, what: str
) -> None:
    start, step = HELD[what]
    assert goes_on(tmp_path, engine(tmp_path, f"import pandas as pd\ntable = {FRAME}", start, step)) == {}


def test_an_isolated_engine_that_imports_pandas_is_saved(tmp_path: Path) -> None:
    start, step = HELD["a frame that grows"]
    config = engine(tmp_path, "import pandas as pd", start, step)
    config["EngineConfigs"][0]["Isolated"] = True
    assert goes_on(tmp_path, config) == {}
