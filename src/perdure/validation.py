"""Validation: converts pydantic's errors into problems that people can read.

Each problem names its place, says what must be there and what was given, and suggests the most similar name.
Texts are never repeated, since a text from a client may be a secret.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from perdure.errors import nearest

__all__ = ["Problem", "find_problems", "in_words"]

LONGEST_NUMBER = 40  # limit of the characters of a repeated number


@dataclass(frozen=True)
class Problem:
    """An error at one place.

    Attributes
    ----------
    place
        The names and indices that lead there.
    text
        The error, as a continuation of the place's name.
    suggestion
        The most similar name.
    """

    place: tuple[str | int, ...]
    text: str
    suggestion: str | None = None


def in_words(name: str, problem: Problem) -> str:
    """Return a problem as the beginning of a sentence, with the reader's name of its place."""
    goes_on = problem.text.startswith(("must ", "is "))
    return f"{name}{'' if goes_on else ':'} {problem.text}"


def find_problems(
    errors: Iterable[Mapping[str, Any]],
    schema: Mapping[str, Any],
    document: Mapping[str, Any] | None = None,
) -> list[Problem]:
    """Return the problems in pydantic's errors, unknown names first.

    An unknown name often explains why another one is missing.

    Parameters
    ----------
    errors
        As `pydantic.ValidationError.errors` returns them.
    schema
        The JSON schema of the data, which has the known names.
    document
        The document of its references; by default the schema itself.
    """
    root = _Node(document if document is not None else schema, [schema])
    found = [problem for error in errors for problem in _problems(error, root)]
    unknown = [problem for problem in found if problem.text.startswith(_UNKNOWN)]
    others = [problem for problem in found if not problem.text.startswith(_UNKNOWN)]
    return [*dict.fromkeys(unknown), *others]


_UNKNOWN = "is not known here"


def _problems(error: Mapping[str, Any], root: "_Node") -> Iterator[Problem]:
    kind, context, given = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "extra_forbidden":
        *parents, name = error["loc"]
        place, node = root.follow(parents)
        yield _unknown((*place, name), name, node.names())
        return
    place, node = root.follow(error["loc"])
    if kind == "union_tag_not_found":
        for name in given if isinstance(given, Mapping) else ():
            if name not in node.names():
                yield _unknown((*place, name), name, node.names())
        place = (*place, _quoted(context["discriminator"])[0])
        yield Problem(place, f"is missing; it must be {_one_of(node.tags())}")
    elif kind == "union_tag_invalid":
        name = _quoted(context["discriminator"])[0]
        tag = given.get(name) if isinstance(given, Mapping) else context["tag"]  # that of the context is text
        yield _choice((*place, name), _quoted(context["expected_tags"]), tag)
    elif kind in ("literal_error", "enum"):
        yield _choice(place, _quoted(context["expected"]), given)
    elif kind == "value_error":
        yield Problem(place, str(context.get("error", error["msg"])).rstrip("."))
    elif kind in _WORDS:
        yield Problem(place, _WORDS[kind](context, given))
    else:
        text = re.sub(r"^(Input|Value) should be ", "must be ", str(error["msg"])).rstrip(".")
        yield Problem(place, text)


def _unknown(place: tuple[str | int, ...], name: object, known: Iterable[str]) -> Problem:
    meant = nearest(str(name), known)
    return Problem(place, _UNKNOWN + (f": did you mean {meant}?" if meant else ""), meant)


def _choice(place: tuple[str | int, ...], choices: Sequence[str], given: object) -> Problem:
    meant = nearest(given, choices) if isinstance(given, str) else None
    text = f"must be {_one_of(choices)}"
    return Problem(place, f"{text}: did you mean {meant}?" if meant else f"{text}{_got(given)}", meant)


def _must_be(what: str, *, typed: bool = False) -> Callable[[Mapping[str, Any], object], str]:
    """Return a function for the text of a requirement; `typed` if the type is wrong."""

    def words(context: Mapping[str, Any], given: object) -> str:
        got = "" if isinstance(given, str) and not typed else _got(given)
        return f"must be {what.format(**context)}{got}"

    return words


def _must_have(least_or_most: str, key: str) -> Callable[[Mapping[str, Any], object], str]:
    def words(context: Mapping[str, Any], given: object) -> str:
        limit = context[key]
        if key.startswith("min") and limit == 1:
            return "must not be empty"
        one, many = ("character", "characters") if isinstance(given, str) else ("entry", "entries")
        return f"must have at {least_or_most} {limit} {one if limit == 1 else many}{_length(given)}"

    return words


_WORDS: Mapping[str, Callable[[Mapping[str, Any], object], str]] = {
    "missing": lambda context, given: "is missing",
    **dict.fromkeys(("int_type", "int_from_float"), _must_be("a whole number", typed=True)),
    **dict.fromkeys(("int_parsing", "int_parsing_size"), _must_be("a whole number")),
    "float_type": _must_be("a number", typed=True),
    "float_parsing": _must_be("a number"),
    "finite_number": _must_be("a finite number"),
    "multiple_of": _must_be("a multiple of {multiple_of}"),
    "greater_than": _must_be("more than {gt:g}"),
    "greater_than_equal": _must_be("at least {ge}"),
    "less_than": _must_be("less than {lt}"),
    "less_than_equal": _must_be("at most {le}"),
    "string_type": _must_be("text"),
    "string_unicode": _must_be("valid Unicode"),
    "string_pattern_mismatch": _must_be("text that matches {pattern}"),
    **dict.fromkeys(("string_too_short", "too_short"), _must_have("least", "min_length")),
    **dict.fromkeys(("string_too_long", "too_long"), _must_have("most", "max_length")),
    "bool_type": _must_be("true or false", typed=True),
    "bool_parsing": _must_be("true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), _must_be("a list", typed=True)),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type"),
        _must_be("an object", typed=True),
    ),
    "none_required": _must_be("null", typed=True),
}
"""The text for types of errors whose text in pydantic is about Python instead of the data."""


def _got(given: object) -> str:
    """Return the given value for the end of a sentence."""
    if given is None or isinstance(given, bool) or (isinstance(given, float) and not isfinite(given)):
        return f", got {json.dumps(given)}"
    if isinstance(given, int | float):
        text = repr(given) if not isinstance(given, int) or given.bit_length() <= 128 else ""
        return f", got {text}" if 0 < len(text) <= LONGEST_NUMBER else ", got a longer number"
    for kind, name in ((str, "text"), (Mapping, "an object"), (Sequence, "a list")):
        if isinstance(given, kind):
            return f", got {name}"
    return ""


def _length(given: object) -> str:
    return f", got {len(given)}" if isinstance(given, str | Sequence | Mapping) else ""


def _one_of(choices: Sequence[str]) -> str:
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


_TYPED = frozenset({"type", "const", "enum", "properties"})
_GENERIC = re.compile(r"[a-z-]+\[.*\]")  # a form of a union: dict[str,int]


class _Node:
    """A JSON schema at one place: all forms that the data may have there."""

    def __init__(
        self, document: Mapping[str, Any], schemas: Iterable[Mapping[str, Any]], *, typed: bool = False
    ) -> None:
        self._document = document
        self._typed = typed  # whether the error names a type, for data of any type
        self._forms: list[Mapping[str, Any]] = []
        waiting = list(schemas)
        while waiting:
            form = waiting.pop()
            if "$ref" in form:
                waiting.append(self._at(form["$ref"]))
            elif form not in self._forms:
                self._forms.append(form)
                waiting += [part for key in ("anyOf", "oneOf", "allOf") for part in form.get(key, ())]

    def names(self) -> list[str]:
        """Return the names that an object may have."""
        return [name for form in self._forms for name in form.get("properties", ())]

    def tags(self) -> list[str]:
        """Return the values that distinguish the forms of a union."""
        return [tag for form in self._forms for tag in form.get("discriminator", {}).get("mapping", ())]

    def follow(self, parts: Iterable[str | int]) -> tuple[tuple[str | int, ...], "_Node"]:
        """Return the place of an error's parts; the form of a union isn't part of it."""
        place: tuple[str | int, ...] = ()
        node = self
        for part in parts:
            node, belongs = node._below(part)
            place = (*place, part) if belongs else place
        return place, node

    def _below(self, part: str | int) -> tuple["_Node", bool]:
        """Return the node under a part, and whether the part is a name or an index in the data."""
        tagged = [
            self._at(form["discriminator"]["mapping"][part])
            for form in self._forms
            if part in form.get("discriminator", {}).get("mapping", ())
        ]
        if tagged:
            return _Node(self._document, tagged), False
        if not any(form.keys() & _TYPED for form in self._forms):  # any type, which is in front of each part
            return _Node(self._document, self._forms, typed=not self._typed), self._typed
        found = []
        several = sum(form.get("type", "null") != "null" for form in self._forms) > 1
        for form in self._forms:
            if isinstance(part, int):
                found += [form["items"]] if isinstance(form.get("items"), Mapping) else []
                found += form.get("prefixItems", ())[part : part + 1]
            elif part in form.get("properties", {}):
                found.append(form["properties"][part])
            elif isinstance(form.get("additionalProperties"), Mapping) and not (
                several and _GENERIC.fullmatch(part)
            ):
                found.append(form["additionalProperties"])
        if found or isinstance(part, int):
            return _Node(self._document, found), True
        return self, False  # the name of a form

    def _at(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        place: Mapping[str, Any] = found
        return place
