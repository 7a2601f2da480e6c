"""What commands print: no text of a client moves the cursor, colours, hides text or is markup."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import perdure.cli
from perdure.cli.output import safe_json, say, say_lines, show, table
from perdure.observability import configure_logging, printable

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b2J",
    "bell\x07 back\x08\x08 return\r over\x0b\x0c",
    "[bold red]markup[/bold red] [link=http://evil.example]x[/link] :boom:",
    "right\u202eto left\u2066\u200f",
    "line\nnext\u2028next\u2029next\x85next",
    "a\tb\x00c\x7fd",
    "half \ud800 character",
]


def is_safe(text: str) -> bool:
    return all(each == "\n" or each.isprintable() or unicodedata.category(each) == "Zs" for each in text)


@given(st.text(st.characters(categories=None)))
def test_every_text_becomes_one_line_that_no_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert is_safe(shown)
    assert "\n" not in shown
    assert text.isprintable() <= (shown == text)


@pytest.mark.parametrize("text", HOSTILE)
def test_lines_names_and_errors_are_printed_escaped(capsys: pytest.CaptureFixture[str], text: str) -> None:
    say(text)
    say_lines(f"first\n{printable(text)}", err=True)
    table(("NAME", "OTHER"), [(text, "x"), ("calm", text)])
    show({"name": text})
    out, err = capsys.readouterr()
    assert is_safe(out)
    assert is_safe(err)
    assert len(err.splitlines()) == 2
    assert json.loads(out[out.index("{") :]) == {"name": text}


def test_markup_in_a_name_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME",), [("[bold]calm[/bold] :boom: [/]",)])
    assert "[bold]calm[/bold] :boom: [/]" in capsys.readouterr().out


@given(st.recursive(st.text(st.characters(categories=None)), lambda inner: st.lists(inner, max_size=3)))
def test_escaped_json_says_the_same(value: object) -> None:
    written = safe_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert is_safe(written)
    assert json.loads(written) == value


@pytest.mark.parametrize("text", HOSTILE)
def test_log_lines_in_a_terminal_are_escaped(capsys: pytest.CaptureFixture[str], text: str) -> None:
    before = structlog.get_config()
    try:
        configure_logging("INFO", as_json=False)
        try:
            raise ValueError(text)
        except ValueError:
            structlog.get_logger("x").warning("request_failed", path=text, names=[text], exc_info=True)
    finally:
        structlog.configure(**before)
    written = capsys.readouterr().err
    assert "request_failed" in written
    assert is_safe(written.replace("\t", " "))


def test_no_command_prints_by_another_way() -> None:
    folder = Path(perdure.cli.__file__).parent
    for path in folder.glob("*.py"):
        if path.name != "output.py":
            for line in re.findall(r".*(?:typer\.echo|\bprint)\(.*", path.read_text()):
                assert re.search(r"safe_json\(|printable\(|__version__", line), f"{path.name}: {line}"
