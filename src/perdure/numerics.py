"""The numeric fingerprint: differs between hosts whose arithmetic differs in the last bits.

Addition, multiplication and square roots are the same everywhere, but other functions of the C library and of
NumPy select their code by the processor, and newer versions of them round otherwise. The fingerprint is a
hash of what they return for fixed arguments.
"""

import hashlib
import math
from functools import cache

import msgspec

__all__ = ["HERE", "Numerics", "fingerprint"]


class Numerics(msgspec.Struct, frozen=True):
    """The arithmetic of a process, and whether it goes on with runs that another one has computed.

    Attributes
    ----------
    given
        The fingerprint; by default that of this process, which is computed when it is first needed.
    others
        Whether the process goes on with runs of other fingerprints.
    """

    given: str = ""
    others: bool = False

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the process."""
        return self.given or fingerprint()

    def are(self, fingerprint: str) -> bool:
        """Return whether a run with this fingerprint has the same numbers here; one without any may."""
        return fingerprint in ("", self.fingerprint)

    def differ(self, fingerprint: str) -> str:
        """Return in words why a run with this fingerprint isn't continued here; empty if it is."""
        if self.others or self.are(fingerprint):
            return ""
        return (
            f"It was computed with the numeric fingerprint {fingerprint}, and this host has "
            f"{self.fingerprint}: its processor or its libraries round some functions otherwise. Continue it "
            "on a host like the former one, or, with other last digits, on one that is started with "
            "--other-numerics (PERDURE_OTHER_NUMERICS)."
        )


HERE = Numerics()
"""The arithmetic of this process, which goes on with no runs of another one."""


@cache
def fingerprint() -> str:
    """Return the fingerprint of this process: 16 hexadecimal digits."""
    import numpy as np  # a command that computes nothing should start quickly

    points = [number / 64 + 1 / 3 for number in range(-256, 256)]
    positive = [abs(point) + 1 / 7 for point in points]
    values = [
        *map(math.exp, points),
        *map(math.log, positive),
        *map(math.pow, positive, points),
        *map(math.sin, points),
        *map(math.tanh, points),
        sum(points),
        math.fsum(points),
    ]
    found = hashlib.sha256(np.array(values).tobytes())
    for kind in (np.float64, np.float32):
        x, y = np.array(points, kind), np.array(positive, kind)
        for result in (
            np.exp(x),
            np.log(y),
            np.power(y, x),
            np.sin(x),
            np.tanh(x),
            np.sum(y),
            np.dot(y.reshape(16, 32), x.reshape(32, 16)),
        ):
            found.update(result.tobytes())
    return found.hexdigest()[:16]
