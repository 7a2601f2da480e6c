"""The native API: the composition root, its routes, and the server process."""

from perdure.api.app import create_app
from perdure.api.server import serve

__all__ = ["create_app", "serve"]
