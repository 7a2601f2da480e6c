"""Structs: why a msgspec Struct doesn't take a value.

msgspec is quick, but stops at the first mistake and doesn't name keys on the way there. So what it refused is
validated once more, by a pydantic model that is made of the Struct.
"""

from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any, Literal

import msgspec
from msgspec import inspect
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, create_model

from perdure.validation import Problem, find_problems

__all__ = ["struct_problems", "whole"]


def struct_problems(
    struct: type[msgspec.Struct], value: object, part: str, refusal: msgspec.ValidationError
) -> Sequence[Problem]:
    """Return what is wrong with a value that a Struct doesn't take.

    Parameters
    ----------
    value
        The value, decoded without the Struct; in a query everything is text.
    part
        The part of the request that it is, with which each place begins.
    refusal
        What msgspec said of it.
    """
    model = _model(struct, strict=part == "body")
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = find_problems(error.errors(include_url=False), model.model_json_schema())
        return [Problem((part, *one.place), one.text, one.suggestion) for one in found]
    return [Problem((part,), str(refusal))]


@cache
def _model(struct: type[msgspec.Struct], *, strict: bool) -> type[BaseModel]:
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    return _of_struct(described, strict)


def _of_struct(struct: inspect.StructType, strict: bool) -> type[BaseModel]:
    config = ConfigDict(strict=strict, extra="forbid" if struct.forbid_unknown_fields else "ignore")
    fields: dict[str, Any] = {
        field.encode_name: (_type(field.type, strict), ... if field.required else None)
        for field in struct.fields
    }
    return create_model(struct.cls.__name__, __config__=config, **fields)


def _type(kind: inspect.Type, strict: bool) -> Any:
    """Return the type that pydantic knows a type of msgspec's by."""
    match kind:
        case inspect.StructType():
            return _of_struct(kind, strict)
        case inspect.Metadata():
            return _type(kind.type, strict)
        case inspect.UnionType():
            return reduce(or_, (_type(one, strict) for one in kind.types))
        case inspect.DictType():
            return GenericAlias(dict, (_type(kind.key_type, strict), _type(kind.value_type, strict)))
        case inspect.ListType():
            items = GenericAlias(list, (_type(kind.item_type, strict),))
            return _limited(items, min_length=kind.min_length, max_length=kind.max_length)
        case inspect.FloatType(multiple_of=1):
            return Annotated[_limited(int, ge=whole(kind.ge), le=whole(kind.le)), BeforeValidator(whole)]
        case inspect.IntType() | inspect.FloatType():
            number: Any = int if isinstance(kind, inspect.IntType) else FiniteFloat
            return _limited(number, ge=kind.ge, gt=kind.gt, le=kind.le, lt=kind.lt)
        case inspect.StrType():
            return _limited(str, pattern=kind.pattern, min_length=kind.min_length, max_length=kind.max_length)
        case inspect.LiteralType():
            return Literal[kind.values]
        case inspect.BoolType():
            return bool
        case inspect.NoneType():
            return None
    return Any


def _limited(kind: Any, **limits: Any) -> Any:
    return Annotated[kind, Field(**{name: limit for name, limit in limits.items() if limit is not None})]


def whole(value: object) -> object:
    """Take 3.0 for 3, as JSON and its schemas do."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
