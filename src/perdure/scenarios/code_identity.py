"""The identity of code: a hash over the modules that a class comes from, and over those that these use.

It is that of the source files of the author's own modules: those that are neither in Python's standard
library nor among the installed packages. Code without a file, such as that of a notebook, is hashed as it was
compiled.
"""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["LIBRARIES", "code_identity"]

LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), Path(__file__).parents[1])
)
"""Folders whose code isn't the author's."""


def code_identity(*objects: Any) -> list[str]:
    """Return hashes of all code that classes, functions and modules come from and use, in a fixed order."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    todo = list(objects)
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        module = (
            each if isinstance(each, ModuleType) else sys.modules.get(getattr(each, "__module__", None) or "")
        )
        file = getattr(module, "__file__", None)
        if file is not None and str(file).startswith(LIBRARIES):
            continue
        if module is not None and file is not None and Path(file).is_file():
            if module.__name__ not in found:
                found[module.__name__] = _digest(Path(file).read_bytes())
                todo += [value for value in vars(module).values() if _is_code(value)]
        elif not isinstance(each, ModuleType) and (file is None or module is None) and _has_code(each):
            code, used = _compiled(each)
            found[f"{getattr(each, '__module__', '')}.{each.__qualname__}"] = _digest(code)
            todo += used
    return [f"{name} {digest}" for name, digest in sorted(found.items())]


def _is_code(value: Any) -> bool:
    return isinstance(value, type | FunctionType | ModuleType)


def _has_code(value: Any) -> bool:
    """Return whether code is the author's: that of built-in classes and functions isn't."""
    if isinstance(value, type):
        return any(isinstance(each, FunctionType) for each in vars(value).values())
    return isinstance(value, FunctionType)


def _compiled(value: Any) -> tuple[bytes, list[Any]]:
    """Return the compiled code of a class or function, and what it uses."""
    if isinstance(value, type):
        functions = [each for each in vars(value).values() if isinstance(each, FunctionType)]
        return ",".join(sorted(vars(value))).encode(), [*value.__mro__[1:], *functions]
    function = value.__func__ if isinstance(value, MethodType) else value
    around: dict[str, Any] = function.__globals__
    used = [around[name] for name in _names(function.__code__) if name in around]
    for cell in function.__closure__ or ():
        try:
            used.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    constants = [each for each in used if not _is_code(each) and isinstance(each, str | int | float | bool)]
    text = b"".join(_code(function.__code__)) + repr(constants).encode()
    return text, [each for each in used if _is_code(each)]


def _code(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(constant).encode()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
