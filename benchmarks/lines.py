"""Lines of code by folder, without blanks, comments and docstrings.

``python -m benchmarks.lines [REVISION ...]`` prints a column for each revision and one for the checkout.
"""

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path, PurePosixPath

__all__ = ["code_lines"]

ROOT = Path(__file__).parent.parent
SOURCE = "src/perdure"
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


def code_lines(source: str) -> int:
    """Count the lines of a module that hold code.

    >>> code_lines('"A docstring."\\n\\nx = 1  # one\\n# a comment\\ny = (\\n    2\\n)\\n')
    4
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def _folder(path: str) -> str:
    parts = PurePosixPath(path).relative_to(SOURCE).parts
    return (
        "/".join(parts[:2] if parts[0] == "dialects" and len(parts) > 2 else parts[:1]) if parts[1:] else "."
    )


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _of_revision(revision: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for path in _git("ls-tree", "-r", "--name-only", revision, SOURCE).splitlines():
        if path.endswith(".py"):
            counted[_folder(path)] += code_lines(_git("show", f"{revision}:{path}"))
    return counted


def _of_checkout() -> Counter[str]:
    counted: Counter[str] = Counter()
    for file in (ROOT / SOURCE).rglob("*.py"):
        counted[_folder(file.relative_to(ROOT).as_posix())] += code_lines(file.read_text("utf-8"))
    return counted


def main(revisions: list[str]) -> None:
    """Print the table."""
    columns = {**{revision: _of_revision(revision) for revision in revisions}, "now": _of_checkout()}
    folders = sorted({folder for counted in columns.values() for folder in counted})
    print("folder".ljust(28), *(name[:10].rjust(10) for name in columns))
    for folder in folders:
        print(folder.ljust(28), *(f"{counted[folder]:10}" for counted in columns.values()))
    print("all".ljust(28), *(f"{sum(counted.values()):10}" for counted in columns.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
