"""Where a request comes from: no foreign web page drives the server, not even one that rebinds its DNS name.

A `Host` is checked while no tokens are set: then every client may do everything, and only names
from the settings are trusted. An `Origin`, which browsers send, is the server's own or allowed
(CORS).
"""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

from perdure.web.auth import from_socket
from perdure.web.authority import authority, is_at
from perdure.web.failures import HttpError
from perdure.web.headers import Headers

__all__ = ["ANY", "OriginPolicy", "host_name", "is_loopback"]

ANY = "*"

_EXPOSED = b"Content-Disposition, ETag, Location, X-Request-ID"

# Load balancers and supervisors probe under any name, and the answers reveal nothing.
_OF_ANY_HOST = frozenset({"/healthy", "/healthy/", "/ready"})

_LONGEST_NAME = 200  # characters of a host or an origin that an error repeats


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine and reachable from it only.

    >>> is_loopback("localhost"), is_loopback("127.8.9.1"), is_loopback("::1"), is_loopback("10.0.0.1")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """Return the name in a ``Host`` header as it is compared; an empty text if the header is malformed.

    >>> host_name("LOCALHOST:5000"), host_name("[::1]:80"), host_name("sim.example.org."), host_name("[::1")
    ('localhost', '::1', 'sim.example.org', '')
    """
    return authority(host)[0]


@dataclass(frozen=True)
class OriginPolicy:
    """Which hosts a server answers to, and which web pages may call it.

    Attributes
    ----------
    origins
        Origins besides the server's own; `ANY` among them means every one.
    hosts
        Names to be trusted besides those of this machine, as `host_name` returns them; None trusts all.
    administrator_socket
        The path of the Unix socket whose requests aren't checked.
    """

    origins: frozenset[str]
    hosts: Collection[str] | None
    administrator_socket: str | None

    @classmethod
    def of(
        cls, origins: Collection[str], hosts: Collection[str] | None, administrator_socket: str | None = None
    ) -> "OriginPolicy":
        """Return the policy for origins as people write them."""
        compared = frozenset(origin.rstrip("/").lower() for origin in origins)
        return cls(compared, hosts, administrator_socket)

    def admit(self, scope: Scope, headers: Headers) -> str | None:
        """Return the foreign origin whose page asks and may do so; None if no foreign page asks.

        Raises
        ------
        HttpError
            If the host or the origin isn't trusted (403).
        """
        if from_socket(scope, self.administrator_socket):
            return None
        host = headers.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and scope["path"] not in _OF_ANY_HOST:
            name = host_name(host)
            if not is_loopback(name) and name not in self.hosts:
                raise _foreign_host(host)
        given = headers.get(b"origin")
        if given is None:
            return None
        origin = given.decode("latin-1")
        if is_at(origin, host):
            return None
        if ANY not in self.origins and origin.lower() not in self.origins:
            raise _foreign_origin(origin)
        return origin

    def headers(self, origin: str | None) -> list[tuple[bytes, bytes]]:
        """Return the headers that let pages of an admitted origin read an answer, also one that is cached."""
        exposed = [] if origin is None else [(b"access-control-expose-headers", _EXPOSED)]
        if ANY in self.origins:
            return [(b"access-control-allow-origin", b"*"), *exposed]
        if not self.origins:
            return []
        vary = [(b"vary", b"Origin")]
        if origin is None:
            return vary
        return [(b"access-control-allow-origin", origin.encode("latin-1")), *vary, *exposed]

    def in_words(self) -> str:
        """Return which web pages may call, for people."""
        if ANY in self.origins:
            return "web pages of any origin may call it"
        if self.origins:
            return f"web pages of {', '.join(sorted(self.origins))} may call it"
        return "web pages of other origins may not call it"


def _foreign_host(host: str) -> HttpError:
    host = host[:_LONGEST_NAME]
    message = (
        f"This server doesn't answer to the host {host!r} while it has no tokens. Add the name to "
        "PERDURE_HOSTS, or set PERDURE_TOKENS."
    )
    return HttpError(403, "foreign_host", message, {"host": host})


def _foreign_origin(origin: str) -> HttpError:
    origin = origin[:_LONGEST_NAME]
    message = (
        f"Web pages of {origin} may not call this server. Add the origin to PERDURE_CORS_ORIGINS to allow it."
    )
    return HttpError(403, "foreign_origin", message, {"origin": origin})
