"""Code and pages use the standard words: the private ones that they replaced don't come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Private word, as a regular expression → standard word.
WORDS = {
    r"told|tells?|telling": "notify, report, return, say",
    r"anew": "again",
    r"whoever": "the caller, the worker, …",
    r"put down|puts down": "record, write",
    r"for good": "permanently",
    r"by and by": "gradually",
    r"so many": "a number of, limit",
    r"what there is": "partial result",
    r"whose turn": "next",
    r"taken? up again": "resume",
    r"come along|comes along": "copy",
    r"in force": "in effect",
    r"deaths": "crashes",
    r"wanted(?!=)": "desired, requested",
    r"briefing": "assignment",
    r"verdict": "outcome, conclusion",
    r"lanes": "queues",
    r"epoch": "fencing token",
    r"mend": "repair, correct",
}
ROOMS = (
    *("api", "cli", "dialects", "execution", "state", "stores", "testing", "web"),
    *(
        "bptk.py",
        "clock.py",
        "lifecycle.py",
        "observability.py",
        "places.py",
        "run.py",
        "settings.py",
        "spawned.py",
        "supervision.py",
    ),
    *(
        "extend.py",
        "tasks.py",
        "times.py",
        "validation.py",
        "worker.py",
        "drivers/tasks.py",
        "drivers/task_registry.py",
    ),
)
PAGES = (
    *("architecture", "bptk", "cli", "errors", "execution", "extending", "external-state", "nrp", "sessions"),
    *("settings", "stableconfigs", "state", "stores", "tasks", "workers"),
)


def files() -> list[Path]:
    """Return the files that are written in plain words; more rooms and pages may join."""
    sources = ROOT / "src" / "perdure"
    found = [
        file
        for room in ROOMS
        for file in ([sources / room] if "." in room else (sources / room).rglob("*.py"))
    ]
    return sorted([*found, *(ROOT / "docs" / f"{page}.md" for page in PAGES), ROOT / "README.md"])


@pytest.mark.parametrize("word", WORDS)
def test_private_words_do_not_come_back(word: str) -> None:
    pattern = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join([f"Write {WORDS[word]} in place of it:", *found])
