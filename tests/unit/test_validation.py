"""Validation: pydantic's errors become problems that people can read, whatever model they are of."""

import ast
import math
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from perdure import errors
from perdure.errors import Invalid, NotExecuted, WrongKind
from perdure.settings import Settings
from perdure.validation import find_problems, in_words

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["cat"]
    lives: Annotated[int, Field(le=9)] | None = None


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["dog"]
    dog: str
    tricks: dict[str, list[float]] = {}


class Zoo(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    animals: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    name: str


def problems(value: object) -> list[str]:
    try:
        Zoo.model_validate(value)
    except ValidationError as error:
        found = find_problems(error.errors(), Zoo.model_json_schema())
        return [in_words(".".join(map(str, one.place)), one) for one in found]
    return []


def test_a_place_in_a_union_is_named_as_it_is_in_the_data() -> None:
    dog = {"kind": "dog", "tricks": {"roll": [1, "x"]}}
    assert problems({"name": "z", "animals": [{"kind": "cat", "lives": 10}, dog]}) == [
        "animals.0.lives must be at most 9, got 10",
        "animals.1.dog is missing",
        "animals.1.tricks.roll.1 must be a number, got text",
    ]


def test_a_tag_that_is_also_the_name_of_a_field_is_no_part_of_the_place() -> None:
    assert problems({"name": "z", "animals": [{"kind": "dog", "dog": 1}]}) == [
        "animals.0.dog must be text, got 1"
    ]


class Wide(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)
    either: int | str = 1
    list_or_table: dict[str, int] | list[int] = []
    record: Cat | Dog | None = None
    anything: JsonValue = None
    table: dict[str, float] | None = None
    pair: tuple[int, str] = (1, "")
    by_number: dict[int, float] = {}
    short: Annotated[str, Field(max_length=3)] | None = None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"either": []}, ["either must be a whole number, got a list", "either must be text, got a list"]),
        (
            {"list_or_table": {"a]": "x"}},
            ["list_or_table.a] must be a whole number", "list_or_table must be a list, got an object"],
        ),
        ({"table": {"sold[1]": "x"}}, ["table.sold[1] must be a number"]),
        ({"pair": ["x", 1]}, ["pair.0 must be a whole number", "pair.1 must be text, got 1"]),
        ({"by_number": {"x": 1}}, ["by_number.x must be a whole number"]),
        ({"short": "long"}, ["short must have at most 3 characters, got 4"]),
        ({"anything": [{"dict": math.inf}]}, ["anything.0.dict must be a finite number, got Infinity"]),
        ({"anything": math.nan}, ["anything must be a finite number, got NaN"]),
    ],
)
def test_a_place_has_only_what_is_in_the_data(value: object, words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Wide.model_validate(value)
    found = find_problems(caught.value.errors(), Wide.model_json_schema())
    assert [in_words(".".join(map(str, one.place)), one) for one in found] == words


@pytest.mark.parametrize(
    ("kind", "got"), [(5, ", got 5"), (None, ", got null"), (["cat"], ", got a list"), ("x", ", got text")]
)
def test_what_stands_for_a_tag_is_told_as_it_is(kind: object, got: str) -> None:
    assert problems({"name": "z", "animals": [{"kind": kind}]}) == [
        f"animals.0.kind must be 'cat' or 'dog'{got}"
    ]


def test_all_unknown_names_come_before_what_is_missing() -> None:
    assert problems({"nam": "z", "animals": [{"kid": "cat"}]}) == [
        "animals.0.kid is not known here: did you mean kind?",
        "nam is not known here: did you mean name?",
        "animals.0.kind is missing; it must be 'cat' or 'dog'",
        "name is missing",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "animals", "kind", "dog", "lives", "tricks", "x"]), inner, max_size=4
            )
        ),
    )
)
def test_whatever_is_wrong_is_said_without_words_of_python(value: object) -> None:
    for text in problems({"animals": value}):
        assert not re.search(
            r"Input should|Field required|valid (integer|dictionary|string|list)|Extra inputs", text
        )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WrongKind(run="r", kind="experiment", wanted="tasks"), "is an experiment; this is for tasks only"),
        (WrongKind(run="r", kind="task", wanted="sessions"), "is a task; this is for sessions only"),
        (NotExecuted(run="r", kind="experiment"), "is an experiment, which"),
    ],
)
def test_errors_have_the_right_articles(error: Invalid, words: str) -> None:
    assert words in str(error)


def test_no_message_names_a_setting_otherwise_than_it_is_set() -> None:
    """A name of a setting that is two words or more is found in texts; one word could mean anything."""
    names = "|".join(name for name in Settings.model_fields if "_" in name)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(rf"(the setting|raise|raises|set|Set) ({names})\b", node.value), path
    documented = errors.__doc__ or ""
    assert "setting" not in documented
