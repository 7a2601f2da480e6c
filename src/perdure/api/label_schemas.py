"""The shapes of names and tags of runs in the native API."""

from typing import Annotated

from pydantic import AfterValidator, Field

from perdure.errors import Invalid
from perdure.run import MAX_NAME, MAX_TAG, MAX_TAGS, NAME_PATTERN, TAG_PATTERN, Label, LabelChange

__all__ = ["RunName", "Tags", "change_of", "label_of"]


def _name(value: str) -> str:
    try:
        return Label(name=value).name
    except Invalid as error:
        raise ValueError("must have no control character, line end or half of a surrogate pair") from error


def _tag(value: str) -> str:
    try:
        Label(tags=(value,))
    except Invalid as error:
        raise ValueError(
            "must have letters, digits and _ - . : / = only, and begin with a letter or a digit"
        ) from error
    return value


RunName = Annotated[
    str,
    Field(max_length=MAX_NAME, json_schema_extra={"pattern": NAME_PATTERN}),
    AfterValidator(_name),
]
Tag = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TAG, json_schema_extra={"pattern": TAG_PATTERN}),
    AfterValidator(_tag),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]


def label_of(name: str, tags: list[str]) -> Label:
    """Return the label of a new run."""
    return Label(name=name, tags=tuple(tags))


def change_of(
    name: str | None, tags: list[str] | None, add: list[str] | None = None, remove: list[str] | None = None
) -> LabelChange:
    """Return how a label is to be changed."""
    return LabelChange(
        name=name,
        tags=None if tags is None else tuple(tags),
        add=tuple(add or ()),
        remove=tuple(remove or ()),
    )
