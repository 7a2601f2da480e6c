"""Writing: lines of generated Python, and the functions that they define."""

from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from perdure.engines.system_dynamics.compiling.array_code import ARRAY_NAMESPACE
from perdure.engines.system_dynamics.compiling.runtime import NAMESPACE
from perdure.errors import ModelError

__all__ = ["Owner", "Writer", "function_of"]

Owner = str | tuple[str, ...] | None
"""The variable that a line belongs to, or the variables of a group of cells."""


class Writer:
    """Lines of Python with their indentation and the variable each belongs to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.owners: list[Owner] = []
        self._indent = ""

    def line(self, text: str, owner: Owner = None) -> None:
        """Add a line."""
        self.lines.append(self._indent + text)
        self.owners.append(owner)

    def push(self) -> None:
        """Indent the lines that follow."""
        self._indent += " "

    def pop(self) -> None:
        """End the innermost indentation."""
        self._indent = self._indent[:-1]

    def unpack(self, names: Sequence[str], source: str) -> None:
        """Add a line that assigns the items of `source`."""
        if names:
            self.line(f"{', '.join(names)}, = {source}")


def function_of(
    lines: Sequence[str], filename: str, model: str, constants: Mapping[str, object] | None = None
) -> Any:
    """Return the function that `lines` define; they contain generated names and numbers only.

    Raises
    ------
    ModelError
        If Python can't compile it.
    """
    try:
        module = compile("\n".join(lines), filename, "exec", dont_inherit=True)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(
            f"The model {model!r} has an expression nested too deeply to compile ({error}); put its parts "
            "into converters."
        ) from None
    (code,) = (constant for constant in module.co_consts if isinstance(constant, CodeType))
    return FunctionType(code, {**NAMESPACE, **ARRAY_NAMESPACE, **(constants or {})})
