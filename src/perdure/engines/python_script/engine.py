"""The engines of Python scripts: nrp-core's `python_json` and `py_sim`, unmodified, behind the engine port.

The ports of such an engine are data packs. Its state consists of the script's attributes, the variables of
its modules and classes, its generators, and its simulator's state.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import msgspec

from perdure.engines.json_data import copied
from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.part import Part
from perdure.engines.python_script.raised import definition
from perdure.engines.python_script.script import EngineScript, PySimEngineScript
from perdure.engines.python_script.simulators import Simulator, load_package, make_simulator
from perdure.errors import Invalid, InvalidDataPack, NotSnapshotable, Refused, suggest
from perdure.state.codec import State
from perdure.times import NANOSECOND, exact, nanoseconds

__all__ = ["PySimEngine", "PythonJsonEngine"]


class PythonJsonEngine:
    """Runs a script; implements `perdure.engines.base.Engine` and `Observable`."""

    base: ClassVar[type[EngineScript]] = EngineScript
    isolated: ClassVar[bool] = True  # it replaces the generators, clocks and working folder of its process

    @classmethod
    def identify(cls, config: Mapping[str, Any]) -> State:
        """Return the config without its folder, and a hash of each file in the folder, except hidden ones."""
        folder, script = Path(config["folder"]), config["script"]
        if not (folder / script).is_file():
            raise Invalid(f"There is no script {script!r} in the folder {str(folder)!r}.")
        files: dict[str, State] = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
                files[name.as_posix()] = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
        rest: dict[str, State] = {key: value for key, value in config.items() if key != "folder"}
        identity: dict[str, State] = {"config": rest, "files": files}
        return identity

    def __init__(self) -> None:
        self._script: EngineScript | None = None
        self._part: Part | None = None
        self._answers: State = None  # the readings of clocks during its initialisation
        self._simulator: Simulator | None = None
        self._timestep_ns = 0  # rounded, as passed to the script
        # The exact time step in parts of a nanosecond, and the rounding error of the script's time.
        self._parts, self._timestep, self._rest = 1, 0, 0

    @property
    def time(self) -> float:
        """Simulation time reached, in seconds."""
        return self._running._time_ns / 1e9

    @property
    def finished(self) -> bool:
        """False: a script can always be stepped."""
        return False

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """The loaded modules of the folder."""
        return {} if self._part is None else self._part.modules

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Load the script, make its simulator if it has one, and call its `initialize`.

        Parameters
        ----------
        config
            ``folder``, the experiment's folder; ``script``, the file in it; ``name``, the engine's name;
            ``timestep`` in seconds, or ``exact_timestep`` as a Fraction; ``seed``, the run's seed (0);
            ``configuration``, the script's `_config` ({}). For a `py_sim` engine also ``simulator`` and
            ``world``.

        Raises
        ------
        ScriptFailed
            If the script can't be loaded, or raises.
        MissingExtra
            If the simulator's package isn't installed.
        """
        name = config["name"]
        if "simulator" in config:
            load_package(
                config["simulator"]
            )  # its import may draw once in a process, which must not affect the engine's draws
        timestep = config.get("exact_timestep") or exact(config["timestep"])
        self._timestep_ns = nanoseconds(timestep)
        self._timestep, self._parts = (timestep / NANOSECOND).as_integer_ratio()
        part = Part(f"the engine {name!r}", f"engine {name}", Path(config["folder"]), config.get("seed", 0))
        self._part = part
        part.clock.give(self._answers)
        with part.running("when it was loaded"):
            module = part.load(config["script"])
            kind = getattr(module, "Script", None)
            if not (isinstance(kind, type) and issubclass(kind, self.base)):
                raise Invalid(
                    f"{config['script']} must define a class Script derived from {self.base.__name__}."
                )
            part.at = definition(kind.__init__)
            script = kind()
            script._name = name
            script._config_text = msgspec.json.encode(config.get("configuration", {})).decode()
        apart: dict[str, Any] = {"_set_at": script._set_at}
        with part.running("in initialize"):
            if isinstance(script, PySimEngineScript):
                self._simulator = make_simulator(
                    config["simulator"], config["world"], part.folder, config.get("seed", 0)
                )
                script.sim_manager = apart["sim_manager"] = self._simulator
            self._script = script
            part.at = definition(script.initialize)
            script.initialize()
            self.outputs()
        part.settle(script, apart)

    def outputs(self) -> dict[str, Any]:
        """Return copies of the data of all registered data packs; None where a pack is empty."""
        script = self._running
        assert self._part is not None
        copies = {}
        for name, data in script._datapacks.items():
            self._part.at = script._set_at.get(name, self._part.at)
            copies[name] = copied(data, name, script._name)
        return copies

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        InvalidDataPack
            If the script hasn't registered a data pack, or its data aren't JSON.
        """
        self._checked(inputs)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Set data packs, call `runLoop`, and return `outputs`.

        Parameters
        ----------
        inputs
            Data by data pack.

        Raises
        ------
        InvalidDataPack
            If an input is refused; nothing has changed then.
        ScriptFailed
            If the script raises, or its data packs aren't JSON; the engine can't be used any more.
        """
        given = self._checked(inputs)
        script = self._running
        assert self._part is not None
        # nrp-core advances the time first, so that the script sees the time it steps to.
        time = script._time_ns * self._parts + self._rest + self._timestep
        time_ns = nanoseconds(time, self._parts * 10**9)
        self._rest = time - time_ns * self._parts
        with self._part.running(f"in runLoop to {time_ns / 1e9:g} s"):
            script._datapacks.update(given)
            script._time_ns = time_ns
            self._part.at = definition(script.runLoop)
            script.runLoop(self._timestep_ns)
            return self.outputs()

    def snapshot(self) -> State:
        """Return the state of the script.

        Raises
        ------
        NotSnapshotable
            If a value can't be restored as it is; the message names it.
        """
        script = self._running
        assert self._part is not None
        for kind in type(script).__mro__[:-1]:
            if vars(kind).get("__slots__"):
                raise NotSnapshotable(what=f"the engine {script._name!r}", reason="its class has __slots__")
        graph = ObjectGraph()
        state: dict[str, State] = {"party": self._part.snapshot(graph)}
        if self._simulator is not None:
            state["simulator"] = self._simulator.snapshot(graph)
        if self._rest:
            state["rest"] = [self._rest, self._parts]
        return state

    def restore(self, state: Any) -> None:
        """Go to a state that `snapshot` returned under the same config."""
        assert self._part is not None
        self._part.restore(state["party"])
        if self._simulator is not None:
            self._simulator.restore(state["simulator"])
        rest, parts = state.get("rest", (0, 1))
        finer = math.lcm(self._parts, parts)  # a fork may have another time step
        self._timestep *= finer // self._parts
        self._rest, self._parts = rest * (finer // parts), finer

    def give_answers(self, answers: State) -> None:
        """Let the script read these values from clocks during its initialisation, or in its next step."""
        if self._part is None:
            self._answers = answers
        else:
            self._part.clock.give(answers)

    def take_answers(self) -> State:
        """Return the script's readings of clocks since the last call."""
        return None if self._part is None else self._part.clock.take()

    def close(self) -> None:
        """Call the script's `shutdown`, once, if its `initialize` was called."""
        script, self._script = self._script, None
        if script is not None and self._part is not None:
            with self._part.running("in shutdown"):
                self._part.at = definition(script.shutdown)
                script.shutdown()

    def _checked(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        script = self._running
        for name in inputs:
            if name not in script._datapacks:
                reason = f"the engine hasn't registered it.{suggest(name, script._datapacks)}"
                raise InvalidDataPack(name=name, engine=script._name, reason=reason)
        return {name: copied(data, name, script._name) for name, data in inputs.items()}

    @property
    def _running(self) -> EngineScript:
        if self._script is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._script


class PySimEngine(PythonJsonEngine):
    """Runs a script with a simulator, MuJoCo or a gymnasium environment; implements `Visible`, too."""

    base = PySimEngineScript

    def scene(self) -> State:
        """Return a copy of what a picture of the simulator shows.

        Raises
        ------
        NotSnapshotable
            If the simulator's state can't be copied, whatever the reason: a viewer must not end a run.
        """
        what = f"the simulator of the engine {self._running._name!r}"
        assert self._simulator is not None
        try:
            return self._simulator.scene()
        except NotSnapshotable:
            raise
        except Exception as error:
            raise NotSnapshotable(what=what, reason=f"{type(error).__name__}: {error}") from error
