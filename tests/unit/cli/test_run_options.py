"""The options by which runs are found offer what there is, and read times as people write them."""

import time
from typing import get_args

import pytest

from perdure.api.run_query import Sort
from perdure.cli.run_options import OneKind, OneSort, label, unix_time
from perdure.errors import PerdureError


def test_what_can_be_chosen_is_what_there_is() -> None:
    assert OneSort == Sort
    assert get_args(OneKind) == ("session", "task", "experiment")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86400.0),
        ("1970-01-01T00:01", 60.0),
        ("1970-01-01 00:00:01.5", 1.5),
        ("1970-01-01T02:00:00+02:00", 0.0),
        ("1970-01-01T00:00:00Z", 0.0),
    ],
)
def test_a_date_is_in_utc_unless_it_says_otherwise(text: str, expected: float) -> None:
    assert unix_time(text, "--created-after") == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("12h", 43200), ("7d", 604800), ("2w", 1209600), ("1.5h", 5400)]
)
def test_an_age_is_counted_back_from_now(text: str, seconds: float) -> None:
    before = time.time()
    moment = unix_time(text, "--created-after")
    assert moment is not None
    assert before - seconds <= moment <= time.time() - seconds


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7 d", "-7d", "2026-13-01", "१d", "9999999999999"])
def test_what_is_no_time_is_named_with_its_option(text: str) -> None:
    with pytest.raises(PerdureError, match="--updated-before takes a date in UTC such as"):
        unix_time(text, "--updated-before")


def test_only_what_is_given_is_asked_for() -> None:
    assert label(None, None) == label(None, []) == {}
    assert label("", ["a"]) == {"name": "", "tags": ["a"]}
