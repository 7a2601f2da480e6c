"""Data packs: what engines and the functions between them exchange, under nrp-core's names."""

import sys
from typing import Any, NamedTuple

__all__ = ["DataPackIdentifier", "JsonDataPack", "JsonRawData", "Line", "line_of_caller"]


class DataPackIdentifier(NamedTuple):
    """Which data pack is meant.

    Attributes
    ----------
    name, engine_name
        The pack's, and that of the engine it belongs to.
    type
        Of no effect; nrp-core has it.
    """

    name: str
    engine_name: str
    type: str = ""


Line = tuple[str, int, str]
"""A line of code: its file, its number, and the function that it is in."""


def line_of_caller(depth: int) -> Line:
    """Return the line that called the caller of this, or at a greater depth who called that."""
    frame = sys._getframe(depth + 1)
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


class JsonDataPack:
    """A data pack of an engine.

    >>> pack = JsonDataPack("motor", "robot")
    >>> pack.data["voltage"] = 1.5
    >>> pack.name, pack.engine_name, pack.isEmpty()
    ('motor', 'robot', False)

    Attributes
    ----------
    data
        Its data, JSON; an empty dict at first.
    made
        The line that made it.
    """

    def __init__(self, name: str, engine_name: str, data: Any = None, *, updated: bool = False) -> None:
        self.name = name
        self.engine_name = engine_name
        self.data: Any = {} if data is None else data
        self._updated = updated
        self.made = line_of_caller(1)

    def isUpdated(self) -> bool:  # noqa: N802 - nrp-core's name
        """Return whether it came from its engine in this very step."""
        return self._updated

    def isEmpty(self) -> bool:  # noqa: N802 - nrp-core's name
        """Return whether it has no data."""
        return bool(self.data is None or self.data == {})


class JsonRawData:
    """Data without a name: what a status function returns."""

    def __init__(self) -> None:
        self.data: Any = {}
