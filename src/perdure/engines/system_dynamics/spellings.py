"""Spellings: names of a model from a file, which mean the same whatever their letter case and blanks."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from perdure.errors import InvalidOverride

__all__ = ["AnySpelling", "by_own_names", "canonical", "spelling_of"]

REMEMBERED = 200  # characters of names whose forms are kept in memory

_UNDERSCORES = re.compile("_+")
_BLANKS = re.compile(r"[\s_\u00a0]+|\\n")
_MARKS = re.compile(r"_?([\[\],])_?")


def canonical(name: str) -> str:
    """Return what a name is compared by: small letters, and one underscore for blanks and underscores.

    Source: XMILE 1.0, section 3.2.2; Vensim's names follow the same rule.
    """
    return _canonical(name) if len(name) <= REMEMBERED else _canonical.__wrapped__(name)


@lru_cache(10_000)  # names of the same elements, for each of the cells of arrays
def _canonical(name: str) -> str:
    plain = name.strip().replace('\\"', '"')
    return _UNDERSCORES.sub("_", _BLANKS.sub("_", plain)).casefold()


def spelling_of(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function that maps each spelling of a name to that name, and any other text to itself.

    Blanks beside brackets and commas don't count either. A spelling that several of the names share belongs
    to none of them: they must be written as they are.
    """
    exact = dict.fromkeys(names)
    found: dict[str, str | None] = {}
    for name in exact:
        key = _MARKS.sub(r"\1", canonical(name))
        found[key] = None if key in found else name

    def spelled(name: str) -> str:
        if name in exact:
            return name
        return found.get(_MARKS.sub(r"\1", canonical(name))) or name

    return spelled


def by_own_names(given: Mapping[Any, Any], part: str, spelled: Callable[[str], str]) -> dict[Any, Any]:
    """Return values by the names that the model has.

    Parameters
    ----------
    given
        The values, by any spellings.
    part
        ``"constants"`` or ``"points"``, for messages.
    spelled
        Gives the model's name for a spelling.

    Raises
    ------
    InvalidOverride
        If two spellings of one name have a value each.
    """
    found: dict[Any, tuple[Any, Any]] = {}
    for name, value in given.items():
        own = spelled(name) if isinstance(name, str) else name
        former, _ = found.setdefault(own, (name, value))
        if former is not name:
            reason = f"{former!r} is the same name in another spelling, and has a value already"
            raise InvalidOverride.of(name, value, reason, part=part)
    return {own: value for own, (_, value) in found.items()}


class AnySpelling(Collection[str]):
    """Names, each of which is contained in every spelling."""

    def __init__(self, names: Collection[str], spelled: Callable[[str], str]) -> None:
        self._names = names
        self._spelled = spelled

    def own(self, name: str) -> str:
        """Return the name itself for a spelling of it, and other names as they are."""
        return self._spelled(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and self._spelled(name) in self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
