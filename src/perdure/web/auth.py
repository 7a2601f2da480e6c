"""The caller of a request: found by a bearer token, by a login, or by the administrator's socket."""

import time
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from perdure.web.cookies import cookie_of, may_use_cookie
from perdure.web.failures import HttpError
from perdure.web.headers import Headers
from perdure.web.logins import Logins
from perdure.web.tokens import Caller, Tokens

__all__ = [
    "LOCAL",
    "NOBODY",
    "Callers",
    "SameOriginNeeded",
    "Unauthorized",
    "caller_of",
    "from_socket",
    "note_caller",
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

    Attributes
    ----------
    administrator_socket
        That path; None without a socket.
    logins
        Whose the cookies of browsers are; None until the app that has logins opens, and without tokens.
    """

    def __init__(self, tokens: Tokens, administrator_socket: str | None = None) -> None:
        self._tokens = tokens
        self.administrator_socket = administrator_socket
        self.logins: Logins | None = None

    @property
    def tokens_needed(self) -> bool:
        """Whether requests need a token."""
        return bool(self._tokens)

    def find(self, scope: Scope, headers: Headers, *, by_cookie: bool = False) -> Caller:
        """Return who asks; `NOBODY` if that isn't known.

        Parameters
        ----------
        by_cookie
            Whether the cookie of a login counts. A token that is sent goes before it, a wrong one too.
        """
        if from_socket(scope, self.administrator_socket):
            return _ADMINISTRATOR
        if not self._tokens:
            return _ANYBODY
        given = headers.get(b"authorization")
        if given is not None:
            return self._tokens.bearer(given) or NOBODY
        if by_cookie and may_use_cookie(scope["method"], headers):
            return self._logged_in(scope, headers)
        return NOBODY

    def need(self, scope: Scope, headers: Headers, *, by_cookie: bool = False) -> Caller:
        """Return who asks, as `find` does.

        Raises
        ------
        Unauthorized
            If that isn't known.
        SameOriginNeeded
            If a cookie would say so, but the request doesn't say that it is of this server's own pages.
        """
        caller = self.find(scope, headers, by_cookie=by_cookie)
        if caller is NOBODY:
            given = b"authorization" in headers
            if by_cookie and not given and self._logged_in(scope, headers) is not NOBODY:
                raise SameOriginNeeded
            raise Unauthorized(given=given)
        return caller

    def _logged_in(self, scope: Scope, headers: Headers) -> Caller:
        """Return who logged in, by the cookie of a request alone; `NOBODY` if that isn't known."""
        value = None if self.logins is None else cookie_of(scope, headers)
        if self.logins is None or value is None:
            return NOBODY
        return self.logins.caller(value, time.time()) or NOBODY


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


class SameOriginNeeded(HttpError):
    """A request that only this server's own pages may make, and that doesn't say it is of one."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "same_origin_needed",
            "Only this server's own pages may do that with the cookie of a login; a browser says so by "
            "`Origin` or `Sec-Fetch-Site: same-origin`. Programs send `Authorization: Bearer TOKEN`.",
        )


def from_socket(scope: Scope, path: str | None) -> bool:
    """Return whether a request came in by the Unix socket at a path."""
    server = scope.get("server")
    return path is not None and server is not None and server[1] is None and server[0] == path


def note_caller(scope: Scope, caller: Caller) -> None:
    """Note who asks, for routes of FastAPI."""
    scope[_CALLER] = caller


def caller_of(scope: Scope) -> Caller:
    """Return who asks; on a public path perhaps `NOBODY`."""
    caller: Caller = scope[_CALLER]
    return caller


async def refuse_others(request: Request) -> None:
    """Refuse callers that aren't administrators; a dependency of FastAPI routes."""
    if not caller_of(request.scope).administrator:
        message = (
            "Only an administrator may do that: an owner whom the tokens file names as one, or the user "
            "that runs the server, by the socket beside the store."
        )
        raise HttpError(403, "administrator_only", message)
