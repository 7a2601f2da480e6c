"""The schemes of stores: which class of an installed package opens the URLs of a scheme.

Packages register their classes in the entry-point group `GROUP`, under the scheme. Perdure's own are
registered in the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from perdure.errors import Invalid, PerdureError, StoreUnusable, UnknownStore
from perdure.stores.location import beside, scheme_of

if TYPE_CHECKING:
    from perdure.stores.base import Store
    from perdure.stores.options import StoreOptions

__all__ = ["GROUP", "Scheme", "StoreScheme", "find_scheme", "socket_path", "store_file"]

GROUP = "perdure.stores"

NOTHING = "none, not even Perdure's own; install Perdure again: `pip install -e .` in its folder"


class StoreScheme(Protocol):
    """The object of an entry point: a class of stores, or a small class that imports one when it is needed.

    Commands call `locate` to find the server that has a store open, and shouldn't have to wait for a large
    import.
    """

    shared: ClassVar[bool]
    """As `Store.shared`; it is asked for before a store is opened, and False if there is none."""

    @classmethod
    def open(cls, url: str, options: "StoreOptions") -> "Store":
        """Open the store that a URL of this scheme names; the caller closes it.

        An option that the store can't follow is refused unless it has its default. The query of the URL is
        free for options of the store's own.

        Raises
        ------
        Invalid
            If the URL doesn't have the form of this scheme, its query has an unknown option, or an option
            can't be followed.
        StoreNotFound
            If there is no such store and `options` don't allow to create it.
        StoreLocked
            If it is open already and can't be shared.
        """
        ...

    @classmethod
    def locate(cls, url: str) -> Path | None:
        """Return what `Store.file` would be for the store of a URL; nothing is opened or created.

        Raises `Invalid` as `open` does.
        """
        ...


class Scheme:
    """A scheme that an installed package has registered.

    Parameters
    ----------
    name
        The scheme.
    point
        The package's entry point.
    """

    def __init__(self, name: str, point: EntryPoint) -> None:
        self.name = name
        self._point = point

    def open(self, url: str, options: "StoreOptions") -> "Store":
        """Open a store as `StoreScheme.open` does; raise `StoreUnusable` if the package fails."""
        kind = self._load()
        with self._naming_its_package("opening one"):
            return kind.open(url, options)

    def locate(self, url: str) -> Path | None:
        """Find the file as `StoreScheme.locate` does; raise `StoreUnusable` if the package fails."""
        kind = self._load()
        with self._naming_its_package("looking for its file"):
            return kind.locate(url)

    @property
    def shared(self) -> bool:
        """Whether several processes may have a store of this scheme open at once."""
        return bool(getattr(self._load(), "shared", False))

    def unusable(self, reason: str) -> StoreUnusable:
        """Return the error that says why stores of this scheme can't be used; it names their package."""
        return StoreUnusable(scheme=self.name, package=_package(self._point), reason=reason.rstrip("."))

    def _load(self) -> type[StoreScheme]:
        what = self._point.value
        try:
            found = self._point.load()
        except (Exception, SystemExit) as error:
            reason = f"{what} can't be imported: {type(error).__name__}: {error}"
            raise self.unusable(reason) from error
        if not isinstance(found, type):
            raise self.unusable(f"{what} is no class")
        if lacking := [name for name in ("open", "locate") if not hasattr(found, name)]:
            raise self.unusable(f"{what} lacks {' and '.join(lacking)}")
        return found

    @contextmanager
    def _naming_its_package(self, what: str) -> Iterator[None]:
        """Convert errors that aren't Perdure's into `StoreUnusable` with the name of the package."""
        try:
            yield
        except PerdureError:
            raise
        except Exception as error:
            raise self.unusable(f"{what} raised {type(error).__name__}: {error}") from error


def find_scheme(url: str) -> Scheme:
    """Return the scheme of a URL.

    Raises
    ------
    Invalid
        If the URL has none.
    UnknownStore
        If no installed package has registered it.
    StoreUnusable
        If several have.
    """
    name = scheme_of(url)
    if name is None:
        raise Invalid(f"{url!r} is no URL of a store; a URL is for example sqlite:///runs.db.")
    registered = entry_points(group=GROUP)
    found = {point.value: point for point in registered if point.name.lower() == name}
    if not found:
        installed = ", ".join(sorted({f"{point.name}://" for point in registered}))
        raise UnknownStore(scheme=name, installed=installed or NOTHING)
    if len(found) > 1:
        packages = " and ".join(sorted(_package(point) for point in found.values()))
        reason = f"{packages} have both registered that scheme; uninstall one of them"
        raise StoreUnusable(scheme=name, package=packages, reason=reason)
    (point,) = found.values()
    return Scheme(name, point)


def store_file(url: str) -> Path | None:
    """Return the file or folder that a store's URL names; None if that store has none."""
    return find_scheme(url).locate(url)


def socket_path(url: str) -> Path | None:
    """Return the path of a store's administrator socket: beside its file, under its name."""
    file = store_file(url)
    return None if file is None else beside(file, "sock")


def _package(point: EntryPoint) -> str:
    return point.value if point.dist is None else point.dist.name
