"""Parts: code that runs with its own modules, generators and folder, and its state.

An engine's script is a part; the functions between the engines of an experiment are another.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.engines.clocks import PartClock, builtins_with
from perdure.engines.generators import Generators
from perdure.engines.python_script.code import Code
from perdure.engines.python_script.modules import FolderModules, registered
from perdure.engines.python_script.namespaces import Namespace
from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.raised import NOWHERE, path_within, raised
from perdure.engines.python_script.script import EngineScript, PySimEngineScript
from perdure.engines.python_script.surroundings import Surroundings
from perdure.errors import InvalidState, NotSnapshotable, ScriptFailed
from perdure.state.codec import State

__all__ = ["Part"]


class Part:
    """Code with its own modules, generators and folder.

    Parameters
    ----------
    what
        Its description in errors, such as ``the engine 'a'``.
    name
        Its name, unique within the run, for its draws.
    folder
        The experiment's folder, in which the code runs and from which it imports.
    seed
        The run's seed.

    Attributes
    ----------
    clock, generators
        The clocks and the random generators of its code.
    doing, at
        While `running`: what the code does, and the place to report for an error without a line in the
        folder.
    """

    def __init__(self, what: str, name: str, folder: Path, seed: int) -> None:
        self.what = what
        self.doing, self.at = "", NOWHERE
        self.folder = folder.resolve()
        self.generators = Generators(seed, name)
        self.clock = PartClock()
        self._modules = FolderModules(
            self.folder, registered(), builtins_with(self.clock.modules, self.clock.methods)
        )
        self._namespaces: dict[str, Namespace] = {}
        self._known: set[str] = set()
        self._surroundings = Surroundings(what, self.folder)
        self._code = Code({})
        self._is_noted = True  # no code yet

    @contextlib.contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Run the part's code within the block; `doing` says what it does; the block may change it and `at`.

        Raises
        ------
        ScriptFailed
            For any error of the code, with the lines of its traceback that are in the folder.
        """
        self.doing, self.at = doing, NOWHERE
        if not self._is_noted:
            # Not before the first step: the initialisation of other parts may change something.
            self._is_noted = True
            self._code.note()
            self._surroundings.note(library for _, library in self._code.libraries)
        try:
            with contextlib.chdir(self.folder), self.generators, self._modules, self.clock:
                yield
        except BaseException as error:
            said = raised(error, self.folder, self.at)
            file, line = said.place.file, said.place.line
            removed = "" if self.folder.is_dir() else " (the run's folder was removed)"
            raise ScriptFailed(
                what=self.what[0].upper() + self.what[1:],
                doing=self.doing,
                at=f", at {file}, line {line}" if file else "",
                file=file,
                line=line,
                text=said.text,
                kind=said.kind,
                reason=said.message + removed,
                traceback=said.traceback,
            ) from error

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """The loaded modules of the folder."""
        return self._modules.loaded

    def load(self, file: str) -> ModuleType:
        """Execute a file of the folder as a module, while `running`."""
        return self._modules.load(self.folder / file)

    def settle(self, script: Any = None, apart: Mapping[str, Any] | None = None) -> None:
        """Determine the constants, after the code was loaded and initialised.

        Parameters
        ----------
        script
            An object whose attributes belong to the part's state.
        apart
            The names of its attributes that are saved by other means.
        """
        modules = self._modules.loaded
        code = self._code = Code(modules, (EngineScript, PySimEngineScript), self.clock.owns)
        self._namespaces = {}
        if script is not None:
            self._namespaces["attributes"] = Namespace(self.what, script, code, apart)
        for name, module in modules.items():
            whose = f"{self.what}, {self._file(name)}"
            self._namespaces[f"module {name}"] = Namespace(whose, module, code)
        for kind in code.classes:  # a copy, because it grows during the loop
            whose = f"{self.what}, {self._file(kind.__module__)}, class {kind.__qualname__}"
            name = f"class {kind.__module__} {kind.__qualname__}"
            while name in self._namespaces:
                name += "'"  # created by a function again
            self._namespaces[name] = Namespace(whose, kind, code)
        self._known = set(modules)
        self._is_noted = False

    def snapshot(self, graph: ObjectGraph) -> State:
        """Return the state of the part.

        Raises
        ------
        NotSnapshotable
            If a value can't be restored as it is, or a fresh part wouldn't have an imported module.
        """
        for name in self._modules.loaded.keys() - self._known:
            raise NotSnapshotable(
                what=f"the module {name!r} of {self.what}", reason="it was imported after `initialize`"
            )
        self._surroundings.check()
        self._code.check()
        return {
            "generators": self.generators.snapshot(),
            "names": {name: namespace.snapshot(graph) for name, namespace in self._namespaces.items()},
        }

    def restore(self, state: Any) -> None:
        """Go to a state that `snapshot` returned, on a part with the same code, initialised."""
        if set(state["names"]) != set(self._namespaces):
            raise InvalidState(
                f"The state doesn't fit {self.what}: its code defines other modules or classes."
            )
        self.generators.restore(state["generators"])
        for name, namespace in self._namespaces.items():
            namespace.restore(ObjectGraph().take(name, state["names"][name]))

    def _file(self, module: str) -> str:
        """Return the file of a module in the folder, or the name of any other module."""
        return path_within(getattr(self._modules.loaded.get(module), "__file__", None) or module, self.folder)
