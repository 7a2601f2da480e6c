"""Syntax trees of user functions: finds the tree of a function, and walks it canonically.

The walk leaves out what doesn't affect the meaning (positions, comments, docstrings, annotations, contexts,
the function's own name, empty fields), so it is the same under every version of Python.
"""

import ast
import dis
import inspect
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TypeAlias

from perdure.engines.system_dynamics.identity.effects import Effects, effects_of
from perdure.errors import ModelError
from perdure.syntax_trees import parsed

__all__ = ["Chains", "Import", "Source", "class_source", "function_source"]

_SKIPPED = frozenset({"ctx", "type_comment", "kind", "annotation", "returns", "type_params", "type_ignores"})
# Instructions without a position in the body.
_UNPLACED = frozenset({"RESUME", "COPY_FREE_VARS", "MAKE_CELL", "RETURN_GENERATOR", "CACHE", "POP_TOP"})
_GLOBAL_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})

Lambda = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Chains: TypeAlias = dict[str, set[tuple[str, ...]]]
"""The chains of attributes that are read of plain names; the empty chain is the name by itself."""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """An import within a body: the name it binds, the module as written, and the imported attribute.

    `level` is the number of dots before the module; `whole` means that the name refers to the top-level
    package, as in ``import package.module``.
    """

    name: str
    module: str
    level: int = 0
    attribute: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A canonical walk of code, with its reads (globals, attributes of names, own imports) and effects."""

    tokens: tuple[str, ...]
    globals: frozenset[str]
    chains: Chains
    imports: tuple[Import, ...]
    effects: Effects


def function_source(function: FunctionType, where: str, user: str) -> Source:
    """Return the source of a function; raise `ModelError` if its syntax tree isn't found unambiguously."""
    code = function.__code__
    tree = _tree(function, where, user)
    candidates = [
        node
        for node in ast.walk(tree)
        if isinstance(node, Lambda)
        and _first_line(node) == code.co_firstlineno
        and _name(node) == code.co_name
    ]
    if len(candidates) > 1:
        candidates = _by_position(candidates, code)
    walks = {_tokens(node): node for node in candidates}
    if len(walks) != 1:
        raise _not_found(
            where, user, "several functions stand on its line" if walks else "it isn't in its file"
        )
    ((tokens, node),) = walks.items()
    chains = _chains(node)
    return Source(tokens, frozenset(_globals(code, chains)), chains, _imports(node), effects_of(node))


def class_source(value: type, where: str, user: str) -> Source:
    """Return the source of a class, including its methods."""
    tree = _tree(value, where, user)
    names = value.__qualname__.split(".")
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == names[-1]]
    if len(found) != 1:
        raise _not_found(where, user, f"its file has {len(found)} classes of that name")
    chains = _chains(found[0])
    read = frozenset(chains) - {"self", "cls"}
    return Source(_tokens(found[0]), read, chains, _imports(found[0]), effects_of(found[0]))


def _not_found(where: str, user: str, reason: str) -> ModelError:
    place = "" if where == "itself" else f" reads {where}, whose source"
    subject = f"its function {user!r}" + (place or "'s source")
    return ModelError(
        f"The model can't be identified: {subject} can't be found ({reason}). Define it in a file, on a line "
        "of its own."
    )


def _tree(value: FunctionType | type, where: str, user: str) -> ast.Module:
    try:
        file = inspect.getsourcefile(value) or inspect.getfile(value)
        lines, _ = inspect.findsource(value)
        return _parsed(file, "".join(lines))
    except (OSError, TypeError) as error:
        raise _not_found(where, user, str(error)) from None
    except (SyntaxError, RecursionError) as error:
        raise _not_found(where, user, f"it can't be parsed: {error}") from None


@lru_cache(maxsize=16)
def _parsed(file: str, text: str) -> ast.Module:
    """Parse a file; cached for the next function of the same model."""
    linecache.checkcache(file)
    return parsed(text, file)


def _first_line(node: Lambda) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _name(node: Lambda) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _by_position(candidates: list[Lambda], code: CodeType) -> list[Lambda]:
    """Return, of several functions on one line, those whose body contains the code's instructions."""
    places = []
    for instruction in dis.get_instructions(code):
        p = instruction.positions
        if instruction.opname in _UNPLACED or p is None or p.lineno is None or p.col_offset is None:
            continue
        # Instructions that the compiler adds, such as the return of a lambda, have an empty position.
        if (p.lineno, p.col_offset) != (p.end_lineno, p.end_col_offset) and p.end_col_offset:
            places.append((p.lineno, p.col_offset))
    if not places:
        return candidates
    spans = []
    for node in candidates:
        parts = [node.body] if isinstance(node, ast.Lambda) else node.body
        start = (parts[0].lineno, parts[0].col_offset)
        end = (parts[-1].end_lineno or 0, parts[-1].end_col_offset or 0)
        if all(start <= place <= end for place in places):
            spans.append((start, end, node))
    # The innermost: the code of a function isn't part of a function nested in it.
    return [
        node
        for start, end, node in spans
        if not any((start, end) != (s, e) and start <= s and e <= end for s, e, _ in spans)
    ]


def _globals(code: CodeType, chains: Chains) -> set[str]:
    """Return the global names that code reads, including nested functions, without annotations."""
    names: set[str] = set()
    todo = [code]
    while todo:
        code = todo.pop()
        names |= {str(i.argval) for i in dis.get_instructions(code) if i.opname in _GLOBAL_READS}
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    # Within a class, names that begin with two underscores are mangled.
    private = tuple(name for name in chains if name.startswith("__"))
    return {name for name in names if name in chains or (private and name.endswith(private))}


def _chains(tree: ast.AST) -> Chains:
    """Return the chains of attributes that are read of plain names."""
    found: Chains = {}
    todo: list[tuple[ast.AST, tuple[str, ...]]] = [(part, ()) for part in _parts(tree, top=True)]
    while todo:
        node, attributes = todo.pop()
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, set()).add(())
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                found.setdefault(node.id, set()).add(attributes)
        elif isinstance(node, ast.Attribute):
            todo.append((node.value, (node.attr, *attributes)))
        else:
            todo += [(part, ()) for part in _parts(node)]
    return found


def _imports(tree: ast.AST) -> tuple[Import, ...]:
    """Return the imports within a body."""
    found: set[Import] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found.add(Import(alias.asname or top, alias.name, whole=not alias.asname))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found.add(Import(alias.asname or alias.name, node.module or "", node.level, alias.name))
    return tuple(sorted(found))


def _parts(node: ast.AST, *, top: bool = False) -> Iterator[ast.AST]:
    """Yield the parts of a node. Decorators and defaults of the whole belong to the defining scope."""
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED or (top and field in ("decorator_list", "args")):
            continue
        yield from (
            item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST)
        )


def _tokens(node: ast.AST) -> tuple[str, ...]:
    """Walk a function or class, without its own name, decorators and defaults: the object has them."""
    return tuple(_walk(node, top=True))


def _walk(node: ast.AST, *, top: bool = False) -> Iterator[str]:
    # A def and a lambda with the same body differ, because only a def has a name of its own.
    yield f"({type(node).__name__}"
    for field in sorted(node._fields):
        value = getattr(node, field, None)
        if field in _SKIPPED or value is None:
            continue
        if top and field in ("name", "decorator_list"):
            continue
        if isinstance(node, ast.JoinedStr):
            value = _pieces(node)
        if value == [] or (
            field == "format_spec" and isinstance(value, ast.JoinedStr) and not _pieces(value)
        ):
            continue
        if field == "body" and isinstance(value, list):
            value = _without_docstring(node, value)
        if top and isinstance(value, ast.arguments):
            yield from (f"{field}=", *_walk_arguments(value))
            continue
        yield f"{field}="
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _walk(item)
            else:
                yield f"{type(item).__name__}:{_constant(item)}"
    yield ")"


def _pieces(text: ast.JoinedStr) -> list[ast.expr]:
    """Return the pieces of an f-string; versions of Python split its constant text differently."""
    pieces: list[ast.expr] = []
    for piece in text.values:
        if isinstance(piece, ast.Constant) and pieces and isinstance(pieces[-1], ast.Constant):
            pieces[-1] = ast.Constant(str(pieces[-1].value) + str(piece.value))
        else:
            pieces.append(piece)
    return [piece for piece in pieces if not isinstance(piece, ast.Constant) or piece.value]


def _constant(value: object) -> str:
    # The characters that `repr` escapes, and the longest integer it shows, depend on version and settings.
    return hex(value) if type(value) is int and value >= 1 << 64 else ascii(value)


def _walk_arguments(arguments: ast.arguments) -> Iterator[str]:
    """Walk the parameters without their defaults; the values of these are hashed instead."""
    for kind in ("posonlyargs", "args", "vararg", "kwonlyargs", "kwarg"):
        value = getattr(arguments, kind)
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield f"{kind}:{item.arg}"


def _without_docstring(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not body:
        return body
    first = body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body
