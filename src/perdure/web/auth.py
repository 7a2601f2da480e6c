"""Who asks: bearer tokens, each of which belongs to an owner, and the administrator's own socket."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.drivers.session_requests import ADMINISTRATOR, Owner
from perdure.web.errors import HttpError
from perdure.web.headers import Headers, headers_of

__all__ = [
    "LOCAL",
    "NOBODY",
    "Authentication",
    "Callers",
    "Tokens",
    "Unauthorized",
    "from_socket",
    "is_known",
    "maker_of",
    "owner_of",
    "refuse_others",
]

LOCAL = "local"
"""Whose everything is while no tokens are set, and what the administrator makes."""

NOBODY: Final = ""
"""Who asks if that isn't known; such a request may read what is public. Nothing is owned by nobody."""

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

    def find(self, scope: Scope, headers: Headers) -> Owner:
        """Return whose a request is; `NOBODY` if that isn't known."""
        if self._socket is not None and from_socket(scope, self._socket):
            return ADMINISTRATOR
        if not self._tokens:
            return LOCAL
        return self._tokens.owner(headers.get(b"authorization", b"")) or NOBODY

    def need(self, scope: Scope, headers: Headers) -> Owner:
        """Return whose a request is; raise `Unauthorized` if that isn't known."""
        owner = self.find(scope, headers)
        if owner == NOBODY:
            raise Unauthorized(given=b"authorization" in headers)
        return owner


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


class Authentication:
    """Middleware that finds out who asks, or answers 401.

    Parameters
    ----------
    callers
        Finds out who asks.
    public
        Paths that need no token.
    """

    def __init__(self, app: ASGIApp, *, callers: Callers, public: Collection[str]) -> None:
        self._app = app
        self._callers = callers
        self._public = frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            find = self._callers.find if scope["path"] in self._public else self._callers.need
            try:
                scope[_OWNER] = find(scope, headers_of(scope))
            except Unauthorized as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def from_socket(scope: Scope, path: str | None) -> bool:
    """Return whether a request came in by the Unix socket at a path."""
    server = scope.get("server")
    return path is not None and server is not None and server[1] is None and server[0] == path


def is_known(scope: Scope) -> bool:
    """Return whether it is known who asks; of public paths anybody may ask."""
    return owner_of(scope) != NOBODY


def owner_of(scope: Scope) -> Owner:
    """Return who asks; on a public path perhaps `NOBODY`."""
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
