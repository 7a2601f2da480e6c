"""Caches of functions: what `functools.cache` remembers, as data.

Mesa's cells cache their neighbourhoods so. A cache belongs to a function, not to a model; its entries that
belong to a model are those whose arguments do. The entries of a cache without a limit are in a dict that
CPython's garbage collector knows. A cache with a limit also has an order, which can't be restored.
"""

import functools
import gc
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perdure.engines.objects.code import CachedFunction

__all__ = ["cached_functions", "entries_of", "forget", "keyword_mark", "remembered"]


def entries_of(function: Any) -> dict[Any, Any]:
    """Return the results of a cached function by the arguments, as the function keeps them.

    Raises
    ------
    ValueError
        If they can't be found, or the cache has a limit.
    """
    if function.cache_parameters()["maxsize"] is not None:
        raise ValueError("its cache has a limit; use functools.cache")
    found = [one for one in gc.get_referents(function) if type(one) is dict and one is not vars(function)]
    if len(found) != 1 or len(found[0]) != function.cache_info().currsize:
        raise ValueError("its cache can't be read with this Python")
    return found[0]


def cached_functions(modules: Iterable[types.ModuleType]) -> Iterator[Any]:
    """Yield the cached functions and methods that are defined in modules, each once."""
    met: set[int] = set()
    for module in modules:
        for value in [*vars(module).values()]:
            members = vars(value).values() if isinstance(value, type) else ()
            for thing in (value, *members):
                if isinstance(thing, CachedFunction) and id(thing) not in met:
                    met.add(id(thing))
                    yield thing


def remembered(functions: Iterable[Any]) -> dict[int, int]:
    """Return how many results functions remember, by the id of the function."""
    return {id(function): function.cache_info().currsize for function in functions}


def forget(functions: Iterable[Any], former: Mapping[int, int]) -> None:
    """Let functions forget what they have remembered since; those with a limit forget everything."""
    for function in functions:
        try:
            entries = entries_of(function)
        except ValueError:
            function.cache_clear()
            continue
        for key in [*entries][former.get(id(function), 0) :]:
            del entries[key]


@functools.cache
def keyword_mark() -> Any:
    """Return the object that stands before keyword arguments in the keys of all caches."""
    probe = functools.cache(lambda **named: None)
    probe(one=1)
    (key,) = entries_of(probe)
    return key[0]
