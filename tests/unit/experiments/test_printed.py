"""What is printed becomes lines as they end, in one order with what else is passed on."""

import os
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

import pytest
from tests.support.cosimulated import MemoryKeeper
from tests.support.scripted import plan_of, until_it_ends

from perdure.drivers.experiments.printed import Printed

Lines = list[tuple[str, str]]


def printing(lines: Lines, takes: bool = True) -> Printed:
    def say(text: str, level: str) -> bool:
        lines.append((level, text))
        return takes

    return Printed(say)


def test_a_line_is_passed_on_when_it_ends() -> None:
    lines: Lines = []
    with printing(lines):
        print("one", end="", flush=True)
        assert lines == []
        print(" line", end="\nnext")
        assert lines == [("info", "one line")]
        print(file=sys.stderr)
        print("\x0b\x0c\r\nodd \ud800\n")
        print("without an end", end="")
    assert lines[1:] == [
        ("error", ""),
        ("info", "next\x0b\x0c"),
        ("info", r"odd \ud800"),
        ("info", ""),
        ("info", "without an end"),
    ]


def test_a_stream_takes_settings_as_any_stream_of_texts_does() -> None:
    lines: Lines = []
    before: Any = sys.stdout
    with printing(lines):
        out: Any = sys.stdout
        assert (out.line_buffering, out.write_through, out.closed, out.newlines) == (True, False, False, None)
        assert (out.name, out.mode) == (before.name, before.mode)
        out.reconfigure(line_buffering=False, write_through=True, encoding="latin-1", errors="replace")
        assert (out.line_buffering, out.write_through) == (False, True)
        assert (out.encoding, out.errors) == ("latin-1", "replace")
        with pytest.raises(LookupError):
            out.reconfigure(encoding="none")
        with pytest.raises(TypeError):
            out.reconfigure(buffering=True)
        out.reconfigure(newline="\r\n")
        print("é \u2192 line")
    assert lines == [("info", "é \u2192 line")]
    assert sys.stdout.encoding.lower() == "utf-8"


@pytest.mark.parametrize("pieces", [1, 3, 20_000])
def test_a_long_line_is_cut_at_the_same_places_however_it_arrives(pieces: int) -> None:
    lines: Lines = []
    text = "".join(chr(97 + n % 26) for n in range(20_000))
    with printing(lines):
        each = -(-len(text) // pieces)
        for at in range(0, len(text), each):
            sys.stdout.write(text[at : at + each])
        print()
    assert [line for _, line in lines] == [text[:8192], text[8192:16384], text[16384:]]


def test_what_is_not_taken_goes_where_it_went_before(capfd: pytest.CaptureFixture[str]) -> None:
    before: tuple[TextIO, ...] = (sys.stdout, sys.stderr)
    with printing([], takes=False):
        assert not sys.stdout.isatty()
        assert sys.stdout.encoding == before[0].encoding
        print("out")
        print("err", file=sys.stderr)
        kept = sys.stdout
    print("afterwards", file=kept)
    assert (sys.stdout, sys.stderr) == before
    assert capfd.readouterr() == ("out\nafterwards\n", "err\n")


def test_a_forked_process_prints_through_the_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    lines: Lines = []
    with printing(lines):
        process = os.fork()
        if not process:
            print("from the fork", flush=True)
            os._exit(0)
        os.waitpid(process, 0)
    assert lines == []
    assert capfd.readouterr().out == "from the fork\n"


def test_who_prints_while_a_line_is_passed_on_does_not_wait_for_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines: Lines = []

    def say(text: str, level: str) -> bool:
        print("from within")
        lines.append((level, text))
        return True

    with Printed(say):
        printing_thread = threading.Thread(target=print, args=("line",), daemon=True)
        printing_thread.start()
        printing_thread.join(30)
    assert lines == [("info", "line")]
    assert capsys.readouterr().out == "from within\n"


def test_prints_and_logged_lines_keep_the_order_of_the_script(tmp_path: Path) -> None:
    script = """
import sys
for i in range(8):
    print('printed', i)
    file_logger.info('logged %d', i)
    nrp.run_loop(1)
    print('warned', i, file=sys.stderr)
    print('begun', end=' ')
"""
    whole: dict[str, Any] = {}
    for name, breaks in (("undisturbed", []), ("disturbed", [("step", 5)])):
        keeper = MemoryKeeper()
        root = tmp_path / name
        root.mkdir()
        until_it_ends(keeper, plan_of(script, every=3), root, script, breaks)
        whole[name] = keeper.lines
    expected = [
        line
        for i in range(8)
        for line in (
            ("info", f"printed {i}" if not i else f"begun printed {i}"),
            ("info", f"logged {i}"),
            ("error", f"warned {i}"),
        )
    ]
    assert whole["undisturbed"] == [*expected, ("info", "begun ")]
    went_on = len(whole["disturbed"]) - len(whole["undisturbed"])
    assert went_on > 0  # what came after the savepoint was said again
    assert whole["disturbed"][-12:] == whole["undisturbed"][-12:]
