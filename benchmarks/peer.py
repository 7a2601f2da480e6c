"""bptk-py, the peer whose work Perdure takes over: whether it is there, and its server as a process.

As a command, ``python -m benchmarks.peer [FOLDER]`` serves the 15-element model with `BptkServer`: with a
folder, its `FileAdapter` keeps all state there; without, nothing is saved. The server is the threaded one of
werkzeug, which `BptkServer.run` starts.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from benchmarks.models import MANAGER, OUTPUTS, SCENARIO, endemic
from benchmarks.servers import Server, started

__all__ = ["library", "name", "new_session", "serving", "take_steps", "there"]


def there() -> bool:
    """Return whether bptk-py and what its server needs are installed."""
    return all(importlib.util.find_spec(module) is not None for module in ("BPTK_Py", "flask"))


def name() -> str:
    """Return what it is called in the table."""
    return f"bptk-py {version('bptk-py')}" if there() else "peers"


def library(module: str = "BPTK_Py") -> Any:
    """Return a module of it, or of what its server needs; they have no types."""
    return importlib.import_module(module)


@contextmanager
def serving(folder: Path, state: Path | None = None) -> Iterator[Server]:
    """Run its server; with a folder for state, each request loads and saves all of it."""
    with started(["-m", "benchmarks.peer", *([] if state is None else [str(state)])], folder) as server:
        yield server


def new_session(server: Server) -> str:
    """Make an instance with a session on the 15-element model; return the path to which steps are posted."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        instance = client.post("/start-instance").raise_for_status().json()["instance_uuid"]
        body = {"scenario_managers": [MANAGER], "scenarios": [SCENARIO], "equations": OUTPUTS}
        client.post(f"/{instance}/begin-session", json=body).raise_for_status()
    return f"/{instance}/run-step"


def take_steps(server: Server, path: str, count: int) -> None:
    """Take many steps in one request."""
    body = {"numberSteps": count, "settings": {}}
    taken = httpx.post(f"{server.url}{path}s", json=body, timeout=300).raise_for_status().json()
    assert len(taken) == count, "it answers errors with an empty list"


def _factory() -> Any:
    made = library().bptk()
    made.register_scenario_manager(
        {MANAGER: {"model": endemic(library().Model), "scenarios": {SCENARIO: {}}}}
    )
    return made


def _serve(state: str | None) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    adapter = (
        None
        if state is None
        else library("BPTK_Py.externalstateadapter").FileAdapter(compress=False, path=state)
    )
    app = library("BPTK_Py.server").BptkServer(
        __name__, _factory, adapter, externalize_state_completely=adapter is not None
    )
    server = library("werkzeug.serving").make_server("127.0.0.1", 0, app, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1] if len(sys.argv) > 1 else None)
