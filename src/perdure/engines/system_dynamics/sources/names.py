"""Names: how the names of a file become names of elements."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

__all__ = ["NAMINGS", "Naming", "NamingStyle", "as_written", "in_camel_case"]

Naming: TypeAlias = Callable[[str], str]
"""How the name of a variable, a module or an element of a dimension becomes a name in the model."""

NamingStyle: TypeAlias = Literal["file", "bptk"]


def as_written(name: str) -> str:
    """Return a name as the file writes it, with line breaks and runs of blanks as one blank.

    >>> as_written("My  Big\\\\nName")
    'My Big Name'
    """
    return " ".join(name.replace("\\n", " ").replace("\u00a0", " ").split())


def in_camel_case(name: str) -> str:
    """Return a name as BPTK-Py 3.2.0 has it.

    >>> in_camel_case("My Big Name"), in_camel_case("snake_case_x"), in_camel_case("UPPER")
    ('myBigName', 'snakeCaseX', 'upper')
    """
    plain = as_written(name).replace("_", " ").replace("-", "").replace("'", "")
    first, *rest = [word.lower() for word in plain.split()] or [name]
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


NAMINGS: Mapping[NamingStyle, Naming] = {"file": as_written, "bptk": in_camel_case}
"""The styles by name."""
