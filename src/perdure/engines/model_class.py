"""Model classes: a class or function of a user's module that makes a model, with the part that it runs in.

The config of an engine names it ``module:attribute``. Its own modules are those of the folder ``folder``, or
of the folder that the module is in; they are loaded for this engine only.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perdure.engines.python_script.part import Part
from perdure.engines.python_script.raised import definition
from perdure.errors import Invalid, MissingExtra, suggest
from perdure.state.codec import State

__all__ = ["ModelClass", "identity_of", "load_package"]

_KEYS = ("model", "folder", "arguments", "name", "seed", "timestep")
_SEEDS = ("seed", "rng")  # of Mesa; the former is understood by all its versions
_SITE = "site-packages"


class ModelClass:
    """A class or function that makes a model.

    Parameters
    ----------
    config
        ``model``, as ``module:attribute``; ``folder``, the folder of its modules; ``arguments``, keyword
        arguments by name ({}); ``name``, the engine's name; ``seed``, the run's seed (0). ``timestep`` is for
        the engine.
    more
        The names of further settings that the engine has.

    Attributes
    ----------
    name
        The engine's name in errors.
    part
        The part in which its code runs.
    """

    def __init__(self, config: Mapping[str, Any], more: tuple[str, ...] = ()) -> None:
        module, attribute, folder = _place(config, more)
        self.name: str = config.get("name", attribute)
        seed = int(config.get("seed", 0))
        self.part = Part(f"the engine {self.name!r}", f"engine {self.name}", folder, seed)
        digest = hashlib.blake2b(f"{seed}\0{self.name}\0model".encode(), digest_size=4).digest()
        self._seed = int.from_bytes(digest, "little")  # 32 bits, which each generator takes
        self._arguments = dict(config.get("arguments", {}))
        with self.part.running("when its module was loaded"):
            found: Any = importlib.import_module(module)
            for name in attribute.split("."):
                found = getattr(found, name)
            if not callable(found):
                raise Invalid(f"{config['model']} is {found!r:.80}, not a class or function.")
            self.made: Callable[..., Any] = found
            self._parameters = inspect.signature(found).parameters
        self.check(())

    def takes(self, name: str) -> bool:
        """Return whether it has a parameter of that name, or takes any."""
        kinds = {parameter.name: parameter.kind for parameter in self._parameters.values()}
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return kinds.get(name) in named

    def check(self, names: Any) -> None:
        """Raise `Invalid` if it lacks a parameter for an argument of the config, or for a name given."""
        known = [name for name in self._parameters if self.takes(name)]
        takes_any = any(one.kind is one.VAR_KEYWORD for one in self._parameters.values())
        for name in (*self._arguments, *names):
            if name not in known and not takes_any:
                raise Invalid(
                    f"The model of the engine {self.name!r} has no argument {name!r} to begin with."
                    f"{suggest(name, known)}"
                )

    def make(self, inputs: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Any:
        """Return a new model, while its part is running.

        Parameters
        ----------
        inputs
            Arguments that replace those of the config.
        more
            Arguments that are given if it has such parameters and nothing else gives them.
        """
        arguments = {**self._arguments, **inputs}
        given = {name: value for name, value in (more or {}).items() if self.takes(name)}
        seed = next(filter(self.takes, _SEEDS), None)
        if seed is not None and not any(name in arguments for name in _SEEDS):
            given[seed] = self._seed
        self.part.at = definition(self.made)
        return self.made(**{**given, **arguments})


def identity_of(config: Mapping[str, Any], package: str, extra: str, more: tuple[str, ...] = ()) -> State:
    """Return what the numbers of a model depend on: its files, its config, and the package's version.

    With a ``folder`` these are all files in it, except hidden ones; else the Python files beside the module.

    Raises
    ------
    Invalid
        If the config names no module.
    MissingExtra
        If the package isn't installed.
    """
    _, _, folder = _place(config, more)
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(what=f"An engine of the kind {extra!r}", package=package, extra=extra) from error
    found = folder.rglob("*") if "folder" in config else folder.glob("*.py")
    files: dict[str, State] = {}
    for path in sorted(found):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
            files[name.as_posix()] = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    rest: dict[str, State] = {key: value for key, value in config.items() if key != "folder"}
    identity: dict[str, State] = {"config": rest, "files": files, "package": f"{package} {version}"}
    return identity


def load_package(package: str, what: str) -> Any:
    """Import and return an optional package; raise `MissingExtra` if it isn't installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(what=what, package=package, extra=package) from error


def _place(config: Mapping[str, Any], more: tuple[str, ...]) -> tuple[str, str, Path]:
    """Return the module, the attribute and the folder that a config names."""
    for key in config:
        if key not in (*_KEYS, *more):
            raise Invalid(f"An engine for a model has no setting {key!r}.{suggest(key, (*_KEYS, *more))}")
    name = config.get("model")
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not attribute:
        raise Invalid(f"The setting `model` is {name!r:.80}, not 'module:class'.")
    if not isinstance(config.get("arguments", {}), Mapping):
        raise Invalid(f"The setting `arguments` is {config['arguments']!r:.80}, not a mapping.")
    if "folder" in config:
        folder = Path(config["folder"])
        path = folder.joinpath(*module.split("."))
        if not (path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()):
            raise Invalid(f"There is no module {module!r} in the folder {str(folder)!r}.")
        return module, attribute, folder
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise Invalid(f"There is no module {module!r}; name the folder it is in by the setting `folder`.")
    folder = Path(spec.origin).parent
    if folder.name == _SITE:
        raise Invalid(
            f"The module {module!r} is among the installed packages; copy it to a folder of its own."
        )
    return module, attribute, folder
