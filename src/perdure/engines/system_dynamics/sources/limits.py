"""Limits of models from files, so that a small file can't make a model that fills the memory."""

__all__ = [
    "MOST_BYTES",
    "MOST_CELLS",
    "MOST_ELEMENTS",
    "MOST_ENTITIES",
    "MOST_LENGTH",
    "MOST_NESTING",
    "MOST_OPERATIONS",
]

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of a file."""

MOST_ENTITIES = 20_000
"""Variables and modules of a file, those of each module and each macro call as often as it is used."""

MOST_ELEMENTS = 10_000
"""Elements of one dimension."""

MOST_CELLS = 200_000
"""Cells of all variables together; a variable without subscripts has one."""

MOST_LENGTH = 65_536
"""Characters of an equation."""

MOST_NESTING = 100
"""Levels of brackets and functions within each other in an equation, and of modules and macros."""

MOST_OPERATIONS = 1_000_000
"""Operations of all equations together, with arrays and macros written out."""
