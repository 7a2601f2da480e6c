"""Purity: what a function mustn't read if repeated calls must return the same.

A resumed run calls the functions of its model again. A function that reads a clock, a file, the environment
or a generator, or counts its calls, then returns other numbers.
"""

import random
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from perdure.engines.system_dynamics.identity.calls import MISSING, attribute_of
from perdure.engines.system_dynamics.identity.reaches import RESULT
from perdure.engines.system_dynamics.identity.reads import Read

__all__ = ["impure_read", "impure_value"]

IMPURE = frozenset(
    {
        "aiohttp", "arrow.now", "arrow.utcnow", "asyncio", "boto3", "builtins.hash", "builtins.id",
        "builtins.input", "builtins.open", "cffi", "codecs.open", "concurrent", "ctypes",
        "datetime.date.today", "datetime.datetime.now", "datetime.datetime.today",
        "datetime.datetime.utcnow", "dbm", "fileinput", "ftplib", "gc", "getpass", "glob", "httpx", "http",
        "importlib.resources", "io.FileIO", "io.open", "io.open_code", "linecache", "locale",
        "multiprocessing", "nt", "ntpath.abspath", "ntpath.exists", "ntpath.expanduser", "ntpath.expandvars",
        "ntpath.getatime", "ntpath.getctime", "ntpath.getmtime", "ntpath.getsize", "ntpath.isdir",
        "ntpath.isfile", "ntpath.islink", "ntpath.realpath", "numpy.DataSource", "numpy.fromfile",
        "numpy.genfromtxt", "numpy.load", "numpy.loadtxt", "numpy.memmap", "numpy.random", "numpy.save",
        "numpy.savetxt", "numpy.savez", "os", "pandas.read_clipboard", "pandas.read_csv",
        "pandas.read_excel", "pandas.read_feather", "pandas.read_fwf", "pandas.read_hdf", "pandas.read_html",
        "pandas.read_json", "pandas.read_orc", "pandas.read_parquet", "pandas.read_pickle",
        "pandas.read_sql", "pandas.read_table", "pandas.read_xml", "pandas.Timestamp.now",
        "pandas.Timestamp.today", "pandas.Timestamp.utcnow", "pendulum.now", "pendulum.today",
        "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "platform", "posix", "posixpath.abspath",
        "posixpath.exists", "posixpath.expanduser", "posixpath.expandvars", "posixpath.getatime",
        "posixpath.getctime", "posixpath.getmtime", "posixpath.getsize", "posixpath.isdir",
        "posixpath.isfile", "posixpath.islink", "posixpath.realpath", "psutil", "random", "requests",
        "resource", "scipy.io", "secrets", "select", "shelve", "shutil", "signal", "smtplib", "socket",
        "sqlite3", "ssl", "subprocess", "sys._current_frames", "sys._getframe", "sys.argv",
        "sys.getrefcount", "sys.modules", "sys.stdin", "tempfile", "threading", "time", "tracemalloc",
        "urllib.request", "urllib3", "uuid.getnode", "uuid.uuid1", "uuid.uuid4", "zipfile.ZipFile",
    }
)  # fmt: skip
"""Impure names, including all names below them: they don't return the same each time."""

PURE = frozenset(
    {
        "os.PathLike", "os.altsep", "os.curdir", "os.extsep", "os.fsdecode", "os.fsencode", "os.fspath",
        "os.linesep", "os.name", "os.pardir", "os.path", "os.pathsep", "os.sep", "time.sleep",
        "time.struct_time",
    }
)  # fmt: skip
"""Pure names below impure ones; sleeping changes no number."""

SEEDED = frozenset(
    {
        "numpy.random.Generator", "numpy.random.MT19937", "numpy.random.PCG64", "numpy.random.PCG64DXSM",
        "numpy.random.Philox", "numpy.random.RandomState", "numpy.random.SFC64", "numpy.random.SeedSequence",
        "numpy.random.default_rng", "random.Random",
    }
)  # fmt: skip
"""Generators that draw the same numbers from the same seed; without one they are impure."""

FROM_CLOCK = frozenset(
    {"time.asctime", "time.ctime", "time.gmtime", "time.localtime", "time.mktime", "time.strptime"}
)
"""Functions that read the clock only without an argument for the time."""

_ALIASES = {
    "_io": "io",
    "_datetime": "datetime",
    "_random": "random",
    "_socket": "socket",
    "_sqlite3": "sqlite3",
    "_strptime": "time",
    "genericpath": "posixpath",
    "numpy.lib.npyio": "numpy",
    "numpy.lib._npyio_impl": "numpy",
    "pathlib._local": "pathlib",
}
_DRAWS = frozenset({"random_sample", "resample", "rvs", "sample", "samples"})  # of distributions, frames
_LIBRARY_DRAWS = ("scipy", "pandas", "sklearn", "statistics", "torch", "statsmodels")
_NOW = frozenset({"now", "today"})


def impure_value(value: object) -> str | None:
    """Return the name of an impure value, or None.

    Classes of generators that take a seed aren't impure by themselves: it depends on how they are called.
    """
    if isinstance(value, ModuleType):
        return None  # depends on what is read of it
    if isinstance(value, BuiltinFunctionType | MethodType) and not isinstance(value.__self__, ModuleType):
        owner = value.__self__
        if owner is None:
            return _impure(_dotted(value))
        if isinstance(owner, type):
            return _impure(f"{_dotted(owner)}.{value.__name__}")
        if isinstance(owner, random.Random):
            return f"random.{value.__name__}"
        name = impure_value(owner)
        return None if name is None else f"{name}.{value.__name__}"
    if callable(value) and (name := _impure(_dotted(value))) is not None:
        return name
    kind = type(value)
    if kind.__module__ in ("builtins", "numpy", "functools", "types"):
        return None
    name = _dotted(kind)
    return name if name in SEEDED or _impure(name) else None


def impure_read(read: Read, lookup: Callable[[str], Any], own: Callable[[str], bool]) -> str | None:
    """Return the name of what is read if it is impure, or None.

    Parameters
    ----------
    read
        The chain of attributes, and how it is called.
    lookup
        Returns the value of a name, or `MISSING`.
    own
        Whether a module is the modeller's own, whatever its name.
    """
    reached, rest = lookup(read.name), read.attributes
    arguments = [attribute_of(lookup(name), steps) for name, *steps in read.arguments]
    handed = [value for values in arguments for value in values]
    any_given = read.given or any(value is not None for value in handed) or not all(arguments)
    texts = (*read.texts, *(value for value in handed if isinstance(value, str)))
    while rest and isinstance(reached, ModuleType):
        attribute, *following = rest
        found = getattr(reached, attribute, MISSING)
        if not own(reached.__name__) and not isinstance(found, ModuleType):
            # A call whose result is read further is a read of its own.
            given = any_given if not following else following[0] == RESULT
            if (name := _called(f"{_module(reached.__name__)}.{attribute}", given)) is not None:
                return name
        reached, rest = found, tuple(following)
    if reached is MISSING:
        return None
    if isinstance(reached, ModuleType):
        # Any name of a module may be read if the module is read as a whole.
        return None if own(reached.__name__) else _impure(_module(reached.__name__))
    if (name := impure_value(reached)) is not None:
        given = any_given if not rest else rest[0] == RESULT
        rest = tuple(step for step in rest if step != RESULT)
        return None if name in FROM_CLOCK and given else ".".join((name, *rest))
    dotted = _dotted(reached)
    if dotted in SEEDED and not (rest or any_given):
        return f"{dotted} without a seed"
    if _NOW.intersection(text.strip().lower() for text in texts) and dotted.startswith(("numpy.", "pandas.")):
        return f"{dotted}('now')"
    if rest and rest[-1] in _DRAWS and not read.seeded:
        kind = reached if isinstance(reached, type | FunctionType) else type(reached)
        if str(kind.__module__).startswith(_LIBRARY_DRAWS):
            return rest[-1]
    if rest and isinstance(reached, type):
        return _impure(".".join((dotted, *rest)))
    return None


def _called(dotted: str, given: bool) -> str | None:
    if dotted in SEEDED:
        return None if given else f"{dotted} without a seed"
    if dotted in FROM_CLOCK and given:
        return None
    return _impure(dotted)


def _impure(dotted: str) -> str | None:
    """Return a dotted name if it, or a name above it, is known to be impure."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        if name in PURE or name in SEEDED:
            return None
        if name in IMPURE:
            return dotted
    return None


def _module(name: str) -> str:
    return "numpy.random" if name.startswith("numpy.random.") else _ALIASES.get(name, name)


def _dotted(value: Any) -> str:
    module = getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or ""
    return f"{_module(str(module))}.{name}" if name else ""
