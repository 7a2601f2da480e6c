"""Engines in processes of their own: in parallel, gone with their parent, and clear when they die."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.support.experiments import HEAD, script_engine, started, write
from tests.support.processes import process_of

from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.drivers.experiments.member import isolated_engine
from perdure.errors import EngineCrashed, InvalidDataPack, MissingExtra, NotSnapshotable, ScriptFailed
from perdure.execution.isolated_engine import IsolatedEngine

PID = (
    HEAD
    + """
import os
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("pid")
        self._setDataPack("pid", os.getpid())
    def runLoop(self, timestep_ns):
        {body}
    def shutdown(self):
        pass
"""
)


def isolated(folder: Path, body: str = "pass", **keys: Any) -> IsolatedEngine:
    write(folder, a__py=PID.replace("{body}", body))
    configuration = EngineConfiguration(
        name="a", type="python_json", timestep=Fraction(1, 100), isolated=True, script="a.py", **keys
    )
    engine = isolated_engine(configuration, folder, 1)
    engine.initialize({})
    return engine


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_isolated_engine_is_another_process_that_close_ends(tmp_path: Path) -> None:
    engine = isolated(tmp_path)
    pid = engine.start["pid"]
    assert pid != os.getpid() and alive(pid)
    engine.step({})
    assert (engine.time, engine.finished) == (0.01, False)
    engine.close()
    assert not alive(pid)
    engine.close()


def test_two_isolated_engines_step_at_the_same_time(tmp_path: Path) -> None:
    # Each waits for the other one in the middle of its step.
    meeting = (
        HEAD
        + """
import os
class Script(EngineScript):
    def initialize(self):
        if self._name == "a":
            os.mkfifo("a_to_b")
            os.mkfifo("b_to_a")
    def runLoop(self, timestep_ns):
        if self._name == "a":
            with open("a_to_b", "w") as out: out.write("x")
            with open("b_to_a") as into: assert into.read() == "y"
        else:
            with open("a_to_b") as into: assert into.read() == "x"
            with open("b_to_a", "w") as out: out.write("y")
"""
    )
    write(tmp_path, a__py=meeting, b__py=meeting)
    engines = [script_engine("a", Isolated=True), script_engine("b", Isolated=True)]
    made = started(tmp_path, {"EngineConfigs": engines})
    for _ in range(3):
        made.step()
    made.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("os.kill(os.getpid(), 9)", "the engine 'a' ended before its answer: it was killed by SIGKILL"),
        ("os._exit(7)", "it exited with 7"),
    ],
)
def test_a_crash_is_told_in_the_step_it_happens_in(tmp_path: Path, body: str, says: str) -> None:
    write(tmp_path, a__py=PID.replace("{body}", body))
    made = started(tmp_path, {"EngineConfigs": [script_engine("a", Isolated=True)]})
    with pytest.raises(EngineCrashed, match=says):
        made.step()
    made.close()


def test_an_engine_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    engine = isolated(tmp_path, "import signal; signal.pause()", command_timeout=0.2)
    pid = engine.start["pid"]
    with pytest.raises(EngineCrashed, match=r"longer than 0\.2 s \(EngineCommandTimeout\)"):
        engine.step({})
    assert not alive(pid)
    engine.close()


def test_errors_come_over_as_they_are(tmp_path: Path) -> None:
    engine = isolated(tmp_path, "self.pair = {1, 2}")
    with pytest.raises(InvalidDataPack, match="Did you mean 'pid'") as refused:
        engine.validate({"pidd": 1})
    assert refused.value.values["engine"] == "a"
    with pytest.raises(InvalidDataPack, match=r"its data is a builtins\.object"):
        engine.step({"pid": object()})
    engine.step({})
    with pytest.raises(NotSnapshotable, match="attribute 'pair'"):
        engine.snapshot()
    engine.close()
    failing = isolated(tmp_path, "1 / 0")
    with pytest.raises(ScriptFailed, match=r"at a\.py, line 9: ZeroDivisionError"):
        failing.step({})
    failing.close()


def test_what_can_not_be_started_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a__py=PID.replace("{body}", "pass"), b__py="import nothing_like_it\n")
    started_processes: list[Any] = []
    real = subprocess.Popen

    def popen(*args: Any, **kwargs: Any) -> Any:
        started_processes.append(real(*args, **kwargs))
        return started_processes[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    engines = [script_engine("a", Isolated=True), script_engine("b", Isolated=True)]
    with pytest.raises(ScriptFailed, match="nothing_like_it"):
        started(tmp_path, {"EngineConfigs": engines})
    assert len(started_processes) == 2
    assert all(process.returncode is not None for process in started_processes)


PARENT = """
import sys, time
from fractions import Fraction
from pathlib import Path
from tests.support.experiments import script_engine, started
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    made = started(folder, {"EngineConfigs": [script_engine("a", Isolated=True)]})
    print(made._members["a"].answers["pid"], flush=True)
    made.step()
"""


ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("body", ["pass", "import signal; signal.pause()"])
def test_an_isolated_engine_ends_with_a_killed_parent(tmp_path: Path, body: str) -> None:
    write(tmp_path, a__py=PID.replace("{body}", body), parent__py=PARENT + "    sys.stdin.read()\n")
    # A pipe that only the engine's process still holds once the parent is gone: it closes when that ends.
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as errors,
        process_of(
            [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writing,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as parent,
    ):
        os.close(writing)
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdin.close()
        assert errors.read() == b""  # end of file: nobody holds it any more


def test_a_missing_package_is_told_from_another_process(tmp_path: Path) -> None:
    write(
        tmp_path,
        sitecustomize__py="import sys\nsys.modules['mujoco'] = None\n",
        world__xml="<mujoco/>",
        a__py="""from nrp_core.engines.py_sim import PySimEngineScript
class Script(PySimEngineScript): pass
""",
    )
    configuration = EngineConfiguration(
        name="a",
        type="py_sim",
        timestep=Fraction(1, 100),
        isolated=True,
        script="a.py",
        simulator="Mujoco",
        world="world.xml",
    )
    engine = isolated_engine(configuration, tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        with pytest.raises(MissingExtra, match=r"pip install 'perdure\[mujoco\]'"):
            engine.initialize({})
    engine.close()
