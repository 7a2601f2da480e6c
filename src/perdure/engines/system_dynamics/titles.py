"""Titles: what a part of an equation is called in messages, as model files and programs write it."""

from perdure.engines.system_dynamics.expression import Expression, FunctionCall, Hidden, Recall

__all__ = ["title_of"]

_MEMORIES = {
    "conveyor": "a conveyor",
    "delay_n": "DELAY N",
    "held": "SAMPLE IF TRUE",
    "information": "DELAY INFORMATION",
    "material": "DELAY MATERIAL",
    "oven": "an oven",
    "pipeline": "DELAY FIXED",
    "queue": "a queue",
    "smooth_n": "SMOOTH N",
    "stream": "IRR",
}
"""The memories of `compiling.memories`, by what model files make of them."""


def title_of(node: Expression) -> str:
    """Return what an expression is called."""
    match node:
        case Recall(memory):
            return _MEMORIES[memory.kind]
        case FunctionCall():
            return f"the Python function {node.function!r}"
        case Hidden():
            return "a hidden variable, as averages and macros have them"
    return f"a {type(node).__name__.lower()}"
