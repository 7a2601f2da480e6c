"""A store without a server: opened in this process, with the same app that a server has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from perdure.api.app import App, create_app
from perdure.cli.models import load_catalogue
from perdure.cli.output import libraries_apart
from perdure.execution.unplaced import Unplaced
from perdure.observability import configure_logging
from perdure.settings import Settings
from perdure.stores.open import open_configured
from perdure.stores.schemes import find_scheme

__all__ = ["app_of"]


@asynccontextmanager
async def app_of(settings: Settings, models: str | None, *, administrator_socket: str) -> AsyncIterator[App]:
    """Yield an app on the store of the settings, which works on no runs; the store is closed afterwards.

    Parameters
    ----------
    models
        The models, ``module:name``; see `load_catalogue`.
    administrator_socket
        The host whose requests have the administrator's rights.
    """
    configure_logging("ERROR", as_json=False)
    settings = settings.model_copy(update={"keep_finished": {}})  # only a server deletes on its own
    if not find_scheme(settings.store).shared:  # --store names another one than that of the environment
        settings = settings.model_copy(update={"store_listen": None})
    with closing(open_configured(settings, create=False)) as store:
        with libraries_apart():
            catalogue = load_catalogue(models)
        app = create_app(
            store,
            catalogue,
            settings,
            administrator_socket=administrator_socket,
            executor=Unplaced(store),
            dialects=(),
        )
        async with app.router.lifespan_context(app):
            yield app
