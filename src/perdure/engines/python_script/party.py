"""The party: whose code runs, with its own modules, generators and folder in place, and what it keeps.

An engine's script is one party, the functions between engines of an experiment are another.
"""

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.engines.generators import Generators
from perdure.engines.python_script.census import Census
from perdure.engines.python_script.modules import FolderModules, registered
from perdure.engines.python_script.namespaces import Namespace
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
    """

    def __init__(self, what: str, name: str, folder: Path, seed: int) -> None:
        self.what = what
        self.doing = ""
        self.folder = folder.resolve()
        self._generators = Generators(seed, name)
        self._modules = FolderModules(self.folder, registered())
        self._namespaces: dict[str, Namespace] = {}
        self._known: set[str] = set()

    @contextlib.contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Run the party's code within the block; `doing` says what it does, and may be set anew within.

        Raises
        ------
        ScriptFailed
            For whatever the code raises, with its file and line.
        """
        self.doing = doing
        try:
            with contextlib.chdir(self.folder), self._generators, self._modules:
                yield
        except BaseException as error:
            file, line = self._place(error)
            raise ScriptFailed(
                what=self.what[0].upper() + self.what[1:],
                doing=self.doing,
                file=file,
                line=line,
                kind=type(error).__name__,
                reason=error.msg if isinstance(error, SyntaxError) else str(error),
            ) from error

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
        self._namespaces = {}
        if script is not None:
            self._namespaces["attributes"] = Namespace("attribute", script, self.what, apart)
        for module_name, module in self._modules.loaded.items():
            file = self._relative(getattr(module, "__file__", None) or module_name)
            whose = f"{self.what}, {file}"
            self._namespaces[f"module {module_name}"] = Namespace("variable", module, whose)
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module_name:
                    name = f"class {module_name} {value.__qualname__}"
                    self._namespaces[name] = Namespace(
                        "variable", value, f"{whose}, class {value.__qualname__}"
                    )
        self._known = set(self._modules.loaded)

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

    def _place(self, error: BaseException) -> tuple[str, int]:
        """Return the last line of the folder's that an error came by."""
        if isinstance(error, SyntaxError) and error.filename is not None:
            return self._relative(error.filename), error.lineno or 0
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if Path(frame.filename).is_relative_to(self.folder):
                return self._relative(frame.filename), frame.lineno or 0
        return "?", 0

    def _relative(self, file: str) -> str:
        path = Path(file)
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else path.name
