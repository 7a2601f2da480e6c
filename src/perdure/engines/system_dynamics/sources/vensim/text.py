"""The text of a Vensim file: its macros, its entries with their lines, and its settings.

An entry is ``equation ~ units ~ documentation |``. Sketches and other settings are left out. The equations
stay text here; `parsing` parses them.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from perdure.engines.system_dynamics.sources.problems import Problems

__all__ = ["Entry", "MacroText", "SourceText", "read_text"]

_ENCODING = re.compile(rb"^(?:\xef\xbb\xbf)?\s*\{([^{}\r\n]*)\}")
_SKETCH = re.compile(r"^\\+---///", re.MULTILINE)
_SETTINGS = "///---\\\\\\"
_MACRO = re.compile(r":MACRO:\s*([^(|~]+?)\s*\(([^()]*)\)", re.IGNORECASE)
_END_OF_MACRO = re.compile(r":END OF MACRO:", re.IGNORECASE)
_LOADED = re.compile(r"^1:(.+?)(?:\.vdfx?)?\s*$", re.MULTILINE | re.IGNORECASE)
_INTEGRATION = re.compile(r"^15:(?:[^,\n]*,){3}\s*(\d{1,9})\b", re.MULTILINE)


class Entry(NamedTuple):
    """One definition: blanks are single, comments in braces are gone."""

    equation: str
    units: str
    documentation: str
    line: int


@dataclass(frozen=True, slots=True)
class MacroText:
    """A macro before its equations are parsed."""

    name: str
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    entries: tuple[Entry, ...]
    line: int


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file before its equations are parsed.

    `integration` is the number of the integration method in the settings: 0 and 2 are Euler's, 1 and 5 the
    fourth-order Runge-Kutta method, 3 and 4 the second-order one. `loaded` are the names of the runs that
    were loaded when the file was saved.
    """

    entries: tuple[Entry, ...]
    macros: tuple[MacroText, ...]
    integration: int = 0
    loaded: tuple[str, ...] = ()


def read_text(data: bytes, problems: Problems) -> SourceText:
    """Decode a file in the encoding that its first line names, by default UTF-8, and split it."""
    named = _ENCODING.match(data)
    encoding = named[1].decode("ascii", "replace").strip() if named else "UTF-8"
    try:
        text = data.decode("utf-8-sig" if encoding.upper() in ("UTF-8", "UTF8") else encoding)
    except (LookupError, UnicodeDecodeError):
        # Vensim on Windows writes that code page without naming it.
        text = data.decode("cp1252", "replace")
    return split(re.sub(r"\r\n?", "\n", text), problems)


def split(text: str, problems: Problems) -> SourceText:
    """Split a file's text, with ``\\n`` as line ends, into macros and entries."""
    sketch = _SKETCH.search(text)
    definitions, rest = (text[: sketch.start()], text[sketch.start() :]) if sketch else (text, "")
    settings = rest.partition(_SETTINGS)[2]
    integration = _INTEGRATION.search(settings)
    entries: list[Entry] = []
    macros: list[MacroText] = []
    macro: tuple[str, tuple[str, ...], tuple[str, ...], int] | None = None
    inside: list[Entry] = []
    position = named.end() if (named := re.match(r"\s*\{[^{}\n]*\}", definitions)) else 0
    while True:
        position = _after_blanks(definitions, position)
        line = definitions.count("\n", 0, position) + 1
        if position >= len(definitions):
            break
        if macro is None and (opened := _MACRO.match(definitions, position)):
            inputs, _, outputs = opened[2].partition(":")
            macro = opened[1], _names(inputs), _names(outputs), line
            position = opened.end()
        elif macro is not None and (closed := _END_OF_MACRO.match(definitions, position)):
            name, parameters, outputs_, at = macro
            macros.append(MacroText(name, parameters, outputs_, tuple(inside), at))
            macro, inside = None, []
            position = closed.end()
        else:
            parts, position = _entry(definitions, position, line, problems)
            if parts and not parts[0].startswith("*"):
                parts += ("", "")
                (entries if macro is None else inside).append(
                    Entry(_plain(parts[0]), parts[1].strip(), parts[2].strip(), line)
                )
    if macro is not None:
        problems.add(macro[3], macro[0], "the macro has no :END OF MACRO:")
    return SourceText(
        tuple(entries),
        tuple(macros),
        int(integration[1]) if integration else 0,
        tuple(_LOADED.findall(settings)),
    )


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and (text[position].isspace() or text[position] == "\\"):
        position += 1
    return position


def _entry(text: str, start: int, line: int, problems: Problems) -> tuple[tuple[str, ...], int]:
    """Return the parts between tildes of the entry at `start`, and the position after it.

    Within the equation, bars and tildes in quoted names and in comments don't count.
    """
    parts: list[str] = []
    begin = position = start
    quoted = False
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\":
                position += 1
            elif character == '"':
                quoted = False
        elif character == "{" and not parts and (end := text.find("}", position)) > 0:
            position = end  # a comment, which may hold bars and tildes
        elif character == '"' and not parts and '"' in text[position + 1 :].partition("\n")[0]:
            quoted = True
        elif character == "~":
            parts.append(text[begin:position])
            begin = position + 1
        elif character == "|":
            return (*parts, text[begin:position]), position + 1
        position += 1
    problems.add(
        line, " ".join(text[start:].split())[:40], "the file ends within a definition; a | closes it"
    )
    return (), position


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(",") if (name := " ".join(each.split())))


def _plain(equation: str) -> str:
    """Return an equation without comments and line breaks, and with single blanks outside quotes."""
    pieces = re.split(r'("(?:\\.|[^"\\])*")', equation)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"(?:\\\n|\s)+", " ", re.sub(r"\{[^{}]*\}", " ", pieces[i]))
    for i in range(1, len(pieces), 2):
        pieces[i] = re.sub(r"\s*\\?\n\s*", " ", pieces[i])
    return "".join(pieces).strip()
