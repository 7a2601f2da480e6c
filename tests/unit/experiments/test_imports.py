"""What a simulation server imports before it knows its experiment: the less, the sooner it is there."""

import subprocess
import sys

ELSEWHERE = (
    "anyio",
    "apsw",
    "asyncio",
    "fastapi",
    "fsspec",
    "gymnasium",
    "httpx",
    "importlib.metadata",
    "mujoco",
    "pandas",
    "perdure.engines.system_dynamics",
    "perdure.scenarios",
    "pydantic",
    "rich",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
)


def test_a_simulation_server_imports_nothing_that_only_others_use() -> None:
    code = (
        "import sys\n"
        "import perdure.execution.child\n"
        "from perdure.drivers.experiments.body import engine_kinds\n"
        "assert 'system_dynamics' in engine_kinds() and 'python_json' in engine_kinds()\n"
        "print(*sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()).isdisjoint(ELSEWHERE)
