"""Code of owners on a real server looks for its secrets: in environments, command lines and open files."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.experiment_runs import ended, put, scripted
from tests.support.server import Server, running

from perdure.execution.environment import allowed

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/security.md says what is weaker elsewhere"
)

SECRETS = {
    "PERDURE_TOKENS": "ada:token-of-ada",
    "PERDURE_RESULT_EXPIRES": "299.75",  # as harmless as any setting, and none of a child's business
    "AWS_SECRET_ACCESS_KEY": "key-of-the-storage",
    "PGPASSWORD": "password-of-the-store",
    "DATABASE_URL": "postgresql://perdure:password-of-a-url@db/perdure",
    "WITH_BYTES": os.fsdecode(b"\xff-and-more"),
    "LICENSE_KEY": "licence-of-the-task",
}
NEEDED = {
    "OMP_NUM_THREADS": "1",
    "TZ": "Europe/Prague",
    "LC_TIME": "C",
    "PYTHONUTF8": "1",
    "MUJOCO_GL": "egl",
}

LOOKING = """
import json, os
from pathlib import Path

def seen(pid):
    found = {}
    for name in ("environ", "cmdline"):
        try:
            found[name] = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="surrogateescape")
        except PermissionError:
            found[name] = ""
    return found

def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

chain = [os.getpid()]
while chain[-1] != SERVER:
    chain.append(parent(chain[-1]))
files = {}
for link in Path("/proc/self/fd").iterdir():
    try:
        files[link.name] = os.readlink(link)
    except FileNotFoundError:
        pass
print(json.dumps({
    "environment": dict(os.environ), "processes": {pid: seen(pid) for pid in chain}, "files": files,
}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "curious_tasks.py").write_text(TASKS)
    options = ("--tasks", str(folder / "curious_tasks.py"))
    with running(
        folder / "perdure.db", "perdure.examples:catalogue", {**SECRETS, **NEEDED}, options, ()
    ) as it:
        yield it


@pytest.fixture(scope="module")
def ada(server: Server) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer token-of-ada"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=240) as client:
        yield client


def printed(client: httpx.Client, run_id: str) -> dict[str, object]:
    """Return what a run printed as JSON."""
    lines = client.get(f"/runs/{run_id}/logs").json()["lines"]
    found: dict[str, object] = next(json.loads(it["text"]) for it in lines if it["text"].startswith("{"))
    return found


def test_a_script_finds_no_secret_in_any_process_from_its_own_to_the_server(
    server: Server, ada: httpx.Client
) -> None:
    run_id = scripted(ada, "looking", LOOKING.replace("SERVER", str(server.process.pid)))
    put(ada, run_id, "started")
    assert ended(ada, run_id)["state"] == "completed"
    found = printed(ada, run_id)
    environment, processes = found["environment"], found["processes"]
    assert isinstance(environment, dict)
    assert isinstance(processes, dict)
    assert len(processes) == 3, "the script's, its guard's, the server's"
    for name, value in SECRETS.items():
        assert name not in environment
        assert value not in json.dumps(found, ensure_ascii=False), name
    assert {name: environment.get(name) for name in NEEDED} == NEEDED
    seen = json.dumps([environment, *list(processes.values())[:2]])
    assert "perdure.db" not in seen.replace("perdure.db.working/", ""), "it knows its own folder alone"


def test_a_child_inherits_no_file_of_the_server(server: Server, ada: httpx.Client) -> None:
    run_id = scripted(ada, "files", LOOKING.replace("SERVER", str(server.process.pid)))
    put(ada, run_id, "started")
    assert ended(ada, run_id)["state"] == "completed"
    files = printed(ada, run_id)["files"]
    assert isinstance(files, dict)
    assert not [name for name in files.values() if "perdure.db" in name and ".working" not in name]
    sockets = [name for name in files.values() if name.startswith("socket:")]
    assert len(sockets) == 1, "its pipe to the server"


TASKS = """
import os
from pydantic import BaseModel
from perdure.tasks import Task

class Asked(BaseModel):
    name: str

class Found(BaseModel):
    value: str | None

def look(asked, context):
    return Found(value=os.environ.get(asked.name))

LICENSED = Task(name="licensed", input=Asked, result=Found, function=look, environment=("LICENSE_KEY",))
PLAIN = Task(name="plain", input=Asked, result=Found, function=look)
"""


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("licensed", "LICENSE_KEY", "licence-of-the-task"),
        ("licensed", "PGPASSWORD", None),
        ("plain", "LICENSE_KEY", None),
        ("plain", "PERDURE_TOKENS", None),
    ],
)
def test_a_task_sees_the_variables_that_it_names_and_no_others(
    ada: httpx.Client, task: str, name: str, value: str | None
) -> None:
    run = ada.post("/runs", json={"kind": "task", "task": task, "input": {"name": name}}).json()
    assert ended(ada, run["id"])["state"] == "completed"
    assert ada.get(f"/runs/{run['id']}/result").json()["result"] == {"value": value}


def test_the_server_itself_has_its_variables_still(server: Server, ada: httpx.Client) -> None:
    """What is hidden from others was handed over: the token works, and a stranger's doesn't."""
    assert ada.get("/runs").status_code == 200
    assert httpx.get(f"{server.url}/runs").status_code == 401
    shown = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"PATH=" in shown
    assert not [name for name in SECRETS if name.encode() in shown]


def test_what_the_loader_and_the_allocator_are_told_holds_for_the_second_start_and_no_child() -> None:
    told = {"MALLOC_ARENA_MAX": "2", "LD_BIND_NOW": "1", "ASAN_OPTIONS": "halt_on_error=1"}
    done = _hidden(
        "from pathlib import Path; shown = Path('/proc/self/environ').read_bytes().decode().split('\\0')\n"
        "from perdure.cli.hiding import hide_secrets; hide_secrets()\n"
        "print(*sorted(shown), sep='\\n')",
        {**told, "SECRET": "hidden"},
    )
    shown = done.stdout.splitlines()
    assert {f"{name}={value}" for name, value in told.items()} <= set(shown), done.stderr
    assert "SECRET=hidden" not in shown
    assert allowed(told) == {}


@pytest.mark.parametrize("size", [1, 100_000, 1_000_000])
def test_the_hidden_variables_are_handed_over_in_pipes_whole(size: int) -> None:
    secrets = {f"SECRET_{part}": "x" * (size // 10 + 1) for part in range(10)}
    done = _hidden(
        "import os; given = os.environ.get('PERDURE_HANDED_OVER', '')\n"
        "kinds = {os.readlink(f'/proc/self/fd/{number}')[:5] for number in given.split(',') if number}\n"
        "from perdure.cli.hiding import hide_secrets; hide_secrets()\n"
        "left = [number for number in given.split(',') if os.path.exists(f'/proc/self/fd/{number}')]\n"
        "print(kinds, left, sum(len(os.environ[f'SECRET_{part}']) for part in range(10)))",
        secrets,
    )
    assert done.stdout == f"{{'pipe:'}} [] {sum(map(len, secrets.values()))}\n", done.stderr


def test_a_server_whose_variables_somebody_took_does_not_start_without_them() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from perdure.cli.hiding import hide_secrets; hide_secrets(); print('on')",
            ],
            env={**os.environ, "PERDURE_HANDED_OVER": str(reading)},
            pass_fds=(reading,),
            capture_output=True,
            text=True,
        )
    finally:
        os.close(reading)
    assert done.returncode == 1
    assert "another process took variables" in done.stderr
    assert done.stdout == ""


def _hidden(program: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program that hides its secrets."""
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


def test_other_processes_of_its_user_cannot_trace_or_dump_the_server() -> None:
    get_dumpable = 3
    program = (
        "import ctypes, os; from perdure.cli.hiding import hide_secrets; hide_secrets()\n"
        f"print(ctypes.CDLL(None).prctl({get_dumpable}), os.environ['SECRET'])"
    )
    environment = {**os.environ, "SECRET": "kept"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "0 kept\n", done.stderr
