"""The end of a child: how it came about, as the guard saw it."""

import signal
from enum import StrEnum

import msgspec

__all__ = ["End", "EndKind"]


class EndKind(StrEnum):
    """The ways in which a child ends; the guard calls them so."""

    EXIT = "exit"
    SIGNAL = "signal"
    KERNEL = "kernel"
    TIME = "time"
    CPU = "cpu"
    MEMORY = "memory"
    FOLDER = "folder"
    ORDER = "order"
    BROKEN = "broken"
    UNWATCHED = "unwatched"


class End(msgspec.Struct, frozen=True):
    """How a child ended.

    Attributes
    ----------
    how
        The way.
    number
        The exit code of an `EXIT`, the number of a `SIGNAL`.
    why
        Of a child that is `BROKEN`, that is couldn't be started: the reason.
    """

    how: EndKind
    number: int = 0
    why: str = ""

    @property
    def in_words(self) -> str:
        """Say it as the second half of a sentence."""
        if self.how is EndKind.EXIT:
            return f"ended with exit code {self.number} and without a result"
        if self.how is EndKind.SIGNAL:
            return f"was ended by the signal {_name(self.number)}"
        if self.how is EndKind.BROKEN:
            return f"could not be started: {self.why}"
        return {
            EndKind.KERNEL: "was ended by the kernel, for want of memory on this machine",
            EndKind.TIME: "reached its limit of running time",
            EndKind.CPU: "reached its limit of CPU time",
            EndKind.MEMORY: "ran out of memory: it reached its limit",
            EndKind.FOLDER: "wrote more files than it may: its folder reached the limit of bytes",
            EndKind.ORDER: "was ended on order",
            EndKind.UNWATCHED: "lost its guard",
        }[self.how]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
