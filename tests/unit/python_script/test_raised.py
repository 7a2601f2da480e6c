"""What users' code raised: the lines of a folder that an error came by, as Python shows a traceback."""

import runpy
from pathlib import Path

import pytest
from tests.support.experiments import write

from perdure.engines.python_script.raised import Place, Raised, raised


def error_of(folder: Path, **files: str) -> Raised:
    write(folder, **files)
    with pytest.raises(BaseException) as error:
        runpy.run_path(str(folder / "script.py"))
    return raised(error.value, folder)


def test_a_traceback_has_the_lines_of_the_folder_alone_by_their_paths_in_it(tmp_path: Path) -> None:
    said = error_of(
        tmp_path,
        helper__py="""
        import json

        def read(text):
            return json.loads(text)
        """,
        script__py="""
        import runpy
        from pathlib import Path

        read = runpy.run_path(str(Path(__file__).parent / "helper.py"))["read"]
        read("[1, ")
        """,
    )
    assert said.traceback == (
        "Traceback (most recent call last):\n"
        '  File "script.py", line 6, in <module>\n'
        '    read("[1, ")\n'
        '  File "helper.py", line 5, in read\n'
        "    return json.loads(text)\n"
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 5 (char 4)"
    )
    assert (said.kind, said.place) == ("JSONDecodeError", Place("helper.py", 5, "read"))
    assert said.text == "return json.loads(text)"


def test_causes_and_the_errors_of_a_group_are_shown_with_their_lines(tmp_path: Path) -> None:
    said = error_of(
        tmp_path,
        script__py="""
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise ExceptionGroup("two", [ValueError("a"), KeyError("b")]) from error
        """,
    )
    assert '  File "script.py", line 3, in <module>\n    1 / 0\nZeroDivisionError' in said.traceback
    assert "direct cause" in said.traceback
    assert "ValueError: a" in said.traceback
    assert "KeyError: 'b'" in said.traceback


def test_a_cause_that_came_by_no_line_of_the_folder_is_left_out(tmp_path: Path) -> None:
    said = error_of(tmp_path, script__py="import pathlib\npathlib.Path('nowhere').read_text(encoding='no')\n")
    assert said.traceback.count("Traceback") == 1
    assert said.place.line == 2


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    said = error_of(tmp_path, script__py="x = 1\ny = (\n")
    assert (said.kind, said.message, said.place) == (
        "SyntaxError",
        "'(' was never closed",
        Place("script.py", 2),
    )
    assert said.traceback.startswith('  File "script.py", line 2\n    y = (')
    assert said.traceback.endswith("SyntaxError: '(' was never closed")


def test_of_a_long_traceback_the_middle_is_left_out(tmp_path: Path) -> None:
    said = error_of(
        tmp_path,
        script__py="""
        def even(n):
            return odd(n - 1)

        def odd(n):
            return even(n - 1)

        even(0)
        """,
    )
    lines = said.traceback.splitlines()
    assert len(lines) == 81
    assert lines[1].endswith("line 8, in <module>")
    assert lines[20].endswith("more lines …")
    assert "RecursionError" in lines[-1]


def test_an_error_that_cannot_say_what_it_is_about_keeps_its_line(tmp_path: Path) -> None:
    said = error_of(
        tmp_path,
        script__py="""
        class Odd(Exception):
            def __str__(self):
                raise ValueError("no")

        raise Odd
        """,
    )
    assert said.place.line == 6
    assert said.message == "its message can't be shown, since its __str__ raised ValueError"


def test_an_error_without_a_line_of_the_folder_is_where_its_raiser_says(tmp_path: Path) -> None:
    write(tmp_path, f__py="first\nsecond\n")
    said = raised(ValueError("x"), tmp_path, Place(str(tmp_path / "f.py"), 2, "g"))
    assert said.traceback == (
        'Traceback (most recent call last):\n  File "f.py", line 2, in g\n    second\nValueError: x'
    )
    assert raised(ValueError("x"), tmp_path) == Raised("ValueError", "x", Place(), "", "")
