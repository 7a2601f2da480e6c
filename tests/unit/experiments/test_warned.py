"""Warnings as data: what was shown, and filters, go through a blob and are in force again."""

import re
import types
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.warned import of_another_script, restore_warnings, snapshot_warnings
from perdure.state.codec import decode, encode

CODE = """
import warnings
class Own(UserWarning): pass
def warn(text, category=None):
    warnings.warn(text, category or Own)
"""


@pytest.fixture(autouse=True)
def own_filters() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        yield


def module() -> types.ModuleType:
    made = types.ModuleType("warner")
    made.__dict__["__name__"] = "warner"
    exec(CODE, made.__dict__)
    return made


def shown(made: types.ModuleType, *texts: str, category: Any = None) -> list[str]:
    """Return what is shown of these warnings; filters are left as they are."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "showwarning", lambda message, *_: said.append(str(message)))
        for text in texts:
            made.warn(text, category)
    return said


def moved(state: Any, fresh: types.ModuleType, owner: str = "a") -> None:
    """Put a state back as a new process would, with nothing shown there."""
    warnings.resetwarnings()
    vars(warnings)["onceregistry"].clear()
    restore_warnings(decode(encode(state)), {owner: {"warner": fresh}})


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_what_was_shown_once_is_not_shown_again(texts: list[str]) -> None:
    first, fresh = module(), module()
    assert shown(first, *texts) == list(dict.fromkeys(texts))
    moved(snapshot_warnings({"a": {"warner": first}}), fresh)
    again = [text for text in dict.fromkeys(texts) if any("\ud800" <= mark <= "\udfff" for mark in text)]
    assert shown(fresh, *texts, "another") == [*again, *["another"] * ("another" not in texts)]


@pytest.mark.parametrize(
    ("action", "expected"), [("default", []), ("module", []), ("once", []), ("always", ["x"]), ("ignore", [])]
)
def test_filters_of_every_action_are_in_force_again(action: Any, expected: list[str]) -> None:
    first, fresh = module(), module()
    warnings.filterwarnings(action, message="x", module="warn")
    shown(first, "x")
    moved(snapshot_warnings({"a": {"warner": first}}), fresh)
    assert shown(fresh, "x") == expected
    assert shown(fresh, "x", category=RuntimeWarning) == ([] if action == "ignore" else ["x"])


def test_an_error_is_raised_again_for_a_category_of_the_code(tmp_path: Any) -> None:
    first, fresh = module(), module()
    warnings.simplefilter("error", first.Own)
    moved(snapshot_warnings({"a": {"warner": first}}), fresh)
    with pytest.raises(fresh.Own, match="x"):
        fresh.warn("x")


def test_what_changed_filters_make_python_forget_is_shown_again() -> None:
    first, fresh = module(), module()
    shown(first, "x")
    warnings.filterwarnings("default", message="y")  # all that was noted is void
    moved(snapshot_warnings({"a": {"warner": first}}), fresh)
    assert shown(fresh, "x") == ["x"]


def test_a_snapshot_changes_nothing() -> None:
    first = module()
    shown(first, "x")
    filters = list(warnings.filters)
    state = snapshot_warnings({"a": {"warner": first}})
    assert encode(snapshot_warnings({"a": {"warner": first}})) == encode(state)
    assert list(warnings.filters) == filters
    assert shown(first, "x") == []


def test_patterns_keep_their_flags() -> None:
    warnings.filterwarnings("ignore", message="Ab", module="c|d")
    state = snapshot_warnings({})
    warnings.resetwarnings()
    restore_warnings(decode(encode(state)), {})
    _, message, _, pattern, _ = warnings.filters[0]
    found: Any = (message, pattern)
    assert found == (re.compile("Ab", re.IGNORECASE), re.compile("c|d"))


def test_another_script_has_neither_the_filters_nor_the_warnings_of_the_former_one() -> None:
    script, engine, fresh_script, fresh_engine = (module() for _ in range(4))
    warnings.filterwarnings("ignore", message="quiet")
    shown(script, "x")
    shown(engine, "x")
    state = snapshot_warnings({"script": {"warner": script}, "a": {"warner": engine}})
    warnings.resetwarnings()
    own = {"script": {"warner": fresh_script}, "a": {"warner": fresh_engine}}
    restore_warnings(decode(encode(of_another_script(state, "script"))), own)
    assert shown(fresh_script, "x", "quiet") == ["x", "quiet"]
    assert shown(fresh_engine, "x") == []


def test_of_very_many_warnings_the_newest_are_kept() -> None:
    first, fresh = module(), module()
    shown(first, *(f"number {n}" for n in range(10_500)))
    state = snapshot_warnings({"a": {"warner": first}})
    moved(state, fresh)
    assert shown(fresh, "number 600", "number 10499") == []
    assert shown(fresh, "number 1") == ["number 1"]
