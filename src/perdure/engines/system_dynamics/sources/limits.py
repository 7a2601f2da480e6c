"""Limits of models from files, so that a small file can't make a model that fills the memory."""

__all__ = [
    "MAX_BYTES",
    "MAX_CELLS",
    "MAX_ELEMENTS",
    "MAX_ENTITIES",
    "MAX_LENGTH",
    "MAX_NESTING",
    "MAX_OPERATIONS",
]

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of a file."""

MAX_ENTITIES = 20_000
"""Variables and modules of a file, those of each module and each macro call as often as it is used."""

MAX_ELEMENTS = 10_000
"""Elements of one dimension."""

MAX_CELLS = 200_000
"""Cells of all variables together; a variable without subscripts has one."""

MAX_LENGTH = 65_536
"""Characters of an equation."""

MAX_NESTING = 100
"""Levels of brackets and functions within each other in an equation, and of modules and macros."""

MAX_OPERATIONS = 1_000_000
"""Operations of all equations together, with arrays and macros written out."""
