"""Opens a store by its URL, or as the settings say."""

from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.location import shown_url
from perdure.stores.options import DEFAULTS, StoreOptions
from perdure.stores.schemes import find_scheme
from perdure.stores.store_copy import check_copies

__all__ = ["StoreOptions", "open_configured", "open_store"]

_PORT = sorted(name for name in {*vars(Store), *Store.__annotations__} if not name.startswith("_"))


def open_store(url: str, options: StoreOptions = DEFAULTS) -> Store:
    """Open the store that a URL names; the caller closes it.

    Parameters
    ----------
    url
        ``sqlite:///file`` with a path relative to the working folder, ``sqlite:////file`` with an absolute
        one (a folder means ``perdure.db`` in it), ``postgresql://user:password@host:5432/database``,
        ``memory://``, or a URL with a scheme that an installed package has registered. In the path of a file,
        ``%``, ``?`` and ``#`` are written ``%25``, ``%3F`` and ``%23``.
    options
        How much is kept, and how the store is opened.

    Raises
    ------
    UnknownStore, StoreUnusable
        If no package has registered the scheme, or the package fails.
    Invalid
        If the URL doesn't have the form that its scheme requires.
    PerdureError
        As `StoreScheme.open` does.
    """
    scheme = find_scheme(url)
    store = scheme.open(url, options)
    if lacking := [name for name in _PORT if not hasattr(store, name)]:
        if "close" not in lacking:
            store.close()
        raise scheme.unusable(f"what it opens lacks {', '.join(lacking)} of perdure.stores.base.Store")
    return store


def open_configured(
    settings: Settings,
    *,
    create: bool = True,
    accept_loss: bool = False,
    probe_every: float | None = None,
) -> Store:
    """Open the store that the settings name, with their limits, to work on it.

    Raises
    ------
    StoreClosed, StoreIsCopy
        If it was closed when it was copied, or is a copy that isn't finished.
    PerdureError
        As `open_store` does.
    """
    options = StoreOptions(
        keep=settings.savepoint_keep,
        keep_lines=settings.max_log_lines,
        keep_bytes=settings.max_log_bytes,
        create=create,
        accept_loss=accept_loss,
        probe_every=probe_every,
        listen=settings.store_listen,
        patience=settings.store_patience,
    )
    store = open_store(settings.store, options)
    try:
        check_copies(store, shown_url(settings.store))
    except BaseException:
        store.close()
        raise
    return store
