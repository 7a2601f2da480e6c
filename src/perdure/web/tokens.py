"""Tokens: which ones a server knows, and whose each is."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from perdure.drivers.session_requests import ADMINISTRATOR, Owner

__all__ = ["Caller", "Tokens"]


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes
    ----------
    name
        Whose the things are that the caller makes.
    administrator
        Whether the caller may do what the Unix socket may.
    by_cookie
        Whether it is a cookie that says so.
    expires
        When that cookie ends; Unix time, in seconds. None without a cookie.
    """

    name: str
    administrator: bool = False
    by_cookie: bool = False
    expires: int | None = field(default=None, compare=False)

    @property
    def owner(self) -> Owner:
        """Whose things the caller sees."""
        return ADMINISTRATOR if self.administrator else self.name


class Tokens:
    """The tokens a server knows, and whose each is; they are kept as digests only."""

    def __init__(
        self, tokens: Mapping[str, Iterable[SecretStr]], administrators: Collection[str] = ()
    ) -> None:
        self._known = [
            (_digest(secret.get_secret_value().encode()), Caller(owner, owner in administrators))
            for owner, secrets in tokens.items()
            for secret in secrets
        ]

    def __bool__(self) -> bool:
        return bool(self._known)

    def __iter__(self) -> Iterator[tuple[bytes, Caller]]:
        return iter(self._known)

    def bearer(self, authorization: bytes) -> Caller | None:
        """Return whose the token in an ``Authorization`` header is; None if it is nobody's."""
        scheme, _, token = authorization.partition(b" ")
        found = self.find(token) if scheme.lower() == b"bearer" else None
        return None if found is None else found[1]

    def find(self, token: bytes) -> tuple[bytes, Caller] | None:
        """Return the digest of a token and whose it is; None if it is nobody's.

        Every token is compared, and each in constant time, so that the time taken reveals nothing.
        """
        given = _digest(token.strip())
        found = None
        for known in self._known:
            if hmac.compare_digest(given, known[0]):
                found = known
        return found


def _digest(token: bytes) -> bytes:
    return hashlib.blake2b(token, digest_size=32).digest()
