"""Logins: what a browser's cookie says, signed with a key that all servers of a store share.

A cookie names the owner, when the login ends, and which of the owner's tokens it was made with, by a hash
that nobody can compare with tokens who hasn't the key. It says nothing of rights: these are the token's, as
long as the server knows it.
"""

import base64
import hmac
from dataclasses import replace

import msgspec

from perdure.web.tokens import Caller, Tokens

__all__ = ["KEY_BYTES", "Login", "Logins"]

KEY_BYTES = 32
LONGEST_COOKIE = 4096  # characters; browsers keep no longer ones
_SIGNATURE_BYTES = 32


class Login(msgspec.Struct, frozen=True, array_like=True):
    """What a cookie says.

    Attributes
    ----------
    owner
        Who logged in.
    expires
        The Unix time when the login ends.
    token
        The keyed hash of the token's digest.
    """

    owner: str
    expires: int
    token: bytes


class Logins:
    """Makes cookies' values of tokens, and finds who they are of.

    Parameters
    ----------
    tokens
        The tokens known.
    key
        Signs the cookies; random bytes.
    """

    def __init__(self, tokens: Tokens, key: bytes) -> None:
        self._tokens = tokens
        self._key = key
        self._callers = {self._hash(digest): replace(caller, by_cookie=True) for digest, caller in tokens}

    def value(self, token: str, expires: int) -> tuple[Caller, str] | None:
        """Return whose a token is, and the value of a cookie for it; None if it is nobody's."""
        found = self._tokens.find(token.encode("utf-8", "surrogatepass"))
        if found is None:
            return None
        digest, caller = found
        login = msgspec.msgpack.encode(Login(caller.name, expires, self._hash(digest)))
        return caller, _text(self._signature(login) + login)

    def caller(self, value: str, now: float) -> Caller | None:
        """Return who logged in, by a cookie's value; None if it is forged, over, or of a removed token."""
        data = _data(value)
        signature, login = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(login)):
            return None
        said = msgspec.msgpack.decode(login, type=Login)
        caller = self._callers.get(said.token)
        if caller is None or caller.name != said.owner or now >= said.expires:
            return None
        return replace(caller, expires=said.expires)

    def _signature(self, login: bytes) -> bytes:
        return hmac.digest(self._key, b"perdure login\0" + login, "sha256")

    def _hash(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, b"perdure token\0" + digest, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _data(text: str) -> bytes:
    """Return what a text stands for; nothing if it isn't exactly as `_text` writes it."""
    if len(text) > LONGEST_COOKIE:
        return b""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    return data if _text(data) == text else b""
