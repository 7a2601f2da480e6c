"""Settings that a model doesn't have: left out, and told in one line, however many a request brings."""

from typing import Any

import pytest
import structlog
from tests.support.small import bath, catalogue_of

from perdure.dialects.bptk.overrides import known_overrides, overrides_of

MANY = [f"tap{number}" for number in range(40_000)]


def of_base(kind: str) -> dict[str, Any]:
    return {"bath": {"base": {kind: dict.fromkeys(MANY, 1.0), "constants": {"tap": 3.0}}}}


@pytest.mark.parametrize(
    ("settings", "what", "name"),
    [
        ({"bath": {"base": {"constants": {**dict.fromkeys(MANY, 1.0), "tap": 3.0}}}}, "constants", MANY[0]),
        (of_base("points"), "points", MANY[0]),
        ({"bath": {"base": {**{name: {} for name in MANY}, "constants": {"tap": 3.0}}}}, "setting", MANY[0]),
        ({"bath": {**{name: {} for name in MANY}, "base": {"constants": {"tap": 3.0}}}}, "scenario", MANY[0]),
        (
            {**{name: {"base": {}} for name in MANY}, "bath": {"base": {"constants": {"tap": 3.0}}}},
            "scenario",
            "base",
        ),
    ],
    ids=["constants", "points", "kinds", "scenarios", "managers"],
)
def test_forty_thousand_unknown_names_are_one_log_line_with_their_number(
    settings: dict[str, Any], what: str, name: str
) -> None:
    scenarios = catalogue_of(bath()).select(["bath"], ["base"])
    with structlog.testing.capture_logs() as logs:
        known = known_overrides(overrides_of(settings), scenarios)
    assert known == {"bath": {"base": {"constants": {"tap": 3.0}}}}
    (line,) = logs
    assert (line["event"], line["count"], line["what"], line["name"]) == (
        "setting_ignored",
        40_000,
        what,
        name,
    )


def test_the_line_suggests_the_name_that_was_meant() -> None:
    scenarios = catalogue_of(bath()).select(["bath"], ["base"])
    with structlog.testing.capture_logs() as logs:
        known_overrides({"bath": {"base": {"constants": {"tab": 1.0}}}}, scenarios)
    assert [(line["count"], line["name"]) for line in logs] == [(1, "tab")]
    assert "Did you mean 'tap'?" in logs[0]["meaning"]
