"""Code data: what a model's own code keeps, recorded like objects, and put back.

The variables of modules and classes, the defaults, closures and attributes of functions, and the classes that
a step has made. The code itself is found again, or made in the case of such classes.
"""

import types
from collections.abc import Iterator, Mapping
from typing import Any

from perdure.engines.objects.base import Recording
from perdure.engines.objects.code import is_code, variables
from perdure.engines.objects.rebuilding import Fill, Make, Rebuilder

__all__ = [
    "CODE_DATA", "code_within", "function_parts", "parts_of_class", "parts_of_function", "parts_of_owner",
]  # fmt: skip

_PLAIN = frozenset((type(None), bool, int, float, str, bytes))
_OF_EACH_CLASS = ("__dict__", "__weakref__", "__abstractmethods__", "_abc_impl")
_PARTS_OF_DESCRIPTORS = ("fget", "fset", "fdel", "func", "__func__", "__wrapped__")


def function_parts(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function may keep: its defaults, the cells of its closure and its attributes."""
    defaults = function.__defaults__ or ()
    keywords = function.__kwdefaults__ or {}
    plain = all(type(value) in _PLAIN for value in (*defaults, *keywords.values()))
    return {
        "defaults": () if plain else defaults,
        "keywords": {} if plain else keywords,
        "closure": function.__closure__ or (),
        "attributes": vars(function),
    }


def code_within(owner: Any) -> Iterator[Any]:
    """Yield the code among the variables of a module or class, and what descriptors are made of."""
    for value in variables(owner).values():
        if is_code(value):
            yield value
            for attribute in _PARTS_OF_DESCRIPTORS:
                if isinstance(part := getattr(value, attribute, None), types.FunctionType):
                    yield part


def parts_of_class(recording: Recording, made: Any) -> list[Any]:
    """Return the record of a class that a step has made."""
    content = {name: it for name, it in vars(made).items() if name not in _OF_EACH_CLASS}
    bases = recording.values(made.__bases__)
    return ["class", recording.class_of(made), made.__name__, bases, recording.named(content)]


def parts_of_function(recording: Recording, function: types.FunctionType, name: list[Any]) -> list[Any]:
    """Return the record of what a function of this name keeps."""
    parts = function_parts(function)
    closure = [recording.value(cell) for cell in parts["closure"]]
    rest = [recording.values(parts["defaults"]), recording.named(parts["keywords"])]
    return ["function", name, closure, *rest, recording.named(parts["attributes"])]


def parts_of_owner(recording: Recording, owner: Any, name: list[Any]) -> list[Any]:
    """Return the record of the variables of a module or class of this name."""
    data = {variable: value for variable, value in variables(owner).items() if not is_code(value)}
    return ["owner", name, recording.named(data)]


def _made_class(graph: Rebuilder, record: list[Any]) -> Any:
    _, kind, name, bases, content = record
    made = graph.class_of(kind)
    if not issubclass(made, type):
        raise TypeError(f"{made!r:.80} is no class of classes")
    return made(name, tuple(graph.values(bases)), graph.named(content))


def _fill_function(graph: Rebuilder, function: Any, record: list[Any]) -> None:
    _, _, _, defaults, keywords, attributes = record
    if defaults:
        function.__defaults__ = tuple(graph.values(defaults))
    if keywords:
        function.__kwdefaults__ = graph.named(keywords)
    vars(function).clear()
    vars(function).update(graph.named(attributes))


def _fill_owner(graph: Rebuilder, owner: Any, record: list[Any]) -> None:
    data = graph.named(record[2])
    for name, value in variables(owner).items():
        if name not in data and not is_code(value):
            delattr(owner, name)
    for name, value in data.items():
        setattr(owner, name, value)


def _found(graph: Rebuilder, record: list[Any]) -> Any:
    return graph.value(record[1])


CODE_DATA: Mapping[str, tuple[Make, Fill | None]] = {
    "class": (_made_class, None),
    "function": (_found, _fill_function),
    "owner": (_found, _fill_owner),
}
"""By the kind of a node: what finds or makes code, and what puts back what it keeps."""
