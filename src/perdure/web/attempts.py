"""Attempts: how often a login may fail, from one address and from all of them."""

import ipaddress
import math
from collections import deque

from perdure.web.failures import HttpError

__all__ = ["Attempts"]

SECONDS = 60.0
LIMIT = 100  # failures of all addresses within these seconds; so much is remembered
LIMIT_OF_ADDRESS = 10
_NETWORK_BITS = 64  # of an IPv6 address: who has one has a network of them


class Attempts:
    """The failures of the last minute. A success neither counts nor makes up for a failure.

    Times are seconds of a steady clock.
    """

    def __init__(self) -> None:
        self._failed: deque[tuple[float, str]] = deque(maxlen=LIMIT)

    def check(self, address: str, now: float) -> None:
        """Raise `HttpError` (429) if an address may not try."""
        wait = self.wait(address, now)
        if wait:
            message = f"Too many logins have failed; try again in {wait} s."
            raise HttpError(
                429, "too_many_attempts", message, {"retry_after": wait}, {"Retry-After": str(wait)}
            )

    def wait(self, address: str, now: float) -> int:
        """Return for how many seconds an address may not try; 0 if it may."""
        while self._failed and self._failed[0][0] <= now - SECONDS:
            self._failed.popleft()
        network = _network(address)
        of_all = [at for at, _ in self._failed]
        of_address = [at for at, other in self._failed if other == network]
        waits = [
            times[-limit] + SECONDS - now
            for times, limit in ((of_all, LIMIT), (of_address, LIMIT_OF_ADDRESS))
            if len(times) >= limit
        ]
        return math.ceil(max(waits, default=0.0))

    def note_failure(self, address: str, now: float) -> None:
        """Note that an address which was allowed to try has failed."""
        self._failed.append((now, _network(address)))


def _network(address: str) -> str:
    """Return what an address counts as: an IPv6 address as its network, the others as they are."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), _NETWORK_BITS), strict=False))
