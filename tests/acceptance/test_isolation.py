"""Scripts and tasks of one owner attack the server and another owner, on a server with PERDURE_RUN_AS."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from tests.support.experiment_runs import ended, files, made, put, scripted, send
from tests.support.other_users import executing, free_ids, needs_root, open_folder
from tests.support.processes import until_gone
from tests.support.scenes import GREY, grey_experiment, pixels_of
from tests.support.server import Server, running
from tests.support.waiting import until

from perdure.settings import Settings

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="docs/security.md says what is weaker elsewhere"),
    needs_root,
]

ENGINE = """
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self.count = 0
        self._registerDataPack("count")
        self._setDataPack("count", {"n": 0})

    def runLoop(self, timestep):
        with open("large.bin", "ab") as large:
            large.write(bytes([self.count % 251]) * 3000)
        self.count += 1
        self._setDataPack("count", {"n": self.count})
"""
GROWING = {
    "simulation_config.json": json.dumps(
        {
            "SimulationTimeout": 3,
            "Savepoint": {"every": 0.1},
            "EngineConfigs": [
                {
                    "EngineName": "e",
                    "EngineType": "python_json",
                    "PythonFileName": "engine.py",
                    "EngineTimestep": 0.01,
                }
            ],
        }
    ).encode(),
    "engine.py": ENGINE.encode(),
    "main_script.py": b"""
import os
nrp.run_loop(100)
print("{", '"child":', os.getpid(), "}", sep="")
while True:
    nrp.run_loop(1)
""",
}

TASKS = """
import os
from pydantic import BaseModel
from perdure.tasks import Task

class Nothing(BaseModel):
    pass

class Who(BaseModel):
    user: int
    group: int
    groups: list[int]
    home: str

def who(asked, context):
    os.mkdir(os.path.join(os.environ["TMPDIR"], str(os.getpid())))
    return Who(user=os.getuid(), group=os.getgid(), groups=os.getgroups(), home=os.environ["HOME"])

WHO = Task(name="who", input=Nothing, result=Who, function=who)
"""

WAITING = """
import os, subprocess, sys
open("secret.txt", "w").write("of-bob")
# One that left its family and threw away its environment.
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
below = subprocess.Popen(sleeping, start_new_session=True, env={})
print("{", '"child":', os.getpid(), ', "guard":', os.getppid(), ', "below":', below.pid,
      ', "folder": "', os.getcwd(), '", "home": "', os.environ["HOME"], '"}', sep="")
while True:
    nrp.run_loop(1)
"""

ATTACK = """
import ctypes, json, os, signal, socket, subprocess, sys, tempfile
from pathlib import Path

given = json.loads(Path("given.json").read_text())
bob, server, store = given["bob"], given["server"], given["store"]

def connect():
    with socket.socket(socket.AF_UNIX) as it:
        it.connect(f"{store}.sock")

def become_root():
    os.setuid(0)

def link():
    os.link(given["tokens"], "linked")
    Path("linked").read_bytes()

def write_beside():
    Path("../place.json").write_text("{}")

def swap():
    os.rename("../files", "../moved")

attacks = {
    "open the socket": connect,
    "read the store": lambda: Path(store).read_bytes(),
    "write the store": lambda: open(store, "r+b"),
    "list the store's folder": lambda: os.listdir(Path(store).parent),
    "read the tokens": lambda: Path(given["tokens"]).read_bytes(),
    "link to the tokens": link,
    "read the server's environment": lambda: Path(f"/proc/{server}/environ").read_bytes(),
    "read the server's memory": lambda: open(f"/proc/{server}/mem", "rb"),
    "list the server's files": lambda: os.listdir(f"/proc/{server}/fd"),
    "read its guard's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "read another's environment": lambda: Path(f"/proc/{bob['child']}/environ").read_bytes(),
    "read another's memory": lambda: open(f"/proc/{bob['child']}/mem", "rb"),
    "list working folders": lambda: os.listdir(given["working"]),
    "enter another's run": lambda: os.listdir(Path(bob["folder"]).parent),
    "list another's folder": lambda: os.listdir(bob["folder"]),
    "read another's file": lambda: Path(bob["folder"], "secret.txt").read_bytes(),
    "list another's home": lambda: os.listdir(bob["home"]),
    "end the server": lambda: os.kill(server, signal.SIGKILL),
    "end its guard": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "end another's guard": lambda: os.kill(bob["guard"], signal.SIGKILL),
    "end another's script": lambda: os.kill(bob["child"], signal.SIGKILL),
    "stop another's group": lambda: os.killpg(bob["below"], signal.SIGSTOP),
    "become root": become_root,
    "change what is beside its folder": write_beside,
    "take its folder away": swap,
}
outcomes = {}
for name, attack in attacks.items():
    try:
        attack()
        outcomes[name] = "done"
    except OSError as error:
        outcomes[name] = type(error).__name__
shared = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir(), f"perdure-shared-{os.getpid()}")
shared.write_text("seen by nobody")
outcomes["mode of a file in /tmp"] = oct(shared.stat().st_mode & 0o777)
shared.unlink()
here = os.stat(".")
outcomes["user"] = [os.getuid(), os.getgid(), os.getgroups(), here.st_mode & 0o777, here.st_uid]
outcomes["no new privileges"] = ctypes.CDLL(None).prctl(39, 0, 0, 0, 0)
with tempfile.TemporaryFile() as own:
    own.write(b"its own")
Path("done.txt").write_text("written")
print(json.dumps(outcomes))
"""


@dataclass
class Isolated:
    """A server with two owners, each of whom has a client."""

    server: Server
    folder: Path
    ids: range
    ada: httpx.Client
    bob: httpx.Client

    @property
    def store(self) -> Path:
        return self.folder / "data" / "perdure.db"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with open_folder() as folder:
        (folder / "data").mkdir(mode=0o700)
        (folder / "tokens").write_text("ada:token-a\nbob:token-b\n")
        (folder / "tokens").chmod(0o600)
        (folder / "who_tasks.py").write_text(TASKS)
        yield folder


@pytest.fixture(scope="module")
def isolated(place: Path) -> Iterator[Isolated]:
    with serving(place, free_ids()) as it:
        yield it


@contextmanager
def serving(place: Path, ids: range) -> Iterator[Isolated]:
    environment = {
        "PERDURE_RUN_AS": f"{ids[0]}-{ids[-1]}",
        "PERDURE_WORKING_FOLDERS": str(place / "working"),
    }
    options = ("--tokens-file", str(place / "tokens"), "--tasks", str(place / "who_tasks.py"))
    store = place / "data" / "perdure.db"
    with running(store, "perdure.examples:catalogue", environment, options, executing()) as server:
        with client(server, "token-a") as ada, client(server, "token-b") as bob:
            yield Isolated(server, place, ids, ada, bob)
        if server.process.poll() is None:
            assert server.stop() == 0


def client(server: Server, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=90)


def printed(client: httpx.Client, run_id: str) -> Any:
    """Return what a run printed as JSON, when it is there."""

    def found() -> str | None:
        texts = [line["text"] for line in client.get(f"/runs/{run_id}/logs").json()["lines"]]
        for text in texts:
            if text.startswith("{"):
                return text
        assert client.get(f"/runs/{run_id}").json()["state"] == "started", texts
        return None

    return json.loads(until(found))


def who(client: httpx.Client) -> dict[str, Any]:
    run = client.post("/runs", json={"kind": "task", "task": "who", "input": {}}).json()
    told = ended(client, run["id"])
    assert told["state"] == "completed", told
    found: dict[str, Any] = client.get(f"/runs/{run['id']}/result").json()["result"]
    return found


def test_a_script_can_attack_neither_the_server_nor_another_owner(isolated: Isolated) -> None:
    waiting = scripted(isolated.bob, "waiting", WAITING)
    put(isolated.bob, waiting, "started")
    bob = printed(isolated.bob, waiting)
    given = {
        "bob": bob,
        "server": isolated.server.process.pid,
        "store": str(isolated.store),
        "tokens": str(isolated.folder / "tokens"),
        "working": str(isolated.folder / "working"),
    }
    run_id = scripted(isolated.ada, "attack", ATTACK, **{"given.json": json.dumps(given).encode()})
    put(isolated.ada, run_id, "started")
    found = printed(isolated.ada, run_id)
    assert ended(isolated.ada, run_id)["state"] == "completed"
    user, group, groups, mode, owner = found.pop("user")
    assert user == group == owner
    assert user in isolated.ids
    assert (groups, mode) == ([], 0o700)
    assert found.pop("no new privileges") == 1
    assert found.pop("mode of a file in /tmp") == "0o600"
    assert set(found.values()) == {"PermissionError"}, found
    assert files(isolated.ada, run_id)["done.txt"] == b"written"
    assert "linked" not in files(isolated.ada, run_id)
    assert isolated.bob.get(f"/runs/{waiting}").json()["state"] == "started"
    # Limits, pauses and ends act on another user's processes as they do on our own.
    put(isolated.bob, waiting, "paused")
    put(isolated.bob, waiting, "stopped")
    assert all(until_gone(bob[name]) for name in ("child", "guard", "below"))
    assert files(isolated.bob, waiting)["secret.txt"] == b"of-bob"


def test_each_owner_has_an_id_of_its_own(isolated: Isolated) -> None:
    first = who(isolated.ada), who(isolated.bob), who(isolated.ada)
    assert first[0]["user"] == first[2]["user"]
    assert first[0]["user"] != first[1]["user"]
    for one in first:
        assert one["user"] == one["group"]
        assert one["user"] in isolated.ids
        assert one["groups"] == []
        assert Path(one["home"]).name.startswith(f"owner.{one['user']}.")


def test_scenes_are_drawn_by_processes_of_their_owner(isolated: Isolated) -> None:
    uid = GREY.replace("self.count % 256", "os.getuid() % 256").replace(
        "import gymnasium", "import os\nimport gymnasium"
    )
    experiment = send(isolated.ada, "scene", grey_experiment("nrp.run_loop(1)\n", uid))
    run = made(isolated.ada, experiment)["id"]
    picture = isolated.ada.get(f"/runs/{run}/scene")
    assert picture.status_code == 200, picture.text
    drawer = set(pixels_of(picture.content).ravel().tolist())
    assert drawer == {who(isolated.ada)["user"] % 256}
    assert isolated.bob.get(f"/runs/{run}/scene").status_code == 404
    put(isolated.ada, run, "stopped")


def test_what_a_run_left_in_its_home_is_removed_with_it(isolated: Isolated) -> None:
    first, second = who(isolated.ada), who(isolated.ada)
    assert first["home"] != second["home"]
    for one in (first, second):
        assert Path(one["home"]).parent.exists()
        assert not Path(one["home"]).exists()


def test_a_file_that_engines_write_is_whole_after_the_process_was_killed(isolated: Isolated) -> None:
    """The folder of the attempt before is another user's, and goes all the same when it isn't needed."""
    run_id = made(isolated.ada, send(isolated.ada, "growing", GROWING))["id"]
    put(isolated.ada, run_id, "started")
    os.kill(printed(isolated.ada, run_id)["child"], signal.SIGKILL)
    told = ended(isolated.ada, run_id)
    assert (told["state"], told["attempt"]) == ("completed", 2), told
    expected = b"".join(bytes([number % 251]) * 3000 for number in range(300))
    assert files(isolated.ada, run_id)["large.bin"] == expected


def test_nothing_of_a_guard_that_was_killed_is_left(isolated: Isolated) -> None:
    run_id = scripted(isolated.bob, "unguarded", WAITING)
    put(isolated.bob, run_id, "started")
    was = printed(isolated.bob, run_id)
    os.kill(was["guard"], signal.SIGKILL)
    assert all(until_gone(was[name]) for name in ("child", "below"))
    put(isolated.bob, run_id, "stopped")


def test_each_owner_has_the_same_id_after_a_crash_and_nothing_runs_on(place: Path) -> None:
    with open_folder() as folder:
        shutil.copytree(
            place, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("working", "perdure.db*")
        )
        ids = free_ids(20)[10:]  # the other server has those before
        with serving(folder, ids) as first:
            users = who(first.bob)["user"], who(first.ada)["user"]
            waiting = scripted(first.bob, "waiting", WAITING)
            put(first.bob, waiting, "started")
            was = printed(first.bob, waiting)
            os.kill(was["guard"], signal.SIGSTOP)  # it can't tidy up
            first.server.kill()
        os.kill(was["guard"], signal.SIGKILL)
        with serving(folder, ids) as second:
            assert until_gone(was["below"])
            assert (who(second.bob)["user"], who(second.ada)["user"]) == users
            put(second.bob, waiting, "stopped")


@pytest.mark.parametrize(
    ("run_as", "said"),
    [
        ("0-0", "1000"),
        ("500-2000", "1000"),
        ("300-200", "1000"),
        ("200000", "200000-265535"),
        ("a-b", "200000-265535"),
        ("-1-5", "200000-265535"),
    ],
)
def test_a_range_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, run_as: str, said: str) -> None:
    monkeypatch.setenv("PERDURE_RUN_AS", run_as)
    with pytest.raises(ValidationError, match=said):
        Settings()


def test_what_other_users_cannot_read_is_named_at_the_start() -> None:
    """A module that is loaded by the server, in a folder that only root can enter."""
    with open_folder() as folder:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        (closed / "closed_models.py").write_text("from perdure.examples import catalogue\n")
        environment = {
            **os.environ,
            "PERDURE_RUN_AS": "{0}-{0}".format(free_ids(1000)[-1]),
            "PERDURE_WORKING_FOLDERS": str(folder / "working"),
            "PYTHONPATH": f"{closed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        command = [sys.executable, "-m", "perdure", "serve", "closed_models:catalogue", "--port", "0"]
        done = subprocess.run(
            [*executing(), *command, "--store", "memory://"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert f"{closed}/closed_models.py" in done.stderr
        assert f"chmod o+x {closed}" in done.stderr.splitlines()[-1]


def test_two_servers_never_share_user_ids(isolated: Isolated) -> None:
    environment = {**os.environ, "PERDURE_RUN_AS": f"{isolated.ids[-1]}-{isolated.ids[-1] + 5}"}
    command = [sys.executable, "-m", "perdure", "serve", "--port", "0", "--store", "memory://"]
    done = subprocess.run([*executing(), *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "a range of its own" in done.stderr.splitlines()[-1]


PRYING = """
import json, os, subprocess, sys

found = {}
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/SERVER/{name}", "rb").read(1)
        found[name] = "done"
    except OSError as error:
        found[name] = type(error).__name__
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(json.dumps({"found": found, "below": below.pid, "guard": os.getppid()}))
while True:
    nrp.run_loop(1)
"""


def test_a_script_with_the_servers_own_user_id_cannot_read_its_memory() -> None:
    """And the server, which is closed to its user, still finds what a guard that was killed left."""
    with open_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o700)
        user = free_ids(99)[-1]
        os.chown(data, user, user)
        prefix = [*executing(), "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        with (
            running(data / "perdure.db", "perdure.examples:catalogue", {"HOME": "/"}, (), prefix) as server,
            httpx.Client(base_url=server.url, timeout=90) as anybody,
        ):
            run_id = scripted(anybody, "prying", PRYING.replace("SERVER", str(server.process.pid)))
            put(anybody, run_id, "started")
            was = printed(anybody, run_id)
            assert set(was["found"].values()) == {"PermissionError"}, was
            os.kill(was["guard"], signal.SIGKILL)
            assert until_gone(was["below"])
            put(anybody, run_id, "stopped")
