"""The end of a child, as its guard saw it."""

import signal
from enum import StrEnum

import msgspec

__all__ = ["End", "EndKind"]


class EndKind(StrEnum):
    """The ways in which a child ends; the values are those of the guard's protocol."""

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
        The exit code for `EXIT`, the number for `SIGNAL`.
    why
        The reason for `BROKEN`, a child that couldn't be started.
    """

    how: EndKind
    number: int = 0
    why: str = ""

    @classmethod
    def reported(cls, line: str) -> "End | None":
        """Return the end that a line of a guard reports; None if it reports something else."""
        match line.split(" "):
            case ["ended", how, number]:
                return cls(EndKind(how), int(number))
            case ["broken", *why]:
                return cls(EndKind.BROKEN, why=" ".join(why))
        return None

    @property
    def in_words(self) -> str:
        """The end as the second half of a sentence."""
        if self.how is EndKind.EXIT:
            return f"ended with exit code {self.number} and without a result"
        if self.how is EndKind.SIGNAL:
            return f"was ended by the signal {_name(self.number)}"
        if self.how is EndKind.BROKEN:
            return f"could not be started: {self.why}"
        return {
            EndKind.KERNEL: "was killed by the kernel because this machine ran out of memory",
            EndKind.TIME: "reached its limit of running time",
            EndKind.CPU: "reached its limit of CPU time",
            EndKind.MEMORY: "ran out of memory: it reached its limit",
            EndKind.FOLDER: "wrote too much: its folder reached the limit of bytes",
            EndKind.ORDER: "was ended on request",
            EndKind.UNWATCHED: "lost its guard",
        }[self.how]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
