"""The functions between engines: preprocessing, transceiver and status functions of an experiment.

They are one part, as in nrp-core, where one interpreter is theirs: with modules and generators that engines
don't share. What their modules keep is state, as an engine script's is.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from perdure.drivers.experiments.configuration import FunctionFile
from perdure.drivers.experiments.datapacks import JsonDataPack, JsonRawData
from perdure.drivers.experiments.decorators import (
    NO_FUNCTION,
    Definition,
    Given,
    definition_of,
    no_engine,
    second_status,
)
from perdure.engines.json_data import copied
from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.part import Part
from perdure.engines.python_script.raised import Place, definition, raised
from perdure.errors import (
    EngineCrashed,
    Invalid,
    InvalidConfiguration,
    InvalidDataPack,
    PerdureError,
    ScriptFailed,
    suggest,
)
from perdure.state.codec import State

__all__ = ["Functions"]


class _Function(NamedTuple):
    name: str
    file: str
    call: Any
    definition: Definition
    place: Place
    """Where its definition begins."""


class _Made(NamedTuple):
    """A data pack that a function made, with a copy of its data, and where it made it."""

    engine: str
    name: str
    data: Any
    place: Place


class Functions:
    """All functions of an experiment.

    Parameters
    ----------
    files
        Those of transceiver and preprocessing functions, in the order in which they run.
    status
        That of the status function.
    engines
        The names of the experiment's engines.
    folder
        The experiment's.
    seed
        The run's.
    """

    def __init__(
        self,
        files: Sequence[FunctionFile],
        status: FunctionFile | None,
        engines: Sequence[str],
        folder: Path,
        seed: int,
    ) -> None:
        self._files = [*files, *([] if status is None else [status])]
        self._engines = engines
        self._part = Part("the functions", "functions", folder, seed)
        self._functions: list[_Function] = []
        self._made: dict[tuple[str, str], Place] = {}  # what they made in this step, and where

    def initialize(self) -> None:
        """Load the files.

        Raises
        ------
        ScriptFailed
            If one of them can't be loaded.
        InvalidConfiguration
            If a file defines no function, or one that is linked to an engine that isn't there.
        """
        for file in dict.fromkeys(entry.file for entry in self._files):
            with self._part.running(f"when {file} was loaded"):
                module = self._part.load(file)
            found = [
                _Function(name, file, value, defined, at if (at := definition(value)).file else Place(file))
                for name, value in vars(module).items()
                if (defined := definition_of(value)) is not None and value.__module__ == module.__name__
            ]
            if not any(function.definition.kind for function in found):
                raise InvalidConfiguration(file=file, summary=f"it {NO_FUNCTION}")
            self._functions += found
        self._check()
        self._part.settle()

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the functions of one step.

        Parameters
        ----------
        inputs
            ``iteration`` and ``time_ns``; ``due``, the engines that synchronise; ``packs``, the present
            data packs by engine and name.

        Returns
        -------
        dict
            ``packs``, those made for engines, by engine and name; ``done``; ``rows`` of the trajectory.
        """
        due = set(inputs["due"])
        preprocessed: dict[tuple[str, str], Any] = {}
        self._made = {}
        made: dict[str, dict[str, Any]] = {}
        answer: dict[str, Any] = {"packs": made, "done": False, "rows": []}
        with self._part.running(""):
            for function in self._of("preprocessing", due):
                for pack in self._packs(function, self._call(function, inputs, preprocessed)):
                    preprocessed[pack.engine, pack.name] = pack.data
            for function in self._of("transceiver", due):
                for pack in self._packs(function, self._call(function, inputs, preprocessed)):
                    made.setdefault(pack.engine, {})[pack.name] = pack.data
                    self._made[pack.engine, pack.name] = pack.place
            for function in self._of("status", {""}):
                status = self._call(function, inputs, preprocessed)
                answer["done"], answer["rows"] = self._status(function, status)
        return answer

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """The modules of the folder that they have loaded."""
        return self._part.modules

    def refused(self, error: PerdureError, engine: str, known: Iterable[str]) -> PerdureError:
        """Return why an engine didn't take what it was given, with the line that made it.

        Parameters
        ----------
        error
            What the engine raised; it is returned as it is if no function is at fault.
        engine
            The engine's name.
        known
            The names of its data packs.
        """
        if isinstance(error, ScriptFailed | EngineCrashed):
            return error
        given = {name: place for (of, name), place in self._made.items() if of == engine}
        if isinstance(error, InvalidDataPack):
            refused = {error.values["name"]} - set(known)
            given = {name: place for name, place in given.items() if name in refused}
        if not given:
            return error
        place = next(iter(given.values()))
        said = raised(error, self._part.folder, place)
        file, line = said.place.file, said.place.line
        values = error.values | {"file": file, "line": line, "text": said.text, "traceback": said.traceback}
        return type(error)(f"{error} The data pack {min(given)!r} was made at {file}, line {line}.", **values)

    def give_answers(self, answers: State) -> None:
        """Have them read this from clocks when they are loaded, or in the next step."""
        self._part.clock.give(answers)

    def take_answers(self) -> State:
        """Return what they have read from clocks since this was last called."""
        return self._part.clock.take()

    def snapshot(self) -> State:
        """Return what the functions' modules keep; raise `NotSnapshotable` with the name of what can't be."""
        return self._part.snapshot(ObjectGraph())

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, on freshly initialised functions."""
        self._part.restore(state)

    def _of(self, kind: str, engines: set[str]) -> list[_Function]:
        return [f for f in self._functions if f.definition.kind == kind and f.definition.engine in engines]

    def _call(
        self, function: _Function, inputs: Mapping[str, Any], preprocessed: Mapping[tuple[str, str], Any]
    ) -> Any:
        definition = function.definition
        self._part.doing = f"in {function.name} at {inputs['time_ns'] / 1e9:g} s"
        arguments: dict[str, Any] = {
            keyword: self._argument(given, inputs, preprocessed)
            for keyword, given in definition.packs.items()
        }
        if definition.iteration is not None:
            arguments[definition.iteration] = inputs["iteration"]
        if definition.time is not None:
            arguments[definition.time] = inputs["time_ns"]
        self._part.at = function.place  # of the arguments that it doesn't take
        return function.call(**arguments)

    def _argument(
        self,
        given: Given,
        inputs: Mapping[str, Any],
        preprocessed: Mapping[tuple[str, str], Any],
    ) -> JsonDataPack:
        """Return a data pack of a function's own, so that changing it changes nothing else."""
        name, engine = given.pack.name, given.pack.engine_name
        packs = {} if given.preprocessed else inputs["packs"].get(engine, {})
        if name in packs:
            data = copied(packs[name], name, engine)
            return JsonDataPack(name, engine, data, updated=engine in inputs["due"])
        if (engine, name) in preprocessed:
            return JsonDataPack(name, engine, copied(preprocessed[engine, name], name, engine), updated=True)
        if given.preprocessed:  # its preprocessing function didn't run, or made none
            return JsonDataPack(name, engine)
        self._part.at = given.line
        raise Invalid(f"The engine {engine!r} has no data pack {name!r}.{suggest(name, packs)}")

    def _packs(self, function: _Function, answer: Any) -> list[_Made]:
        """Return the data packs that a function made, with copies of their data."""
        self._part.doing, self._part.at = f"with the answer of {function.name}", function.place
        if answer is None:
            return []
        if not isinstance(answer, list | tuple) or not all(isinstance(p, JsonDataPack) for p in answer):
            raise Invalid(f"It must return a list of JsonDataPack, not {answer!r:.80}")
        made = []
        for pack in answer:
            self._part.at = pack.made
            if pack.engine_name not in self._engines:
                raise Invalid(
                    f"There is no engine {pack.engine_name!r}.{suggest(pack.engine_name, self._engines)}"
                )
            data = copied(pack.data, pack.name, pack.engine_name)
            made.append(_Made(pack.engine_name, pack.name, data, pack.made))
        return made

    def _status(self, function: _Function, answer: Any) -> tuple[bool, list[Any]]:
        self._part.doing, self._part.at = f"with the answer of {function.name}", function.place
        match answer:
            case (bool(done), [*rows]) if all(isinstance(row, JsonRawData | JsonDataPack) for row in rows):
                return done, [copied(row.data, "trajectory", "status function") for row in rows]
        raise Invalid(f"A status function returns (done, [JsonRawData, …]), not {answer!r:.80}")

    def _check(self) -> None:
        status = [f for f in self._functions if f.definition.kind == "status"]
        if len(status) > 1:
            summary = f"line {status[1].place.line}: {status[1].name} {second_status(status[0].file)}"
            raise InvalidConfiguration(file=status[1].file, summary=summary)
        for function in self._functions:
            definition = function.definition
            named = {given.pack.engine_name: given.line.line for given in definition.packs.values()}
            linked = {} if definition.kind == "status" else {definition.engine: function.place.line}
            for engine, line in (linked | named).items():
                if engine not in self._engines:
                    summary = f"line {line}: {function.name} {no_engine(engine, self._engines)}"
                    raise InvalidConfiguration(file=function.file, summary=summary)
