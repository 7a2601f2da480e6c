"""The commands that look after runs, against a server that they know by its URL and a token only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.testing
from tests.support.experiment_runs import ended
from tests.support.server import ROOT, Server, running

from perdure.cli.commands import app
from perdure.errors import PerdureError

TOKEN = "secret"
PENDULUM = ROOT / "examples" / "experiments" / "pendulum"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store = tmp_path_factory.mktemp("remote") / "s.db"
    tokens = {"PERDURE_TOKENS": f"ada:{TOKEN}"}
    with running(store, "tests.support.small:catalogue", tokens) as started:
        yield started


@pytest.fixture
def elsewhere(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, for commands in a folder without a store, which know it by their environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_SERVER", server.url)
    monkeypatch.setenv("PERDURE_TOKEN", TOKEN)
    return server


def perdure(*arguments: str) -> list[str]:
    """Run a command in this process; return what it printed, or raise what went wrong."""
    done = typer.testing.CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_a_folder_is_sent_and_runs_are_made_of_it_and_looked_after(elsewhere: Server, tmp_path: Path) -> None:
    folder = tmp_path / "my room"
    perdure("experiment", "new", str(folder))
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    (folder / ".perdure").mkdir()
    (folder / ".perdure" / "perdure.db").write_text("its own store")
    assert perdure("experiment", "send", str(folder)) == ["my-room"]
    assert perdure("experiment", "send", str(folder)) == ["my-room"]  # the same files: nothing changes
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=elsewhere.url, headers=headers, timeout=240) as client:
        files = client.get("/experiments/my-room").raise_for_status().json()["files"]
        assert {file["path"] for file in files} == {
            *(path.name for path in folder.iterdir() if path.name != ".perdure")
        }
        runs = [perdure("experiment", "create", "my-room", "--seed", "7")[0] for _ in range(2)]
        assert [client.get(f"/runs/{run}").json()["state"] for run in runs] == ["paused", "paused"]
        assert perdure("experiment", "start", *runs) == [f"{run}: started" for run in runs]
        begun = perdure("experiment", "create", "my-room", "--start")[0]
        for run in (*runs, begun):
            assert ended(client, run)["state"] == "completed"
        assert len(perdure("experiment", "list")) == 4
        one, other = (perdure("experiment", "trajectory", run) for run in runs)
        assert one == other
    (folder / "tool.sh").write_text("#!/bin/sh\necho changed\n")
    with pytest.raises(PerdureError, match="another experiment 'my-room'; give --replace"):
        perdure("experiment", "send", str(folder))
    assert perdure("experiment", "send", str(folder), "--replace", "--name", "my-room") == ["my-room"]


def test_a_run_that_can_not_be_brought_to_a_state_keeps_no_other_from_it(elsewhere: Server) -> None:
    perdure("experiment", "send", str(PENDULUM))
    run = perdure("experiment", "create", "pendulum")[0]
    with pytest.raises(PerdureError, match="No run has the id"):
        perdure("experiment", "stop", "f" * 32, run)
    with pytest.raises(PerdureError, match="stopped"):
        perdure("experiment", "start", run)


def test_options_name_the_server_and_a_store_that_is_named_goes_before_it(server: Server) -> None:
    there = ("--server", server.url, "--token", TOKEN)
    assert perdure("tasks", "list", *there) == ["No tasks yet."]
    assert perdure("runs", "list", "--json", *there)[0] in ("[]", "[")
    with pytest.raises(PerdureError, match="no store at sqlite:///none"):
        perdure("runs", "list", *there, "--store", "none.db")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--token", "wrong"], "The token is wrong"),
        (["--server", "http://127.0.0.1:1"], "can't be reached.*Is --server right"),
        (["--server", "127.0.0.1:5000"], "no server's URL; --server takes http://HOST:PORT"),
        (["--server", "ftp://127.0.0.1"], "no server's URL"),
    ],
)
def test_a_server_that_does_not_answer_is_told(elsewhere: Server, options: list[str], words: str) -> None:
    with pytest.raises(PerdureError, match=words):
        perdure("runs", "list", *options)


def test_runs_are_named_tagged_and_found_again(elsewhere: Server) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=elsewhere.url, headers=headers, timeout=240) as client:

        def new(**label: object) -> str:
            body = {"kind": "session", "scenarios": {"bath": ["base"]}, **label}
            run_id: str = client.post("/runs", json=body).raise_for_status().json()["id"]
            return run_id

        first, second = new(name="dry [red]summer[/red]", tags=["x", "y"]), new(name="wet", tags=["x"])
        client.put(f"/runs/{second}/state", json={"state": "stopped"}).raise_for_status()
    header, *rows = perdure("runs", "list", "--tag", "x")
    assert header.split() == [
        "ID",
        "NAME",
        "TAGS",
        "OWNER",
        "STATE",
        "STEP",
        "MADE",
        "OF",
        "CREATED",
        "(UTC)",
    ]
    assert [row.split()[0] for row in rows] == [second, first]
    assert "dry [red]summer[/red]  x y" in rows[1]
    for options, expected in (
        (("--tag", "x", "--tag", "y"), [first]),
        (("--tag", "x", "--state", "stopped", "--state", "failed"), [second]),
        (("--tag", "x", "--sort", "-name", "--limit", "1"), [second]),
        (("--tag", "x", "--sort", "created"), [first, second]),
        (("--tag", "x", "--search", "SUMMER", "--kind", "session", "--owner", "ada"), [first]),
        (("--name", "dry", "--created-after", "1h", "--updated-before", "2199-01-01"), [first]),
    ):
        found = json.loads("\n".join(perdure("runs", "list", *options, "--json")))
        assert [run["id"] for run in found] == expected
    assert perdure("runs", "list", "--tag", "x", "--created-before", "1h") == ["No such runs."]
    edited = perdure("runs", "edit", first, second, "--add-tag", "z", "--remove-tag", "x", "--name", "both")
    assert edited == [f"{first}: 'both', y z", f"{second}: 'both', z"]
    assert len(perdure("runs", "list", "--name", "both")) == 3
    assert perdure("runs", "edit", second, "--name", "", "--remove-tag", "z") == [f"{second}: '', no tags"]
    (fork,) = perdure("runs", "fork", first, "--name", "fork")
    (bare,) = perdure("runs", "fork", first, "--tag", "own")
    for run, name, tags in ((fork, "fork", ["y", "z"]), (bare, "", ["own"])):
        shown = json.loads("\n".join(perdure("runs", "show", run)))
        assert (shown["name"], shown["tags"]) == (name, tags)
    for wrong, words in (
        (("runs", "edit", first), "Give --name, --add-tag or --remove-tag"),
        (("runs", "edit", first, "--add-tag", "a b"), "`add_tags.0` must have letters"),
        (("runs", "list", "--tag", "a,"), "The parameter `tag` must be tags"),
        (("runs", "list", "--created-after", "soon"), "--created-after takes a date"),
    ):
        with pytest.raises(PerdureError, match=words):
            perdure(*wrong)


def test_runs_of_experiments_get_a_name_and_tags_when_they_are_made(elsewhere: Server) -> None:
    perdure("experiment", "send", str(PENDULUM))
    (run,) = perdure("experiment", "create", "pendulum", "--name", "swing", "--tag", "e2", "--tag", "e1")
    (fork,) = perdure("experiment", "fork", run)
    (other,) = perdure("experiment", "fork", run, "--name", "other", "--tag", "e3")
    labels = [
        (each["id"], each["name"], each["tags"]) for each in runs_with("--kind", "experiment", "--search", "")
    ]
    assert (run, "swing", ["e1", "e2"]) in labels
    assert (fork, "", ["e1", "e2"]) in labels
    assert (other, "other", ["e3"]) in labels
    perdure("runs", "edit", run, "--add-tag", "e0")
    assert [each["id"] for each in runs_with("--tag", "e0", "--state", "paused")] == [run]
    perdure("experiment", "start", run)
    perdure("experiment", "stop", fork, other)


def runs_with(*options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads("\n".join(perdure("runs", "list", *options, "--json")))
    return found
