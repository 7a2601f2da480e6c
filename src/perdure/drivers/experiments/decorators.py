"""The decorators of functions between engines, under nrp-core's names; they note what a function is for.

The messages about wrong arguments are here, because two modules report them: the one that reads the sources
before there is a run, and the one that loads the functions.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from perdure.drivers.experiments.datapacks import (
    DataPackIdentifier,
    JsonDataPack,
    JsonRawData,
)
from perdure.engines.python_script.code import DEFINITION
from perdure.engines.python_script.modules import register
from perdure.engines.python_script.raised import Place, caller
from perdure.errors import suggest

__all__ = [
    "DEFINING",
    "GIVING",
    "LINKING",
    "NO_FUNCTION",
    "STATUS",
    "Definition",
    "Given",
    "definition_of",
    "no_engine",
    "second_status",
]

F = TypeVar("F", bound=Callable[..., Any])


class Given(NamedTuple):
    """A data pack that is a function's argument.

    Attributes
    ----------
    pack
        Which one.
    preprocessed
        Whether only one that a preprocessing function made will do.
    line
        Where that is said.
    """

    pack: DataPackIdentifier
    preprocessed: bool
    line: Place


@dataclass
class Definition:
    """What a function is for.

    Attributes
    ----------
    kind
        ``transceiver``, ``preprocessing`` or ``status``; empty until it is known.
    engine
        The engine it is linked to.
    packs
        Its arguments that are data packs, by keyword.
    iteration, time
        Its arguments that are the number of the step, and the time in nanoseconds.
    """

    kind: str = ""
    engine: str = ""
    packs: dict[str, Given] = field(default_factory=dict)
    iteration: str | None = None
    time: str | None = None


def definition_of(function: Any) -> Definition | None:
    """Return what a function is for, or None if nothing was noted."""
    return getattr(function, DEFINITION, None)


def _noting(note: Callable[[Definition], None]) -> Callable[[F], F]:
    def decorator(function: F) -> F:
        definition = definition_of(function)
        if definition is None:
            definition = Definition()
            setattr(function, DEFINITION, definition)
        note(definition)
        return function

    return decorator


def _giving(keyword: str, given: Given) -> Callable[[F], F]:
    return _noting(lambda definition: definition.packs.update({keyword: given}))


def _of_kind(kind: str, engine: str = "") -> Callable[[F], F]:
    def note(definition: Definition) -> None:
        if definition.kind:
            raise TypeError(f"A function can't be a {definition.kind} and a {kind} function at once.")
        definition.kind, definition.engine = kind, engine

    return _noting(note)


def TransceiverFunction(engine_name: str) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Run it at every step at which the engine synchronises."""
    return _of_kind("transceiver", engine_name)


def PreprocessingFunction(engine_name: str) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Run it before the transceiver functions; its packs are for them."""
    return _of_kind("preprocessing", engine_name)


def StatusFunction() -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Run it at the end of every step; it returns whether the loop is done, and rows of the trajectory."""
    return _of_kind("status")


def EngineDataPack(keyword: str, id: DataPackIdentifier) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Give it an engine's data pack as an argument."""
    return _giving(keyword, Given(id, False, caller(1)))


def PreprocessedDataPack(keyword: str, id: DataPackIdentifier) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Give it what a preprocessing function made in this step as an argument."""
    return _giving(keyword, Given(id, True, caller(1)))


def SimulationIteration(keyword: str) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Give it the number of the step, from 0, as an argument."""
    return _noting(lambda definition: setattr(definition, "iteration", keyword))


def SimulationTime(keyword: str) -> Callable[[F], F]:  # noqa: N802 - nrp-core's name
    """Give it the simulation time in nanoseconds as an argument."""
    return _noting(lambda definition: setattr(definition, "time", keyword))


LINKING = (TransceiverFunction.__name__, PreprocessingFunction.__name__)
"""The decorators that link a function to the engine of their first argument."""
STATUS = StatusFunction.__name__
DEFINING = (*LINKING, STATUS)
"""Those that make a function one of the loop's."""
GIVING = (EngineDataPack.__name__, PreprocessedDataPack.__name__)
"""Those that give it the data pack of their second argument: any, or only a preprocessed one."""

NO_FUNCTION = f"defines no function with @{', @'.join(LINKING)} or @{STATUS}"
"""What is wrong with a file in which there is none."""


def no_engine(name: str, engines: Iterable[str]) -> str:
    """Return what is wrong with a function that names an engine that isn't there."""
    return f"names the engine {name!r}, which isn't there.{suggest(name, engines)}".removesuffix(".")


def second_status(file: str) -> str:
    """Return what is wrong with a status function where a file has one already."""
    return f"is one too many: {file} has a status function already"


register(
    "nrp_core",
    {
        made.__name__: made
        for made in (
            DataPackIdentifier,
            EngineDataPack,
            PreprocessedDataPack,
            PreprocessingFunction,
            SimulationIteration,
            SimulationTime,
            StatusFunction,
            TransceiverFunction,
        )
    },
    __name__,
)
register("nrp_core.data.nrp_json", {"JsonDataPack": JsonDataPack, "JsonRawData": JsonRawData}, __name__)
