"""The graph of a model's objects: its state, and what its own modules and cached functions keep."""

import types
from collections.abc import Iterable, Mapping
from typing import Any

from perdure.engines.mesa.code_data import CODE_DATA
from perdure.engines.mesa.function_caches import entries_of, keyword_mark
from perdure.engines.mesa.known_code import KnownCode
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.errors import InvalidState

__all__ = ["rebuilt", "recorded"]

_MARK = ["mark"]  # stands for what separates keyword arguments in the keys of caches
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))


def recorded(roots: Mapping[str, Any], code: KnownCode, own: Iterable[types.ModuleType]) -> dict[str, Any]:
    """Return the records of all that the roots and the own modules hold.

    Parameters
    ----------
    roots
        Values by name.
    code
        Finds code again.
    own
        The model's own modules.

    Raises
    ------
    NotSnapshotable
        If values can't be saved; the message says where they are.
    """
    recorder = Recorder(code, {id(keyword_mark()): _MARK})

    def place(value: Any, path: str) -> str:
        names = {id(root): name for name, root in roots.items()}
        return f"{names.get(id(value)) or _described(value)}{path}"

    try:
        found = dict(zip(roots, recorder.roots(place, roots.values()), strict=False))
        for module in own:
            code.visit(module, recorder)
        recorder.run()
        caches = _caches(recorder, code, place)
        recorder.problems.check()
    finally:
        recorder.forget()
    return {"roots": found, "nodes": recorder.nodes, "caches": caches}


def rebuilt(state: Any, code: KnownCode) -> dict[str, Any]:
    """Return the roots of a graph that `recorded` returned, and put back what code keeps.

    Raises
    ------
    InvalidState
        If the records don't fit the code.
    """
    graph = Rebuilder(state["nodes"], code, CODE_DATA)
    try:
        for number, record in enumerate(state["nodes"]):
            if record[0] == "function":  # its cells can't be replaced, and may be another one's, too
                cells = graph.node(number).__closure__ or ()
                for cell, (place,) in zip(cells, record[2], strict=True):
                    graph.take(place, cell)
        graph.rebuild()
        for function, keys, values in state["caches"]:
            entries_of(graph.value(function)).update(graph.pairs(keys, values))
        return {name: graph.value(value) for name, value in state["roots"].items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"it doesn't fit the model that was built anew: {type(error).__name__}: {error}"
        raise InvalidState(name="Mesa", reason=reason) from error


def _caches(recorder: Recorder, code: KnownCode, place: Any) -> list[list[Any]]:
    """Return what cached functions remember of the objects in the graph."""
    found: list[list[Any]] = []
    for function in code.caches:
        try:
            entries = entries_of(function)
        except ValueError as error:
            if function.cache_info().currsize:
                recorder.problems.note(_described(function), str(error))
            continue
        keys = [key for key in entries if _is_in(recorder, key)]
        name = recorder.root(place, function)
        found.append([name, recorder.roots(place, keys), recorder.roots(place, map(entries.get, keys))])
        recorder.run()
    return found


def _is_in(recorder: Recorder, key: Any) -> bool:
    """Return whether all objects in the key of a cache are in the graph, or can't change."""
    if isinstance(key, tuple):
        return all(_is_in(recorder, part) for part in key)
    return type(key) in _PLAIN or recorder.has(key) or recorder.known.holds(key)


def _described(thing: Any) -> str:
    if isinstance(thing, types.ModuleType | type | types.FunctionType):
        return f"{getattr(thing, '__qualname__', thing.__name__)}"
    return f"a {type(thing).__qualname__}"
