"""Names become parts of keys, each its own, and paths stay below where they belong."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.artifacts.names import check_experiment, check_path, check_paths, encoded
from perdure.errors import InvalidName


@settings(deadline=None)
@given(st.text(max_size=400), st.text(max_size=400))
def test_two_names_are_never_the_same_key_not_even_without_case(one: str, other: str) -> None:
    assert (encoded(one).lower() == encoded(other).lower()) == (one == other)


@settings(deadline=None)
@given(st.text(max_size=1_000))
def test_a_key_is_one_plain_part(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{0,240}", encoded(name))


@settings(deadline=None)
@given(st.text())
def test_a_path_that_is_taken_stays_below(path: str) -> None:
    try:
        check_path(path)
    except InvalidName:
        return
    assert ".." not in PurePosixPath(path).parts
    assert not PurePosixPath(path).is_absolute()
    assert str(PurePosixPath("root") / path) == f"root/{path}"


@pytest.mark.parametrize("path", ["main_script.py", "a/b/c", ".hidden", "ä ö.txt", "a..b", "run:1.log"])
def test_plain_paths_are_taken(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("name", ["pendulum", "Pendulum_2.v-1", "0", "x" * 80])
def test_plain_names_are_taken(name: str) -> None:
    assert check_experiment(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", "x" * 81, "a\n", "a\0"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_experiment(name)


def test_a_file_is_no_folder() -> None:
    check_paths(["a/b", "a/c", "ab"])
    with pytest.raises(InvalidName):
        check_paths(["a/b/c", "a"])
