"""The party: whose code runs, with its own modules, generators and folder in place, and what it keeps.

An engine's script is one party, the functions between engines of an experiment are another.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.engines.clocks import PartyClock, builtins_with
from perdure.engines.generators import Generators
from perdure.engines.python_script.census import Census
from perdure.engines.python_script.code import Code
from perdure.engines.python_script.modules import FolderModules, registered
from perdure.engines.python_script.namespaces import Namespace
from perdure.engines.python_script.raised import NOWHERE, path_within, raised
from perdure.engines.python_script.script import EngineScript, PySimEngineScript
from perdure.engines.python_script.surroundings import Surroundings
from perdure.errors import InvalidState, NotSnapshotable, ScriptFailed
from perdure.state.codec import State

__all__ = ["Party"]


class Party:
    """Whose code runs.

    Parameters
    ----------
    what
        What it is called in errors, such as ``the engine 'a'``.
    name
        A name of its own within the run, for its draws.
    folder
        The experiment's; its code runs in it and imports from it.
    seed
        The run's.

    Attributes
    ----------
    clock
        What its code reads from clocks.
    doing, at
        What its code does, while `running`, and where it is: the place of an error that comes by no line of
        the folder's.
    """

    def __init__(self, what: str, name: str, folder: Path, seed: int) -> None:
        self.what = what
        self.doing, self.at = "", NOWHERE
        self.folder = folder.resolve()
        self._generators = Generators(seed, name)
        self.clock = PartyClock()
        self._modules = FolderModules(
            self.folder, registered(), builtins_with(self.clock.modules, self.clock.methods)
        )
        self._namespaces: dict[str, Namespace] = {}
        self._known: set[str] = set()
        self._surroundings = Surroundings(what, self.folder)
        self._code = Code({})
        self._is_noted = True  # there is no code yet

    @contextlib.contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Run the party's code within the block; `doing` says what it does; it and `at` may be set anew.

        Raises
        ------
        ScriptFailed
            For whatever the code raises, with its traceback as far as it has lines in the folder.
        """
        self.doing, self.at = doing, NOWHERE
        if not self._is_noted:
            # Not before the first step: other parties may set something when they are initialised.
            self._is_noted = True
            self._code.note()
            self._surroundings.note(library for _, library in self._code.libraries)
        try:
            with contextlib.chdir(self.folder), self._generators, self._modules, self.clock:
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
        """The modules of the folder that it has loaded."""
        return self._modules.loaded

    def load(self, file: str) -> ModuleType:
        """Execute a file of the folder as a module, while running."""
        return self._modules.load(self.folder / file)

    def settle(self, script: Any = None, apart: Mapping[str, Any] | None = None) -> None:
        """Take what is constant as such: the code has been loaded and initialised.

        Parameters
        ----------
        script
            An object whose attributes are the party's state too.
        apart
            Those of its attributes that are saved by other means.
        """
        modules = self._modules.loaded
        code = self._code = Code(modules, (EngineScript, PySimEngineScript), self.clock.owns)
        self._namespaces = {}
        if script is not None:
            self._namespaces["attributes"] = Namespace(self.what, script, code, apart)
        for name, module in modules.items():
            whose = f"{self.what}, {self._file(name)}"
            self._namespaces[f"module {name}"] = Namespace(whose, module, code)
        for kind in code.classes:  # which grows meanwhile
            whose = f"{self.what}, {self._file(kind.__module__)}, class {kind.__qualname__}"
            name = f"class {kind.__module__} {kind.__qualname__}"
            while name in self._namespaces:
                name += "'"  # made by a function, again
            self._namespaces[name] = Namespace(whose, kind, code)
        self._known = set(modules)
        self._is_noted = False

    def snapshot(self, census: Census) -> State:
        """Return what the party keeps.

        Raises
        ------
        NotSnapshotable
            If something can't be put back as it is, or a module was imported that a fresh party won't have.
        """
        for name in self._modules.loaded.keys() - self._known:
            raise NotSnapshotable(
                what=f"the module {name!r} of {self.what}", reason="it was imported after `initialize`"
            )
        self._surroundings.check()
        self._code.check()
        return {
            "generators": self._generators.snapshot(),
            "names": {name: namespace.snapshot(census) for name, namespace in self._namespaces.items()},
        }

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, on a party settled with the same code."""
        if set(state["names"]) != set(self._namespaces):
            raise InvalidState(
                f"The state doesn't fit {self.what}: its code defines other modules or classes."
            )
        self._generators.restore(state["generators"])
        for name, namespace in self._namespaces.items():
            namespace.restore(Census().take(name, state["names"][name]))

    def _file(self, module: str) -> str:
        """Return the file of a module in the folder; of another module its name."""
        return path_within(getattr(self._modules.loaded.get(module), "__file__", None) or module, self.folder)
