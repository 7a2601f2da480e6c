"""`perdure solve`, as a person uses it, and every command and answer that its page shows."""

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.support.commands import perdure
from tests.support.processes import process_of
from tests.support.server import ROOT

from perdure.solvers.binding_networks.certificate import verify
from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.grammar import parse_tokens
from perdure.solvers.binding_networks.network import SiteRef

PAGE = (ROOT / "docs" / "binding-networks.md").read_text()
NETWORKS = ROOT / "examples" / "networks"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def solve(
    *arguments: str | Path, text: str | None = None, folder: Path = NETWORKS
) -> subprocess.CompletedProcess[str]:
    return perdure("solve", *map(str, arguments), folder=folder, text=text or "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example networks in which `perdure` is this installation's command."""
    shutil.copytree(NETWORKS, tmp_path / "networks")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "perdure").write_text(f'#!/bin/sh\nexec {sys.executable} -m perdure "$@"\n')
    (tmp_path / "bin" / "perdure").chmod(0o755)
    return tmp_path


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_command_of_the_page_works(folder: Path) -> None:
    for block in blocks("bash"):
        done = bash(block, folder)
        assert done.returncode == 0, block + done.stderr
    drawn = sorted(path.name for path in (folder / "pictures").iterdir())
    assert drawn == ["configuration-1.svg", "configuration-2.svg", "configuration-3.svg"]


def test_the_first_command_answers_as_the_page_shows(folder: Path) -> None:
    assert bash(blocks("bash")[0], folder).stdout == blocks("text")[0]


def test_the_json_is_that_of_the_page() -> None:
    done = solve("-", "--json", text="a b\na* b*\na\nb")
    assert json.loads(done.stdout) == json.loads(blocks("json")[0])


def test_a_mistake_is_shown_as_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "net.txt").write_text("a\nb *\n")
    done = solve("net.txt", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == blocks("text")[1]


def test_the_bonds_of_the_json_are_a_right_configuration() -> None:
    done = solve("and_gate.txt", "bound_output.txt", "--json")
    answer = json.loads(done.stdout)
    (config,) = answer["configs"]
    assert (answer["optimum"], answer["entropy"]) == (3, 4)
    # Told from the answer alone: monomers in the order of its polymers.
    network = parse_tokens(
        [monomer for polymer in config["polymers"] for monomer in polymer], [["NOTFREE", "output"]]
    )
    polymers, first = [], 0
    for monomers, bonds in zip(config["polymers"], config["bonds"], strict=True):
        made = tuple(Bond(*(SiteRef(first + monomer, site) for monomer, site in places)) for places in bonds)
        polymers.append(Polymer(tuple(range(first, first + len(monomers))), made))
        first += len(monomers)
    verify(network, Configuration(tuple(polymers)))


def test_all_are_listed_counted_and_drawn(tmp_path: Path) -> None:
    done = solve("grid_gate.txt", "--all", "--count", "--svg", tmp_path / "new" / "pictures")
    assert done.returncode == 0, done.stderr
    assert "There are 3 such configurations." in done.stdout
    assert done.stdout.count("6 polymers\n") == 3
    assert "  2 × [a* b* c* d* >gate] + [a b >row1] + [c d >row2]\n" in done.stdout
    for number in (1, 2, 3):
        path = tmp_path / "new" / "pictures" / f"configuration-{number}.svg"
        assert f"Drawn: {path}\n" in done.stdout
        assert ElementTree.parse(path).getroot().get("aria-label") == ("grid_gate: 6 polymers of 10 monomers")


def test_more_configurations_go_below_the_optimum_but_not_below_the_least() -> None:
    counts = re.findall(r"Configuration \d+, (\d+)", solve("grid_gate.txt", "-g", "4").stdout)
    assert counts == ["6", "6", "6", "5"]
    least = solve("grid_gate.txt", "-g", "4", "-k", "6")
    assert re.findall(r"Configuration \d+, (\d+)", least.stdout) == ["6", "6", "6"]
    assert least.returncode == 0


def test_connected_polymers_are_held_by_their_bonds(tmp_path: Path) -> None:
    (tmp_path / "net.txt").write_text("a >t2\na* b* >t1\na b\nb >t3\n")
    (tmp_path / "constraints.txt").write_text("TOGETHER t2 t3\n")
    grouped, connected = (
        json.loads(solve("net.txt", "constraints.txt", "--all", "--json", *option, folder=tmp_path).stdout)
        for option in ([], ["--connected"])
    )
    assert [each["total"] for each in (grouped, connected)] == [2, 1]
    (config,) = connected["configs"]
    held = dict(zip(map(len, config["polymers"]), map(len, config["bonds"]), strict=True))
    assert held == {3: 2, 1: 0}


def test_constraints_that_conflict_are_named() -> None:
    done = solve("and_gate.txt", "contradiction.txt")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [
        "No saturated configuration satisfies the constraints.",
        "These can't be satisfied together:",
        "  FREE output",
        "  FREE input1",
    ]
    answer = json.loads(solve("and_gate.txt", "contradiction.txt", "--json").stdout)
    assert (answer["count"], answer["conflict"]) == (0, [["FREE", "output"], ["FREE", "input1"]])


def test_constraints_that_leave_too_few_polymers_say_how_many() -> None:
    done = solve("and_gate.txt", "bound_output.txt", "-k", "4")
    assert done.returncode == 3
    assert done.stdout.startswith("Under the constraints there are at most 3 polymers.\n")


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["nowhere.txt"], None, "nowhere.txt can't be read: No such file or directory."),
        (["."], None, "can't be read: Is a directory."),
        (["-"], "", "standard input, line 1, column 1: Input contains no monomers.\n  \n  ^"),
        (["-"], "2[a b\n", "'[' is out of place"),
        (["-"], "\ta\t*\n", "Invalid BindingSite name. ' a *'\n        a       *\n                ^"),
        (["-"], "a \x1b[31m:\n:\n", "line 1, column 3: Invalid"),
        (["-"], f"{'a ' * 300}* {'a ' * 300}", f"\n  {'a ' * 30}* {'a ' * 19}\n  {' ' * 60}^\n"),
        (["and_gate.txt", "-"], "FREE output\nFREE nobody\n", "standard input, line 2, column 6"),
        (["and_gate.txt", "-"], "TOGETHER gate gate\n", "standard input, line 1, column 15"),
        (["and_gate.txt", "-k", "5"], None, "Minimum Polymers [5] exceeds the max entropy"),
        (["-", "--syntax", "stable_tbn"], "1[0] >m\n", "out of place"),
        (["-", "--svg", "/proc/nowhere"], "a", "/proc/nowhere can't be written to"),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], text: str | None, words: str) -> None:
    done = solve(*arguments, text=text)
    assert done.returncode == 1
    assert done.stderr.startswith("perdure: ")
    assert words in done.stderr
    assert "\x1b" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "--all", "-g", "2"], "not both"),
        (["-", "-"], "only one"),
        (["-", "--timeout", "0"], "above 0"),
        (["-", "--timeout", "nan"], "above 0"),
        (["-", "-g", "0"], "--gen"),
    ],
)
def test_a_wrong_command_is_told(arguments: list[str], words: str) -> None:
    done = solve(*arguments, text="a")
    assert done.returncode == 2
    assert words in done.stderr


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.txt").write_bytes(b"a\xff")
    done = solve("net.txt", folder=tmp_path)
    assert done.returncode == 1
    assert "net.txt can't be read: it isn't text in UTF-8." in done.stderr


def hard_network() -> str:
    """Return a network that no solver proves the optimum of within the patience of a test."""
    dice = random.Random(1)
    sites = [[f"{dice.choice('abcdefghijkl')}{dice.choice(['', '*'])}" for _ in range(6)] for _ in range(200)]
    return "\n".join(map(" ".join, sites))


def test_a_time_out_shows_bounds_and_the_best_so_far() -> None:
    done = solve("-", "--timeout", "2", text=hard_network())
    assert done.returncode == 4
    first, second, _, third, *_ = done.stdout.splitlines()
    lower, upper = map(int, re.findall(r"between (\d+) and (\d+) polymers", first)[0])
    assert second == "Time ran out; what follows is the best so far."
    assert third == f"Configuration 1, {lower} polymer{'s' if lower > 1 else ''}"
    assert 1 <= lower < upper <= 200
    answer = json.loads(solve("-", "--timeout", "2", "--json", text=hard_network()).stdout)
    assert (answer["status"], answer["optimum"], answer["count"]) == ("TimedOut", None, 1)
    assert answer["configs"][0]["polymers_count"] == answer["lower"] < answer["upper"]


def test_an_interruption_shows_the_best_so_far(tmp_path: Path) -> None:
    (tmp_path / "hard.txt").write_text(hard_network())
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "perdure", "solve", str(tmp_path / "hard.txt")]
    environment = {**os.environ, "TERM": "xterm"}
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        process_of(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process,
    ):
        os.close(theirs)
        shown = b""
        while not re.search(rb"\d+ to \d+ polymers", shown):
            assert select.select([terminal], [], [], 60)[0], shown
            shown += terminal.read(65536)
        assert b"Solving" in shown
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "It was interrupted; what follows is the best so far." in told
    assert "Configuration 1, " in told


def test_several_configurations_are_said_to_be_stable_or_below_the_optimum() -> None:
    done = solve("-", "-g", "2", text="a b\na* b*\na\nb")
    assert "Listed: 1 stable configuration, and 1 below the optimum." in done.stdout.splitlines()
    assert "such configuration" not in done.stdout


def test_a_count_lists_nothing_unless_some_are_asked_for() -> None:
    text = "a >x\na >y\na*"
    counted = solve("-", "--count", text=text)
    assert counted.stdout.splitlines()[1:] == ["There are 2 such configurations."]
    answer = json.loads(solve("-", "--count", "--json", text=text).stdout)
    assert (answer["total"], answer["count"], answer["configs"]) == (2, 0, [])
    assert json.loads(solve("-", "--count", "-g", "1", "--json", text=text).stdout)["count"] == 1


def test_constraints_in_the_place_of_monomers_are_pointed_out() -> None:
    done = solve("bound_output.txt")
    assert "bound_output.txt looks like constraints" in done.stderr
    assert "looks like" not in solve("and_gate.txt", "bound_output.txt").stderr
    assert "looks like" not in solve("-", text="FREE >m\nFREE* x").stderr
