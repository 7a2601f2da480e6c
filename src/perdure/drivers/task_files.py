"""The files of a task that travel with its run: the file that has it, and what that imports from its folder.

What a file imports is found by reading it, never by executing it. Only modules written in Python travel, and
only what an ``import`` names, or a call of ``import_module`` with a literal name. Anything else is left to
the host: installed packages, compiled modules, data files, and names that are computed.
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

__all__ = ["MAX_BYTES", "importable", "module_name", "travelling"]

MAX_BYTES = 1 << 20
"""How large the files of a task may be, all together."""


def travelling(file: Path) -> dict[str, bytes]:
    """Return a file and the modules of its folder that it imports, by their paths in the folder.

    The file itself is the first. `InvalidTask` if they are larger than `MAX_BYTES`; `OSError` if one can't be
    read.
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
                reason=f"the file and what it imports from its folder have more than {MAX_BYTES} bytes, too "
                "much to travel with a run; install them as a package, and name its module instead",
            )
        names = {part for name in _imported(source, _package(path)) for part in _with_parents(name)}
        left += sorted((p for name in names for p in _paths(file.parent, name)), reverse=True)
    return found


@contextmanager
def importable(main: str, files: Mapping[str, bytes], folder: str | None) -> Iterator[None]:
    """Let the files of a task be imported within the block, here and in processes that this one spawns.

    Parameters
    ----------
    main
        The path of the one that has the task.
    files
        As `travelling` returned them.
    folder
        The folder of this host where they are said to be, whatever is there now: what lies beside them is
        found there. None puts them into a temporary folder.
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
    """Return the name that a task's file has as a module."""
    return f"perdure_tasks_{Path(file).stem}"


@lru_cache(maxsize=1024)
def _imported(source: bytes, package: str) -> frozenset[str]:
    """Return the names that a module of a package imports, of modules or of what is in them.

    A name that ends with ``*`` stands for all modules of a package.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # whoever imports it will say
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
    """Return the package that a relative import begins at; None beyond the folder."""
    if level == 0:
        return ""
    parts = package.split(".") if package else []
    return None if level > len(parts) else ".".join(parts[: len(parts) - level + 1])


def _with_parents(name: str) -> Iterator[str]:
    """Yield the names of all packages that a module is in, and its own."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        yield ".".join(parts[:depth])


def _paths(folder: Path, name: str) -> Iterator[str]:
    """Yield the paths of the modules of a folder that a name stands for, if they are written in Python."""
    if name in sys.builtin_module_names:  # which Python finds before any file
        return
    package, _, last = name.replace(".", "/").rpartition("/")
    if last == "*":
        yield from (f"{package}/{path.name}" for path in (folder / package).glob("*.py"))
        return
    path = f"{package}/{last}".lstrip("/")
    yield from [p for p in (f"{path}/__init__.py", f"{path}.py") if (folder / p).is_file()][:1]


def _name(path: str) -> str:
    """Return the name of the module that a path in the folder is."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _package(path: str) -> str:
    """Return the package that relative imports of a module begin at; empty for none."""
    name = _name(path)
    return name if path.endswith("/__init__.py") else name.rpartition(".")[0]
