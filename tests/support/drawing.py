"""An experiment that draws, logs and prints on its way, and all that a kill must not change of its run."""

import json
from typing import Any

import httpx
from tests.support.experiment_runs import example, files

NEWEST = 3000  # lines that are compared; what is written past Python may come in another order


def files_of(name: str, seconds: float, savepoint: float) -> dict[str, bytes]:
    """Return an example that takes so long, in simulated time, and logs what it draws on the way."""
    found = example(name)
    config = json.loads(found["simulation_config.json"])
    config |= {"SimulationTimeout": seconds, "Savepoint": {"every": savepoint}}
    script = (
        "import os, random\n"
        "try:\n"
        "    while True:\n"
        "        nrp.run_loop(random.randint(1, 20))\n"
        "        file_logger.info('%r at %r', random.random(), nrp.simulation_time)\n"
        "        print('printed at', nrp.simulation_time)\n"
        "        os.write(1, f'written at {nrp.simulation_time}\\n'.encode())\n"
        "except NRPSimulationTimeout:\n"
        "    file_logger.info('simulation time is up')\n"
    )
    return {**found, "simulation_config.json": json.dumps(config).encode(), "main_script.py": script.encode()}


def outcome(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    """Return what a run came to that has ended: all that a kill must not change."""
    found = {key: run[key] for key in ("state", "outcome", "reason")}
    time = run["progress"]["simulation_time"]
    return {**found, "time": time, "files": files(client, run["id"]), "lines": said(client, run["id"])}


def said(client: httpx.Client, run_id: str) -> tuple[int, list[str], list[str]]:
    """Return how many lines a run wrote in all, and the last: by Python in one order, past it in another."""
    page = client.get(f"/runs/{run_id}/logs", params={"limit": 10_000}).json()["lines"]
    numbers = [line["number"] for line in page]
    assert numbers == list(range(numbers[0], numbers[0] + len(page)))
    texts = [line["text"] for line in page]
    written = [text for text in texts if text.startswith("written")]
    told = [text for text in texts if not text.startswith("written")]
    return numbers[-1], told[-NEWEST:], written[-NEWEST:]
