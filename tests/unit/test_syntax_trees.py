"""Syntax trees: one thread at a time makes them, wherever Perdure parses Python."""

import ast
import threading
from pathlib import Path

import pytest

import perdure
from perdure.syntax_trees import parsed

SOURCE = Path(perdure.__file__).parent


def test_it_parses_as_python_does() -> None:
    assert ast.dump(parsed("x = 1\n", "a.py")) == ast.dump(ast.parse("x = 1\n"))
    with pytest.raises(SyntaxError) as raised:
        parsed(b"x = \n", "a.py")
    assert raised.value.filename == "a.py"


def test_two_threads_never_parse_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, inside, met = ast.parse, threading.Semaphore(0), []

    def slow(source: str, path: str) -> ast.Module:
        inside.release()
        met.append(inside.acquire() and inside.acquire(timeout=0.1))  # whether the other thread came in, too
        return parse(source, path)

    monkeypatch.setattr(ast, "parse", slow)
    threads = [threading.Thread(target=parsed, args=("x = 1", "a.py")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == [False, False]


def test_nothing_else_parses() -> None:
    direct = [path.name for path in SOURCE.rglob("*.py") if "ast.parse(" in path.read_text()]
    assert direct == ["syntax_trees.py"]
