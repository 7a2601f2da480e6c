"""The authority: the host and the port that a request, or the page that made it, was addressed to."""

import re

__all__ = ["DEFAULT_PORTS", "authority", "is_at"]

DEFAULT_PORTS = {"http": "80", "https": "443"}

_AUTHORITY = re.compile(r"(?:\[([0-9a-z:.%]+)\]|([^:\[\]/@\s]+))(?::(\d*))?")


def authority(text: str) -> tuple[str, str]:
    """Return the name and the port of an authority (RFC 3986, 3.2); empty texts if it is malformed."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return "", ""
    address, name, port = found.groups()
    return address or name.removesuffix("."), port or ""


def is_at(origin: str, host: str) -> bool:
    """Return whether an origin is that of the pages at a host."""
    scheme, separator, place = origin.lower().partition("://")
    if not separator or not host:
        return False
    default = DEFAULT_PORTS.get(scheme, "")
    there, here = authority(place), authority(host)
    return bool(here[0]) and (there[0], there[1] or default) == (here[0], here[1] or default)
