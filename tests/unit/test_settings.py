"""Settings that are taken as something else than they say."""

from typing import get_args

import pytest
from pydantic import ValidationError

from perdure.cli import connection
from perdure.errors import Invalid
from perdure.settings import Settings, unknown_variables


def test_one_kept_savepoint_is_taken_as_two_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_SAVEPOINT_KEEP", "1")
    with pytest.warns(UserWarning, match="PERDURE_SAVEPOINT_KEEP=1 is read as 2"):
        assert Settings().savepoint_keep == 2


@pytest.mark.parametrize("keep", [2, 3, 100])
def test_two_kept_savepoints_and_more_are_taken_as_they_are(keep: int) -> None:
    assert Settings(savepoint_keep=keep).savepoint_keep == keep


@pytest.mark.parametrize("keep", [0, -1])
def test_fewer_kept_savepoints_than_one_are_refused(keep: int) -> None:
    with pytest.raises(ValidationError):
        Settings(savepoint_keep=keep)


@pytest.mark.parametrize(
    "text", ['["https://a.org"]', "a.org", "https://a.org/page", "https://a.org https://b.org"]
)
def test_what_is_no_origin_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"^PERDURE_CORS_ORIGINS is a list separated by commas"):
        Settings.model_validate({"cors_origins": text})


def test_origins_are_taken_as_people_write_them() -> None:
    given = Settings.model_validate({"cors_origins": "https://a.org/, http://[::1]:80 ,*"})
    assert given.cors_origins == ("https://a.org/", "http://[::1]:80", "*")


def test_variables_that_commands_read_are_no_unknown_settings() -> None:
    names = [get_args(option)[1].envvar for option in (connection.ServerUrl, connection.Token)]
    assert names == ["PERDURE_SERVER", "PERDURE_TOKEN"]
    assert unknown_variables(names) == {}


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("", {}),
        ("30", {"session": 30.0, "task": 30.0, "experiment": 30.0}),
        ("task=30, session=0.5", {"task": 30.0, "session": 0.5}),
    ],
)
def test_days_are_taken_for_all_kinds_or_by_kind(text: str, days: dict[str, float]) -> None:
    assert Settings.model_validate({"keep_finished": text}).keep_finished == days


@pytest.mark.parametrize(
    "text", ["task", "task=", "tasks=3", "task=x", "30,task=2", "task=1,task=2", "0", "-1", "nan", "task=inf"]
)
def test_days_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"number of days|numbers of days"):
        Settings.model_validate({"keep_finished": text})
