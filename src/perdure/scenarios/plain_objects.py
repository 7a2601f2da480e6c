"""Plain objects of models: those that another process can make again from their class and plain attributes.

So is a model that was made and not worked on since: the elements, functions and factories that
`instantiate_model` defines aren't data, but it defines them again.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from perdure.engines.agents import DataCollector, Model
from perdure.engines.derived_types import slots_of
from perdure.errors import NotSnapshotable
from perdure.state.codec import State, pack

__all__ = ["attributes_of_object", "object_with"]

_REPLACED = frozenset({"_origin", "_by_id", "data_collector", "scheduler", "upgrade"})
"""Attributes that each run replaces, or that only the server uses."""


def attributes_of_object(model: Model) -> dict[str, State] | None:
    """Return the attributes in which a model differs from a bare one; None if they aren't plain data.

    Lists, dicts and arrays that occur twice aren't plain, as each would become two; nor are views of arrays,
    and arrays in another order of memory than C's, which would get that one: sums may depend on it.
    """
    kind, collector = type(model), model.data_collector
    copies = any(hasattr(kind, name) for name in ("__deepcopy__", "__setstate__"))
    if copies or kind.__reduce_ex__ is not object.__reduce_ex__ or slots_of(kind):
        return None
    if not (collector is None or (type(collector) is DataCollector and _is_unused(collector))):
        return None
    bare = vars(Model())
    found: dict[str, State] = {}
    for name, value in vars(model).items():
        usual = name in bare and type(value) is type(bare[name]) and value == bare[name]
        if name not in _REPLACED and not usual:
            found[name] = value
    try:
        pack(found)
    except NotSnapshotable:
        return None
    parts = [*_containers(found)]
    shared = len({*map(id, parts)}) < len(parts)
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    straight = all(array.base is None and array.flags.c_contiguous for array in arrays)
    return found if straight and not shared else None


def object_with(kind: type[Model], attributes: dict[str, State]) -> Model:
    """Return a model of a class with the attributes that `attributes_of_object` returned."""
    made = kind.__new__(kind)
    Model.__init__(made)
    vars(made).update(attributes)
    return made


def _is_unused(collector: DataCollector) -> bool:
    return vars(collector) == vars(DataCollector())


def _containers(value: Any) -> Iterator[Any]:
    """Yield each part that can be changed."""
    if isinstance(value, dict | list | np.ndarray):
        yield value
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _containers(each)
