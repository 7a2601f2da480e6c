"""The script: executes a main script in a world of its own, and says how it ended.

Its world (the generators' states, the modules, what the clocks show) is in place only while its code runs; it
is put aside for the length of each of its calls.
"""

import logging
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.nrp import Nrp, NRPSimulationTimeout, ScriptStopped
from perdure.drivers.experiments.plan import ScriptError
from perdure.engines.clock_methods import compiled
from perdure.engines.generators import Generators
from perdure.engines.python_script.modules import FolderModules
from perdure.engines.python_script.raised import raised
from perdure.errors import PerdureError

__all__ = ["Script", "error_in_words"]


class Script:
    """A main script.

    Parameters
    ----------
    path
        Its file.
    folder
        The experiment's.
    seed
        The run's.
    builtins
        Returns what its code has as its builtins; called when it is run, since some, such as `open`, are
        replaced for the length of a simulation.
    """

    def __init__(
        self, path: Path, folder: Path, seed: int, builtins: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._path = path
        self._folder = folder
        self._builtins = builtins
        self._modules: FolderModules | None = None
        self._generators = Generators(seed, "script")
        self._main = types.ModuleType("__main__")
        self._arguments: list[str] = []
        self.running = False  # whether its code, and not one of its calls, is running

    @property
    def modules(self) -> Mapping[str, types.ModuleType]:
        """The script itself, and the modules of the folder that it has loaded."""
        return {} if self._modules is None else {"__main__": self._main, **self._modules.loaded}

    @property
    def module_files(self) -> list[str]:
        """The paths in the folder of the modules that it has loaded from there."""
        return [] if self._modules is None else self._modules.files

    def run(self, nrp: Nrp, file_logger: logging.Logger) -> ScriptError | None:
        """Execute the script to its end; return the error that it ended with, if it did.

        Raises
        ------
        ScriptStopped
            If it was ended from inside one of its calls.
        """
        main, seen = self._main, self._builtins()
        self._modules = FolderModules(self._folder, {"__main__": main}, seen)
        main.__dict__.update(
            __builtins__=seen,
            __file__=str(self._path),
            nrp=nrp,
            NRPSimulationTimeout=NRPSimulationTimeout,
            file_logger=file_logger,
            logging=logging,
        )
        try:
            code = compiled(self._path.read_bytes(), str(self._path))
            self.enter()
            try:
                exec(code, main.__dict__)  # noqa: S102 - to execute what users wrote is what it is for
            finally:
                self.leave()
        except NRPSimulationTimeout:
            return None
        except SystemExit as end:
            if end.code is None or end.code == 0:
                return None
            return error_in_words(end, self._folder)
        except ScriptStopped:
            raise
        except BaseException as error:  # KeyboardInterrupt too: no signal becomes one in a child
            return error_in_words(error, self._folder)
        return None

    def enter(self) -> None:
        """Put the script's world in place: its code runs, again."""
        assert self._modules is not None
        self._arguments, sys.argv = sys.argv, [str(self._path)]
        self._modules.__enter__()
        self._generators.__enter__()
        self.running = True

    def leave(self) -> None:
        """Put the script's world aside, for the length of one of its calls."""
        self.running = False
        self._generators.__exit__(None, None, None)
        assert self._modules is not None
        self._modules.__exit__()
        sys.argv = self._arguments


def error_in_words(error: BaseException, folder: Path) -> ScriptError:
    """Return what an error says, and the lines of the folder that it came by, as far as it did by some."""
    if isinstance(error, PerdureError) and "line" in error.values:  # which says where it was
        told = error.values
        return ScriptError(
            type=told.get("kind", type(error).__name__),
            message=told["reason"] if "kind" in told else str(error),
            file=str(told["file"]),
            line=told["line"],
            text=told.get("text", ""),
            traceback=told.get("traceback", ""),
        )
    said = raised(error, folder)
    message = said.message
    if isinstance(error, SystemExit):
        message = f"the script ended itself with {error.code!r}"
    return ScriptError(
        type=said.kind,
        message=message,
        file=said.place.file,
        line=said.place.line,
        text=said.text,
        traceback=said.traceback,
    )
