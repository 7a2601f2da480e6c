"""The files of a task that travel with its run: its file, and the modules of its folder that it imports.

Imports are found by parsing files, never by executing them. Only modules written in Python travel, and only
those named by an ``import`` or by a call of ``import_module`` with a literal name. Everything else stays the
host's: installed packages, compiled modules, data files, and modules with computed names.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from perdure.errors import InvalidTask
from perdure.spawned import SpawnedImports
from perdure.syntax_trees import parsed

__all__ = ["MAX_BYTES", "importable", "module_name", "travelling"]

MAX_BYTES = 1 << 20
"""Limit of the files of a task together."""


def travelling(file: Path) -> dict[str, bytes]:
    """Return a file and the modules of its folder that it imports, by their paths in the folder.

    The file itself comes first. Raises `InvalidTask` if they exceed `MAX_BYTES`, and `OSError` if one can't
    be read.
    """
    found: dict[str, bytes] = {}
    left, size = [file.name], 0
    while left:
        path = left.pop()
        if path in found:
            continue
        found[path] = source = (file.parent / path).read_bytes()
        size += len(source)
        if size > MAX_BYTES:
            raise InvalidTask(
                task=str(file),
                reason=f"the file and the modules that it imports from its folder have more than {MAX_BYTES} "
                "bytes, the limit for a run; install them as a package, and name its module instead",
            )
        names = {part for name in _imported(source, _package(path)) for part in _with_parents(name)}
        left += sorted((p for name in names for p in _paths(file.parent, name)), reverse=True)
    return found


@contextmanager
def importable(main: str, files: Mapping[str, bytes], folder: str | None) -> Iterator[None]:
    """Make the files of a task importable within the block, here and in processes that this one spawns.

    Parameters
    ----------
    main
        The path of the file with the task.
    files
        The files, as `travelling` returned them.
    folder
        The folder of this host in which they appear to be, whatever it contains now; data files beside them
        are found there. None puts them into a temporary folder.
    """
    if not files:
        yield
        return
    with ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="task-"))
            for path, source in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source)
            sys.path.insert(0, folder)
            stack.callback(sys.path.remove, folder)
        packages = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
        places = {_name(path): str(Path(folder, path)) for path in (*packages, *files)}
        places[module_name(main)] = places[_name(main)]
        sources = {str(Path(folder, path)): source for path, source in files.items()}
        finder = stack.enter_context(SpawnedImports(places, sources=sources))
        sys.meta_path.insert(0, finder)
        stack.callback(sys.meta_path.remove, finder)
        yield


def module_name(file: str) -> str:
    """Return the module name of a task's file."""
    return f"perdure_tasks_{Path(file).stem}"


@lru_cache(maxsize=1024)
def _imported(source: bytes, package: str) -> frozenset[str]:
    """Return the names that a module of a package imports: modules, or names within modules.

    A name that ends with ``*`` stands for all modules of a package.
    """
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # its import will raise the error
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                base = _base(package, level)
                if base is not None:
                    within = ".".join(filter(None, (base, module)))
                    names.update(f"{within}.{alias.name}" for alias in aliases)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called),
                args=[ast.Constant(value=str(name)), *_],
            ) if called in ("import_module", "__import__"):
                names.add(name)
    return frozenset(names)


def _base(package: str, level: int) -> str | None:
    """Return the package at which a relative import begins; None beyond the folder."""
    if level == 0:
        return ""
    parts = package.split(".") if package else []
    return None if level > len(parts) else ".".join(parts[: len(parts) - level + 1])


def _with_parents(name: str) -> Iterator[str]:
    """Yield the names of all packages that contain a module, and its own."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        yield ".".join(parts[:depth])


def _paths(folder: Path, name: str) -> Iterator[str]:
    """Yield the paths of the Python modules of a folder to which a name may refer."""
    if name in sys.builtin_module_names:  # Python finds these before any file
        return
    package, _, last = name.replace(".", "/").rpartition("/")
    if last == "*":
        yield from (f"{package}/{path.name}" for path in (folder / package).glob("*.py"))
        return
    path = f"{package}/{last}".lstrip("/")
    yield from [p for p in (f"{path}/__init__.py", f"{path}.py") if (folder / p).is_file()][:1]


def _name(path: str) -> str:
    """Return the module name of a path in the folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _package(path: str) -> str:
    """Return the package at which relative imports of a module begin; empty for none."""
    name = _name(path)
    return name if path.endswith("/__init__.py") else name.rpartition(".")[0]
