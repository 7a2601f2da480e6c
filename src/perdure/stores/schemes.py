"""The schemes of stores: which class of an installed package opens the URLs of a scheme.

Packages register their classes in the entry-point group `GROUP`, under the scheme. Those of Perdure are found
the same way.
"""

from importlib.metadata import EntryPoint, entry_points

from perdure.errors import Invalid, StoreUnusable, UnknownStore
from perdure.stores.base import Store
from perdure.stores.location import scheme_of

__all__ = ["GROUP", "package_of", "store_class"]

GROUP = "perdure.stores"

NOTHING = "none, not even those of Perdure, which has to be installed again: `pip install -e .` in its folder"

_PORT = (
    "ephemeral",
    "shared",
    *(name for name in vars(Store) if name[0] != "_" and callable(getattr(Store, name))),
)
"""What a class has; the rest may be set when a store is opened."""


def store_class(url: str) -> type[Store]:
    """Return the class that opens the store at a URL.

    Raises
    ------
    Invalid
        If the URL has no scheme.
    UnknownStore
        If no installed package has registered the scheme.
    StoreUnusable
        If the class can't be imported, or lacks something of the port.
    """
    scheme = scheme_of(url)
    if scheme is None:
        raise Invalid(f"{url!r} names no store; a store is named by a URL, such as sqlite:///runs.db.")
    point = _entry_point(scheme)
    try:
        kind = point.load()
    except (Exception, SystemExit) as error:
        reason = f"{point.value} can't be imported: {type(error).__name__}: {error}"
        raise StoreUnusable(scheme=scheme, package=_package(point), reason=reason.rstrip(".")) from error
    if not isinstance(kind, type):
        reason = f"{point.value} is no class"
        raise StoreUnusable(scheme=scheme, package=_package(point), reason=reason)
    if lacking := [name for name in _PORT if not hasattr(kind, name)]:
        reason = f"{point.value} lacks {', '.join(lacking)} of perdure.stores.base.Store"
        raise StoreUnusable(scheme=scheme, package=_package(point), reason=reason)
    return kind


def package_of(scheme: str) -> str:
    """Return the name of the package that has registered a scheme."""
    return _package(_entry_point(scheme))


def _entry_point(scheme: str) -> EntryPoint:
    registered = entry_points(group=GROUP)
    found = {point.value: point for point in registered if point.name.lower() == scheme}
    if not found:
        installed = ", ".join(sorted({f"{point.name}://" for point in registered}))
        raise UnknownStore(scheme=scheme, installed=installed or NOTHING)
    if len(found) > 1:
        packages = " and ".join(sorted(_package(point) for point in found.values()))
        reason = f"{packages} have both registered that scheme; uninstall one of them"
        raise StoreUnusable(scheme=scheme, package=packages, reason=reason)
    (point,) = found.values()
    return point


def _package(point: EntryPoint) -> str:
    return point.value if point.dist is None else point.dist.name
