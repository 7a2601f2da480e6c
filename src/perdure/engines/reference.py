"""References to the engines that compute models, as plain data that another process understands."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

import msgspec

from perdure.engines.base import Identified
from perdure.engines.kinds import OWN_KINDS, engine_kinds, packages_of_kind
from perdure.errors import InvalidScenario, message_of, suggest
from perdure.state.codec import State, pack

__all__ = ["EngineReference", "fingerprint_of", "importable_reference", "reference_to"]

_OWN = "perdure."
_MAIN = "__main__"


class EngineReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reference to an engine: the name of its kind, or the place of a class or function.

    Attributes
    ----------
    kind
        The name of its kind; empty for a class or function.
    module, attribute
        The place of a class or function.
    file
        The module's file, if it is imported by its path; empty if it is imported by its name.
    """

    kind: str = ""
    module: str = ""
    attribute: str = ""
    file: str = ""

    @property
    def importable(self) -> bool:
        """Whether another process can import it."""
        return self.module != _MAIN and "<" not in self.attribute  # as in <locals> and <lambda>

    def load(self) -> Callable[[], Any]:
        """Import and return the class or function that makes the engine."""
        if self.kind:
            return engine_kinds()[self.kind]
        if self.file and self.module not in sys.modules:
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            assert spec is not None and spec.loader is not None
            sys.modules[self.module] = module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[self.module]  # as `import` does
                raise
        found: Any = importlib.import_module(self.module)
        for name in self.attribute.split("."):
            found = getattr(found, name)
        return cast("Callable[[], Any]", found)


def reference_to(engine: str | Callable[[], Any], model: str) -> EngineReference:
    """Return a reference to an engine.

    Parameters
    ----------
    engine
        The name of a kind, or a class or function without parameters.
    model
        The model's name in errors.

    Raises
    ------
    InvalidScenario
        If there is no such kind, or it is something else.
    """
    if isinstance(engine, str):
        kinds = engine_kinds()
        if engine == "system_dynamics":
            raise InvalidScenario(reason=f"{model!r}: register a Model of system dynamics itself")
        if engine not in kinds:
            raise InvalidScenario(
                reason=f"{model!r}: no installed package has an engine {engine!r}.{suggest(engine, kinds)}"
            )
        return EngineReference(kind=engine)
    if not callable(engine) or not hasattr(engine, "__qualname__"):
        raise InvalidScenario(reason=f"the engine of {model!r} is {engine!r:.80}, not a class or its name")
    name = engine.__module__
    # A file that was imported by its path, such as a model file, isn't found by its name.
    found = "." in name or name == _MAIN or PathFinder.find_spec(name) is not None
    file = "" if found else str(getattr(sys.modules.get(name), "__file__", None) or "")
    return EngineReference(module=name, attribute=engine.__qualname__, file=file)


def importable_reference(made: type) -> EngineReference | None:
    """Return a reference to a class by which another process gets the same one; None if it can't import it.

    That is so for classes of the main program or a notebook, within functions, and of modules without a file.
    """
    reference = reference_to(made, made.__name__)
    file = getattr(sys.modules.get(reference.module), "__file__", None)
    if not reference.importable or file is None or not Path(file).is_file():
        return None
    package = reference.module.partition(".")[0]
    if not reference.file and not any(each.find_spec(package, None) for each in sys.meta_path):
        return None
    try:
        return reference if reference.load() is made else None
    except AttributeError:  # the module has it by another name, or no longer
        return None


def fingerprint_of(
    model: str,
    reference: EngineReference,
    made: Callable[[], Any],
    config: Mapping[str, Any],
    version: str,
) -> str:
    """Return the identity of what computes a model: 32 hexadecimal digits.

    It covers the engine's name, the version of its package, the source of its module, the config (or what the
    engine's class returns for it), and the model's own version. For Perdure's engines only the name counts:
    their numbers are the same in each version.

    Raises
    ------
    InvalidScenario
        If a change of the engine couldn't be detected, or its class can't identify the config.
    """
    module = getattr(made, "__module__", "")
    packages = packages_of_kind(reference.kind) if reference.kind else {}
    source = b""
    if reference.kind not in OWN_KINDS and not module.startswith(_OWN):
        try:
            source = Path(inspect.getsourcefile(cast(Any, made)) or "").read_bytes()
        except (OSError, TypeError):
            if not packages and not version:
                raise InvalidScenario(
                    reason=f"the engine of {model!r} has no source file; give the model a version, and "
                    "raise it with every change of the engine's numbers"
                ) from None
    identity: dict[str, State] = {
        "engine": reference.kind or f"{reference.attribute}",
        "packages": [f"{name} {version}" for name, version in sorted(packages.items())],
        "source": hashlib.blake2b(source, digest_size=16).digest(),
        "config": _identified(model, made, config) if isinstance(made, Identified) else {**config},
        "version": version,
    }
    return hashlib.blake2b(pack(identity), digest_size=16).hexdigest()


def _identified(model: str, made: Identified, config: Mapping[str, Any]) -> State:
    try:
        return made.identify(config)
    except Exception as error:  # it may be another package's code
        reason = f"the config of {model!r} is wrong: {type(error).__name__}: {message_of(error)}".rstrip(".")
        raise InvalidScenario(reason=reason) from error
