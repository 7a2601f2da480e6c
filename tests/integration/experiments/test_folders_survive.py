"""Folders, modes, links and odd names in a run's folder: what is kept of them, and what is said."""

from pathlib import Path

from tests.support.cosimulated import MemoryKeeper, looks
from tests.support.scripted import Break, plan_of, until_it_ends

BREAKS: list[Break] = [("step", 3), ("after append", 1), ("before append", 2), ("step", 9)]

FOLDERS = """
import os

os.mkdir("made")
os.mkdir("made/void")
os.mkdir("later")
with open("made/tool.sh", "w") as file:
    file.write("#!/bin/sh")
os.chmod("made/tool.sh", 0o755)
os.symlink("tool.sh", "made/link")
for i in range(9):
    nrp.run_loop(3)
    os.mkdir(f"later/{i}")
    if i % 2:
        os.rmdir(f"later/{i - 1}")
os.chmod("made/tool.sh", 0o640)
"""

NAMES = r"""
import os

nrp.run_loop(3)
with open(b"caf\xe9.txt", "w") as file:
    file.write("x")
os.mkdir(b"d\xe9r")
with open(b"d\xe9r/plain.txt", "w") as file:
    file.write("y")
os.symlink(b"\xff", "link")
nrp.run_loop(20)
file_logger.info("ended")
"""


def test_empty_folders_modes_and_links_are_the_same_after_kills(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    plan = plan_of(FOLDERS, every=4)
    _, whole = until_it_ends(MemoryKeeper(), plan, one, FOLDERS)
    _, resumed = until_it_ends(MemoryKeeper(), plan, other, FOLDERS, BREAKS)
    found = looks(resumed)
    assert found == looks(whole)
    assert {name for name in found if name.startswith("later/")} == {f"later/{i}" for i in (1, 3, 5, 7, 8)}
    assert found["made/tool.sh"][0] == "-rw-r-----"


def test_names_that_are_not_utf8_are_left_out_of_savepoints_with_a_line_each(tmp_path: Path) -> None:
    plan = plan_of(NAMES, every=5)
    keeper = MemoryKeeper()
    ending, folder = until_it_ends(keeper, plan, tmp_path, NAMES)
    assert ending.error is None
    assert [line for line in keeper.lines if "Left out" in line[1]] == [
        ("warning", f"Left out of savepoints: {name}, since its name isn't UTF-8.")
        for name in ("caf%E9.txt", "d%E9r", "link")
    ]
    assert (folder / b"caf\xe9.txt".decode(errors="surrogateescape")).read_text() == "x"


def test_what_is_left_out_is_said_once_however_often_the_run_is_killed(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    ending, folder = until_it_ends(keeper, plan_of(NAMES, every=5), tmp_path, NAMES, [("step", 12)])
    assert ending.error is None
    assert sum("Left out" in text for _, text in keeper.lines) == 3
    assert (folder / b"d\xe9r/plain.txt".decode(errors="surrogateescape")).read_text() == "y"
