"""What a simulation warns of once is not warned of again when it resumes."""

import json
from pathlib import Path

import httpx
from tests.support.experiment_runs import Signal, ended, kill_simulation, lines, made, put, send
from tests.support.served import served

ENGINE = """
import json, time, warnings
import numpy as np
from nrp_core.engines.python_json import EngineScript

class Odd(UserWarning):
    pass

class Script(EngineScript):
    def initialize(self):
        self.n = 0
        self._registerDataPack("when")
        STUBBORN
    def runLoop(self, timestep_ns):
        self.n += 1
        self._setDataPack("when", time.time())
        np.log(np.float64(0.0))
        warnings.warn("NAME is odd", Odd)
        for line in 1, 2:
            warnings.warn_explicit("NAME only once", Odd, "lib.py", line, registry={})
        found = vars(json).setdefault("__warningregistry__", {})
        warnings.warn_explicit("NAME in a library", UserWarning, "lib.py", 3, registry=found)
        if self.n == 4:
            warnings.filterwarnings("ignore", message="NAME is loud")
        warnings.warn(f"NAME is loud {self.n}")
"""
STATUS = """
import warnings
from nrp_core import *
from nrp_core.data.nrp_json import *
@StatusFunction()
def status():
    warnings.warn("nothing is left")
    return False, []
"""
SCRIPT = """
import functools, logging, warnings
warnings.filterwarnings("once", message=".* only once")
warnings.filterwarnings("module", message="once here")

@functools.cache
def say(text):
    print(text)

def warn():
    warnings.warn("once here")
    warnings.warn("once here")
    warnings.warn("script only once")
    warnings.warn("script only once")
    say("cached")

for i in range(5):
    nrp.run_loop(3)
    warn()
    if i == 3:
        warnings.simplefilter("always")
    if i == 2:
        SIGNALS
file_logger.info("ended")
"""


def test_what_is_warned_of_once_is_not_warned_of_again_by_a_run_that_was_killed(tmp_path: Path) -> None:
    here, go = Signal(tmp_path / "here"), Signal(tmp_path / "go")
    kinds = {"a": False, "b": True, "c": False}
    engines = [
        {
            "EngineName": name,
            "EngineType": "python_json",
            "PythonFileName": f"{name}.py",
            "Isolated": isolated,
        }
        for name, isolated in kinds.items()
    ]
    sources = {}
    for name in kinds:  # c can't be saved, and is replayed, with the clock as it was read
        text = ENGINE.replace("NAME", name).replace("STUBBORN", "self.kept = object()" if name == "c" else "")
        sources[f"{name}.py"] = text.encode()
    config = {
        "EngineConfigs": engines,
        "StatusFunction": {"Name": "status", "FileName": "status.py"},
        "Savepoint": {"every": 0.02},
    }
    signals = f"{here.code.strip()}; open({str(go.path)!r}).close()"
    files = {
        "simulation_config.json": json.dumps(config).encode(),
        "main_script.py": SCRIPT.replace("SIGNALS", signals).encode(),
        "status.py": STATUS.encode(),
        **sources,
    }

    def said(client: httpx.Client, kills: int) -> list[str]:
        run_id = made(client, "warner", seed=1)["id"]
        put(client, run_id, "started")
        for _ in range(kills):
            here.wait()
            kill_simulation(tmp_path, run_id)
        here.wait()
        go.path.write_text("")
        assert ended(client, run_id)["state"] == "completed", lines(client, run_id)
        # The lines of an isolated engine come by another way, in an order of their own.
        texts = [text.replace(f"{tmp_path}", "") for text in lines(client, run_id)]
        return sorted(text.rpartition("/")[2] for text in texts)

    with served(tmp_path) as server, server.client() as client:
        send(client, "warner", files)
        undisturbed = said(client, 0)
        once = [text for text in undisturbed if "only once" in text or "once here" in text]
        assert sum("is odd" in text and "Odd:" in text for text in undisturbed) > 2
        assert sum("Warning: nothing is left" in text for text in undisturbed) >= 1, undisturbed
        assert once and "cached" in undisturbed
        assert said(client, 2) == undisturbed
