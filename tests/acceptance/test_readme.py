"""The README's commands and code work as they stand there, up to a free port.

Each journey is made twice: with the default, an SQLite file and one server; and with an environment that
names a PostgreSQL and a Redis, beside two workers.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.brokers import RedisServer
from tests.support.commands import command
from tests.support.forked import Forked
from tests.support.postgres import PostgresServer
from tests.support.server import ROOT

from perdure.stores.open import open_store

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
TUTORIAL = ROOT / "tests" / "fixtures" / "bptk_tutorial"

PART = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PARTS = {title: re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL) for title, text in PART.findall(README)}


class House(NamedTuple):
    """Where the README's commands are run.

    Attributes
    ----------
    variables
        What its environment adds.
    working
        The folder of working folders, by the folder of a journey.
    attempts
        How many attempts at an experiment there are if the server is killed once.
    """

    variables: dict[str, str]
    working: Path
    attempts: int

    def runs(self) -> int:
        """Return how many runs journeys before have left in the store."""
        if "PERDURE_STORE" not in self.variables:
            return 0
        with closing(open_store(self.variables["PERDURE_STORE"])) as store:
            return len(store.runs(limit=1000))


EMBEDDED = House({}, Path("perdure-data", "perdure.db.working"), attempts=2)


@contextmanager
def worker(folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run a worker; it must still work at the end."""
    environment = {**os.environ, "PERDURE_LOG_LEVEL": "WARNING", **variables}
    process = Forked(command, ("worker",), folder=folder, environment=environment)
    try:
        assert process.stdout.readline().startswith("Perdure works on tasks and experiments of postgresql:")
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if request.param == "sqlite":
        yield EMBEDDED
        return
    postgres: PostgresServer = request.getfixturevalue("shared_postgres")
    redis: RedisServer = request.getfixturevalue("shared_redis")
    folder = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:
        url = postgres.url(stack.enter_context(postgres.database()))
        variables = {
            "PERDURE_STORE": url,
            "PERDURE_STORE_LISTEN": url,
            "PERDURE_BROKER": redis.new_url(),
            "PERDURE_ARTIFACTS": str(folder / "artifacts"),
            "PERDURE_ARTIFACTS_SHARED": "yes",
            "PERDURE_WORKING_FOLDERS": str(folder / "working"),
        }
        open_store(url).close()  # makes the tables, which workers don't
        for _ in range(2):
            stack.enter_context(worker(folder, variables))
        # The server is killed, the worker isn't: the experiment goes on in its first attempt.
        yield House(variables, folder / "working", attempts=1)


def commands(part: str) -> str:
    """Return all commands of a part of the page, in order."""
    return "\n".join(block for kind, block in PARTS[part] if kind == "bash")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder with the examples, in which `.venv/bin` has this installation's commands.

    It has a short name: the path of a socket has about a hundred characters at most.
    """
    folder = tmp_path_factory.mktemp("f")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in ("perdure", "-m perdure "), ("python", ""):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        program.chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__", "state")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    return folder


def bash(
    script: str, folder: Path, *, port: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    port = port or free_port()
    # Whatever a script leaves running is ended with it, by the id the script knows.
    ending = 'trap \'if [ -n "${SERVER-}" ]; then kill -9 "$SERVER" 2>/dev/null || true; fi\' EXIT'
    # Where many tests run at once, a server takes longer to start than its user would wait.
    script = f"{ending}\nset -euo pipefail\n{script}".replace("--retry 60 ", "--retry 240 ")
    return subprocess.run(
        ["bash", "-c", script.replace("127.0.0.1:5000", f"127.0.0.1:{port}")],
        cwd=folder,
        env={**os.environ, "PERDURE_PORT": str(port), "PERDURE_LOG_LEVEL": "WARNING", **environment},
        capture_output=True,
        text=True,
        timeout=540,  # a new environment takes minutes where many tests run at once
        check=False,
    )


def as_lines(script: str) -> str:
    """Return the script with each answer on a line of its own, and errors of curl shown."""
    return script.replace("curl -s ", "curl -sS -w '\\n' ")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def clean_up(folder: Path, house: House) -> None:
    """Run the page's own clean-up, after which nothing is left of what a part wrote in the folder.

    With a database of its own, no command has made a store in the folder.
    """
    assert house is EMBEDDED or not (folder / "perdure-data").exists()
    assert bash(commands("Clean up"), folder).returncode == 0


def test_the_first_block_is_the_two_commands_and_make_knows_them() -> None:
    kind, block = BLOCKS[0]
    assert kind == "bash"
    lines = [line.split("#")[0].strip() for line in block.strip().splitlines()]
    assert lines == ["make serve", "make test"]
    shown = subprocess.run(["make", "-n", "-C", str(ROOT), "serve", "test"], capture_output=True, check=True)
    assert b"perdure serve" in shown.stdout


def test_pip_installs_it_as_the_readme_says(tmp_path: Path) -> None:
    install = next(block for kind, block in BLOCKS if "pip install" in block)
    texts = "README.md", "LICENSE", "CHANGELOG.md"
    for name in "src", "ui", "docs", "pyproject.toml", "hatch_build.py", "constraints.txt", *texts:
        source = ROOT / name
        if source.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, tmp_path / name, ignore=left_out)
        else:
            shutil.copy(source, tmp_path / name)
    # What is installed here stands for the package index, so that no network is needed.
    here = {
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's word for: build with what is there
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PATH": f"{Path(sys.executable).resolve().parent}{os.pathsep}{os.environ['PATH']}",
    }
    where = "import perdure; print(perdure.__file__)"
    done = bash(f"{install}\n.venv/bin/python -c '{where}'", tmp_path, **here)
    assert done.returncode == 0, done.stderr + done.stdout
    version, place = done.stdout.strip().splitlines()[-2:]
    assert re.fullmatch(r"(perdure )?\d+\.\d+\.\d+", version)
    assert Path(place).is_relative_to(tmp_path / ".venv" / "lib")


def test_a_modeller_steps_a_model_through_a_crash(folder: Path, house: House) -> None:
    before, others = names(folder), house.runs()
    ((_, code),) = (block for block in PARTS["You have a model"] if block[0] == "python")
    (folder / "tea.py").write_text(code)
    done = bash(as_lines(commands("You have a model")), folder, **house.variables)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"error"' not in done.stdout
    steps = [int(number) for number in re.findall(r'"step":(\d+),"results"', done.stdout)]
    assert steps == [1, *range(2, 32), 32, 32, 33]
    (first, again) = re.findall(
        r'{"run":"\w+","finished":false,"replayed":\w+,"steps":\[{"step":32,.*', done.stdout
    )
    assert again == first.replace('"replayed":false', '"replayed":true')
    assert '"parent_step":10' in done.stdout
    rows = re.findall(r"^(\d+),smTea,base,(\S+?),(\S+)$", done.stdout, re.MULTILINE)
    assert [int(step) for step, _, _ in rows] == list(range(1, 34))
    temperature = 90.0
    for step, time, shown in rows:
        assert (float(time), float(shown)) == ((int(step) - 1) * 0.5, pytest.approx(temperature, rel=1e-12))
        temperature -= 0.5 * (temperature - 21.0) / (40.0 if int(step) >= 32 else 12.0)
    assert f"{others + 2} runs checked, 0 faults found, 0 repaired." in done.stdout
    assert "not replayed" not in done.stdout
    clean_up(folder, house)
    assert names(folder) == before


def test_a_researcher_runs_an_experiment_through_a_crash(folder: Path, house: House) -> None:
    before = names(folder)
    script = commands("You have a script").replace("curl -s", "curl -sSf")
    done = bash(script, folder, **house.variables)
    assert done.returncode == 0, done.stderr + done.stdout
    # The first of these lines was seen before the kill, the rest after it.
    assert re.search(r'"timestamp":[1-9]', done.stdout.partition("data: ")[0])
    told = [json.loads(text) for text in re.findall(r"^data: (.*)$", done.stdout, re.MULTILINE)]
    assert told[-1]["attempt"] == house.attempts
    assert (told[-1]["state"], told[-1]["progress"]["simulation_time"]) == ("completed", 200.0)
    assert done.stdout.endswith("simulation time is up\n")
    assert list((folder / house.working).iterdir()) == []
    assert list((folder / "room" / ".perdure" / "results").iterdir())
    clean_up(folder, house)
    assert names(folder) == before


def test_a_programmer_of_molecules_solves_a_network(folder: Path, house: House) -> None:
    before = names(folder)
    (solve, over_http) = (block for kind, block in PARTS["You have a network"] if kind == "bash")
    ((_, shown),) = (block for block in PARTS["You have a network"] if block[0] == "text")
    solved = bash(solve, folder, **house.variables)
    assert solved.returncode == 0, solved.stderr
    assert solved.stdout.startswith(shown)
    assert (folder / "pictures" / "configuration-1.svg").exists()
    done = bash(as_lines(over_http), folder, **house.variables)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"error"' not in done.stdout
    result = done.stdout.strip().splitlines()[-1]
    assert '"state":"completed","outcome":"succeeded"' in result
    assert '"status":"COMPLETE"' in result
    assert '"optimum":2' in result
    clean_up(folder, house)
    assert names(folder) == before


def test_the_files_of_bptks_tutorial_move_over_with_the_one_command_and_survive_a_crash(
    folder: Path, house: House
) -> None:
    for name in "application.py", "model.py":
        shutil.copy(TUTORIAL / f"{name}.in", folder / name)
    before = names(folder)
    done = bash(as_lines(commands("You have a BPTK server")), folder, **house.variables)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '{"msg":"session started"}' in done.stdout
    (first, second) = re.findall(
        r'^{"sddsl_customer_acquisition":{"interactive_scenario":(.*)}}$', done.stdout, re.MULTILINE
    )
    assert json.loads(first) == {"customers": {"1.0": 0.0}, "word_of_mouth_success": {"1.0": 0.01}}
    # What the tutorial shows for this step.
    assert json.loads(second) == {"customers": {"2.0": 1000.0}, "word_of_mouth_success": {"2.0": 0.7}}
    for name in "application.py", "model.py":
        was = (TUTORIAL / f"{name}.in").read_text()
        assert (folder / name).read_text() == was.replace("BPTK_Py", "perdure.bptk")
    assert list((folder / "state").glob("*.json"))
    clean_up(folder, house)
    assert names(folder) - {"model.py"} == before - {"model.py"}


def test_the_script_of_the_bptk_example_runs_with_what_make_serve_set_up(folder: Path) -> None:
    port = free_port()
    script = """
        examples/bptk/run_server.sh & SERVER=$!
        curl -sS --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:5000/scenarios
        kill $SERVER; wait
    """
    no_perdure = folder / "bin"  # a python3 without Perdure, as a machine has it
    no_perdure.mkdir()
    (no_perdure / "python3").write_text("#!/bin/sh\necho no module named uvicorn >&2\nexit 1\n")
    (no_perdure / "python3").chmod(0o755)
    path = f"{no_perdure}{os.pathsep}{os.environ['PATH']}"
    done = bash(script, folder, port=port, PORT=str(port), PATH=path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "interactive_scenario" in done.stdout


@pytest.mark.parametrize("page", ["binding-networks.md", "sessions.md", "state.md", "system-dynamics.md"])
def test_the_python_in_the_docs_runs(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text()
    code = "\n".join(block for _, block in re.findall(r"```(python)\n(.*?)```", text, re.DOTALL))
    path = tmp_path / "page.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_scenario_file_in_the_docs_is_served(folder: Path) -> None:
    text = (ROOT / "docs" / "sessions.md").read_text()
    definition, *_ = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "bath.json").write_text(definition)
    (folder / "models").mkdir()
    (folder / "models" / "bath.py").write_text(
        "from tests.support.small import bath\n\nsimulation_model = bath()\n"
    )
    shutil.copytree(ROOT / "tests" / "support", folder / "tests" / "support")
    script = """
        .venv/bin/perdure serve & SERVER=$!
        curl -sS --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:5000/models/bath
        kill $SERVER
    """
    done = bash(script, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"fast"' in done.stdout
