"""Syntax trees: one thread at a time makes them, and makes them again when something else disturbed it."""

import ast
import gc
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


class Loud:
    """Parses when the collector ends it, as an object does that logs an error with its traceback."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("x = 1")


def test_whatever_parses_meanwhile_a_tree_is_made() -> None:
    source = "\n".join("x = [f(a, b)[1:2] for a in b if c]" for _ in range(50))
    expected = ast.dump(ast.parse(source))
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()  # else each collection would look through the objects of all other tests
    try:
        for objects in range(100, 150):  # on Python 3.11, three of four of these disturb `ast.parse`
            gc.disable()
            gc.collect()
            for _ in range(5):
                Loud()
            gc.set_threshold(objects, 1, 1)
            gc.enable()
            assert ast.dump(parsed(source)) == expected
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
        if not frozen:
            gc.unfreeze()


def test_what_python_can_never_make_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, path: str) -> ast.Module:
        raise SystemError("for good")

    monkeypatch.setattr(ast, "parse", fail)
    with pytest.raises(SystemError, match="for good"):
        parsed("x = 1")


def test_nothing_else_parses() -> None:
    direct = [path.name for path in SOURCE.rglob("*.py") if "ast.parse(" in path.read_text()]
    assert direct == ["syntax_trees.py"]
