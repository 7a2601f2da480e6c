"""The commands that look after runs, against a server that they know by its URL and a token only."""

from collections.abc import Iterator
from pathlib import Path

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
    with httpx.Client(base_url=elsewhere.url, headers=headers, timeout=60) as client:
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
