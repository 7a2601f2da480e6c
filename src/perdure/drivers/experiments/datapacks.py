"""Data packs: what engines and the functions between them exchange, under nrp-core's names."""

from typing import Any, NamedTuple

from perdure.engines.python_script.raised import caller

__all__ = ["DataPackIdentifier", "JsonDataPack", "JsonRawData"]


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
        self.made = caller(1)

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
