"""Who asks: bearer tokens, each of which belongs to an owner, and the administrator's own socket."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.drivers.requests import ADMINISTRATOR, Owner
from perdure.web.errors import HttpError, error_response

__all__ = ["LOCAL", "Authentication", "Tokens", "is_known", "maker_of", "owner_of", "refuse_others"]

LOCAL = "local"
"""Whose everything is while no tokens are set, and what the administrator makes."""

_OWNER = "perdure.owner"


class Tokens:
    """The tokens a server knows, by owner; they are kept as digests only."""

    def __init__(self, tokens: Mapping[str, Iterable[SecretStr]]) -> None:
        self._known = [
            (_digest(secret.get_secret_value().encode()), owner)
            for owner, secrets in tokens.items()
            for secret in secrets
        ]

    def __bool__(self) -> bool:
        return bool(self._known)

    def owner(self, authorization: bytes) -> str | None:
        """Return whose the token in an ``Authorization`` header is; None if it is nobody's.

        Every token is compared, and each in constant time, so that the time taken tells nothing.
        """
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        given = _digest(token.strip())
        found = None
        for known, owner in self._known:
            if hmac.compare_digest(given, known):
                found = owner
        return found


class Authentication:
    """Middleware that finds out who asks, or answers 401.

    Parameters
    ----------
    tokens
        The tokens known; without any, everyone is `LOCAL`.
    public
        Paths that need no token.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's. Its file permissions are what
        protects it, so it must not be handed to a proxy.
    """

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens, public: Collection[str], administrator_socket: str | None
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._public = frozenset(public)
        self._socket = administrator_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if from_socket(scope, self._socket):
                scope[_OWNER] = ADMINISTRATOR
            elif not self._tokens:
                scope[_OWNER] = LOCAL
            else:
                given = [value for name, value in scope["headers"] if name == b"authorization"]
                owner = self._tokens.owner(given[0]) if len(given) == 1 else None
                if owner is not None:
                    scope[_OWNER] = owner
                elif scope["path"] not in self._public:
                    message = "The token is wrong." if given else "A token is needed."
                    response = error_response(
                        401,
                        "unauthorized",
                        f"{message} Send it as `Authorization: Bearer TOKEN`.",
                        headers={"WWW-Authenticate": "Bearer"},
                    )
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def from_socket(scope: Scope, path: str | None) -> bool:
    """Return whether a request came in by the Unix socket at a path."""
    server = scope.get("server")
    return path is not None and server is not None and server[1] is None and server[0] == path


def is_known(scope: Scope) -> bool:
    """Return whether it is known who asks; of public paths anybody may ask."""
    return _OWNER in scope


def owner_of(scope: Scope) -> Owner:
    """Return who asks."""
    owner: Owner = scope[_OWNER]
    return owner


def maker_of(scope: Scope) -> str:
    """Return whose a run is that is made by this request."""
    return owner_of(scope) or LOCAL


async def refuse_others(request: Request) -> None:
    """Refuse whoever isn't the administrator; a dependency of FastAPI routes."""
    if owner_of(request.scope) is not ADMINISTRATOR:
        message = "Only the administrator may do that: this machine's user, by the socket beside the store."
        raise HttpError(403, "administrator_only", message)


def _digest(token: bytes) -> bytes:
    return hashlib.blake2b(token, digest_size=32).digest()
