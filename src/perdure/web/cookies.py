"""Cookies: what a browser sends back, and where a request with one may come from.

Browsers send a cookie to every port of a host, and with requests that other pages make. So its name holds the
port that the browser knows, and it counts only in requests of this server's own pages.
"""

from typing import Final
from urllib.parse import quote

from starlette.types import Scope

from perdure.web.authority import DEFAULT_PORTS, authority, is_at
from perdure.web.headers import Headers

__all__ = ["cookie_of", "forgotten_cookie", "is_from_elsewhere", "may_use_cookie", "new_cookie"]

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SITES: Final = frozenset({None, b"same-origin", b"none"})


def cookie_of(scope: Scope, headers: Headers) -> str | None:
    """Return the value of this server's cookie in a request; None if there is none, or two that differ.

    Of two that differ, one is another's: a page of a neighbouring domain can set cookies for this one.
    """
    name = _name(scope, headers).encode("latin-1")
    pairs = (pair.strip().partition(b"=") for pair in headers.get(b"cookie", b"").split(b";"))
    found = {value for given, _, value in pairs if given == name}
    return found.pop().decode("latin-1") if len(found) == 1 else None


def new_cookie(scope: Scope, headers: Headers, value: str, seconds: int) -> tuple[str, str]:
    """Return the header that gives a browser this server's cookie.

    It is for HTTPS only if the request came by it: it says so itself, or the page it is from, or a proxy. If
    that is a lie, the client that lied gets a cookie that is sent less often.
    """
    secure = "; Secure" if _is_encrypted(scope, headers) else ""
    path = f"{scope.get('root_path', '')}/"
    attributes = f"Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return "Set-Cookie", f"{_name(scope, headers)}={value}; {attributes}"


def forgotten_cookie(scope: Scope, headers: Headers) -> tuple[str, str]:
    """Return the header that makes a browser forget this server's cookie."""
    return new_cookie(scope, headers, "", 0)


def is_from_elsewhere(headers: Headers) -> bool:
    """Return whether a request says that a page of another origin made it.

    Not one that `OriginPolicy` admits is trusted, nor one of another port of this host, which is of the same
    site. What a person typed in is from nowhere else.
    """
    origin = headers.get(b"origin")
    if origin is not None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_at(origin.decode("latin-1"), host):
            return True
    return headers.get(b"sec-fetch-site") not in _SITES


def may_use_cookie(method: str, headers: Headers) -> bool:
    """Return whether a request may be allowed what its cookie allows.

    A read may say nothing of where it is from; a write has to say that a page of this server made it.
    """
    if is_from_elsewhere(headers):
        return False
    return method in _READS or b"origin" in headers or headers.get(b"sec-fetch-site") == b"same-origin"


def _name(scope: Scope, headers: Headers) -> str:
    """Return the cookie's name, which holds the port as the browser knows it, and the path's prefix.

    A browser sends the cookies of a server at `/` also to one behind a prefix.
    """
    _, port = authority(headers.get(b"host", b"").decode("latin-1"))
    prefix = quote(scope.get("root_path", ""), safe="")
    return f"perdure-{port or DEFAULT_PORTS.get(scope['scheme'], '80')}{prefix}"


def _is_encrypted(scope: Scope, headers: Headers) -> bool:
    said = (headers.get(name, b"").lower() for name in (b"origin", b"x-forwarded-proto"))
    return scope["scheme"] == "https" or any(value.startswith(b"https") for value in said)
