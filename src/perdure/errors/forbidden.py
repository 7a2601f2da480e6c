"""Errors of what the server's operator doesn't allow; HTTP answers 403."""

from perdure.errors.base import PerdureError


class Forbidden(PerdureError):
    """The operator of this server doesn't allow that."""


class KindNotAllowed(Forbidden):
    """This server runs no {kind}s: {setting} is false. Ask its operator, or use another server."""
