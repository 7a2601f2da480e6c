"""The dialects that are installed: Perdure's own and those of other packages, found the same way."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from perdure.errors import DialectUnusable
from perdure.web.dialect import Dialect

__all__ = ["GROUP", "installed_dialects"]

GROUP: Final = "perdure.dialects"


def installed_dialects() -> tuple[Dialect[Any], ...]:
    """Return the dialects of all installed packages, by the names of their entry points.

    Raises
    ------
    DialectUnusable
        If one can't be imported, or is something else, or two packages have registered one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            packages = " and ".join(sorted((_package(other), _package(point))))
            raise DialectUnusable(dialect=point.name, reason=f"{packages} have both registered that name")
    return tuple(_load(found[name]) for name in sorted(found))


def _load(point: EntryPoint) -> Dialect[Any]:
    try:
        dialect = point.load()
    except (Exception, SystemExit) as error:
        raise _unusable(point, f"{point.value} can't be imported: {type(error).__name__}: {error}") from error
    if not isinstance(dialect, Dialect):
        raise _unusable(point, f"{point.value} is no Dialect")
    return dialect


def _unusable(point: EntryPoint, reason: str) -> DialectUnusable:
    return DialectUnusable(dialect=f"{point.name} of {_package(point)}", reason=reason.rstrip("."))


def _package(point: EntryPoint) -> str:
    return point.value if point.dist is None else point.dist.name
