"""Who asks: whoever a bearer token belongs to, or who comes by the administrator's own socket."""

from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from perdure.drivers.session_requests import ADMINISTRATOR, Owner
from perdure.web.failures import HttpError
from perdure.web.headers import Headers
from perdure.web.tokens import Caller, Tokens

__all__ = [
    "LOCAL",
    "NOBODY",
    "Callers",
    "Unauthorized",
    "caller_of",
    "from_socket",
    "is_known",
    "maker_of",
    "note_caller",
    "owner_of",
    "refuse_others",
]

LOCAL = "local"
"""Whose everything is while no tokens are set, and what is made by the administrator's socket."""

NOBODY: Final = Caller("")
"""Who asks if that isn't known; such a request may read what is public. Nothing is owned by nobody."""

_ANYBODY: Final = Caller(LOCAL)
_ADMINISTRATOR: Final = Caller(LOCAL, administrator=True)

_CALLER = "perdure.caller"


class Callers:
    """Finds out who asks, for every route alike.

    Parameters
    ----------
    tokens
        The tokens known; without any, everyone is `LOCAL`.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's. Its file permissions are what
        protects it, so it must not be handed to a proxy.
    """

    def __init__(self, tokens: Tokens, administrator_socket: str | None = None) -> None:
        self._tokens = tokens
        self._socket = administrator_socket

    def find(self, scope: Scope, headers: Headers) -> Caller:
        """Return who asks; `NOBODY` if that isn't known."""
        if self._socket is not None and from_socket(scope, self._socket):
            return _ADMINISTRATOR
        if not self._tokens:
            return _ANYBODY
        return self._tokens.bearer(headers.get(b"authorization", b"")) or NOBODY

    def need(self, scope: Scope, headers: Headers) -> Caller:
        """Return who asks; raise `Unauthorized` if that isn't known."""
        caller = self.find(scope, headers)
        if caller is NOBODY:
            raise Unauthorized(given=b"authorization" in headers)
        return caller


class Unauthorized(HttpError):
    """A request whose token is wrong, or that has none where one is needed.

    Attributes
    ----------
    given
        Whether it has one.
    """

    def __init__(self, *, given: bool) -> None:
        self.given = given
        super().__init__(
            401,
            "unauthorized",
            f"{'The token is wrong' if given else 'A token is needed'}. "
            "Send it as `Authorization: Bearer TOKEN`.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def from_socket(scope: Scope, path: str | None) -> bool:
    """Return whether a request came in by the Unix socket at a path."""
    server = scope.get("server")
    return path is not None and server is not None and server[1] is None and server[0] == path


def note_caller(scope: Scope, caller: Caller) -> None:
    """Note who asks, for routes of FastAPI."""
    scope[_CALLER] = caller


def is_known(scope: Scope) -> bool:
    """Return whether it is known who asks; of public paths anybody may ask."""
    return caller_of(scope) is not NOBODY


def caller_of(scope: Scope) -> Caller:
    """Return who asks; on a public path perhaps `NOBODY`."""
    caller: Caller = scope[_CALLER]
    return caller


def owner_of(scope: Scope) -> Owner:
    """Return whose things the caller may see."""
    return caller_of(scope).owner


def maker_of(scope: Scope) -> str:
    """Return whose a run is that is made by this request."""
    return caller_of(scope).name


async def refuse_others(request: Request) -> None:
    """Refuse whoever isn't the administrator; a dependency of FastAPI routes."""
    if owner_of(request.scope) is not ADMINISTRATOR:
        message = (
            "Only an administrator may do that: an owner whom the tokens file names as one, or whoever runs "
            "the server, by the socket beside the store."
        )
        raise HttpError(403, "administrator_only", message)
