"""A store that was damaged between two servers: what is damaged is named, and the rest is served."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from tests.support.experiment_runs import ended, put, scripted
from tests.support.served import Served, served
from tests.support.waiting import until

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}
TASK = {"kind": "task", "task": "stable_configurations", "input": {"monomers": [["a"]]}}
STEPS = 10
MANY = 120  # runs, so that they fill several pages


def stepped(client: httpx.Client) -> str:
    """Make a session with steps; return its id."""
    run_id: str = client.post("/runs", json=SESSION).json()["id"]
    answer = client.post(f"/runs/{run_id}/steps", json={"steps": STEPS})
    assert answer.status_code == 200, answer.text
    return run_id


def finished(client: httpx.Client) -> str:
    """Make a task, and return its id when it has completed."""
    run_id: str = client.post("/runs", json=TASK).json()["id"]
    assert ended(client, run_id)["state"] == "completed"
    return run_id


def simulated(client: httpx.Client, name: str) -> str:
    """Make an experiment that prints three lines, and return its id when it has ended."""
    run_id = scripted(client, name, "for number in range(3):\n    print(number)\n    nrp.run_loop(1)\n")
    put(client, run_id, "started")
    with client.stream("GET", f"/runs/{run_id}/events") as events:
        for line in events.iter_lines():
            if '"state":"completed"' in line:
                break
    put(client, run_id, "stopped")
    return run_id


def checked(server: Served) -> list[str]:
    """Return what the check of the whole store tells, which the administrator may ask for."""
    assert server.administrator is not None
    transport = httpx.HTTPTransport(uds=str(server.administrator))
    with httpx.Client(base_url="http://localhost", transport=transport, timeout=240) as administrator:
        answer = administrator.post("/check")
    assert answer.status_code == 200, answer.text
    problems: list[str] = answer.json()["problems"]
    return problems


class Damaged:
    """A server on the damaged store, and what was made by the one before."""

    def __init__(self, server: Served, client: httpx.Client, made: dict[str, str]) -> None:
        self.server = server
        self.client = client
        self.made = made

    def error(self, path: str, status: int = 500) -> str:
        """Ask for what is damaged; return the answer's text."""
        answer = self.client.get(path.format_map(self.made))
        assert answer.status_code == status, (path, answer.text)
        return answer.text

    def right(self, path: str) -> Any:
        """Ask for what is whole; return the answer's JSON."""
        answer = self.client.get(path.format_map(self.made))
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()


def damage(file: Path, made: dict[str, str]) -> None:
    """Damage some of what was made, each in a way of its own."""
    with closing(apsw.Connection(str(file))) as connection:
        of = "run = (SELECT number FROM runs WHERE id = ?)"
        for sql, name in (
            (f"DELETE FROM steps WHERE position = 4 AND {of}", "steps"),
            (f"DELETE FROM steps WHERE position = 4 AND {of}", "bptk"),
            (f"DELETE FROM results WHERE {of}", "lost result"),
            (f"UPDATE results SET result = zeroblob(length(result)) WHERE {of}", "changed result"),
            (f"DELETE FROM results WHERE {of}", "stableconfigs"),
            (f"DELETE FROM log_lines WHERE number = 2 AND {of}", "lines"),
            (f"DELETE FROM steps WHERE position = 1 AND {of}", "trajectory"),
            ("UPDATE runs SET created = created + 1 WHERE id = ?", "record"),
        ):
            connection.execute(sql, (made[name],))
            assert connection.changes() == 1, name
        connection.pragma("wal_checkpoint(TRUNCATE)")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    folder = tmp_path_factory.mktemp("damaged")
    made = {}
    with served(folder) as server, server.client() as client:
        for name in ("steps", "whole", "record"):
            made[name] = stepped(client)
        for name in ("lost result", "changed result", "whole task"):
            made[name] = finished(client)
        for name in ("lines", "trajectory", "whole experiment"):
            made[name] = simulated(client, name)
        made["stableconfigs"] = client.post("/task", json={"monomers": [["a"]]}).json()["task_id"]
        until(lambda: client.get(f"/status/{made['stableconfigs']}").status_code == 200)
        made["instance"] = client.post("/start-instance").json()["instance_uuid"]
        session = {
            "scenario_managers": ["bath"],
            "scenarios": ["base"],
            "equations": ["water"],
        }
        assert client.post(f"/{made['instance']}/begin-session", json=session).status_code == 200
        assert client.post(
            f"/{made['instance']}/run-steps", json={"settings": {}, "numberSteps": STEPS}
        ).is_success
        made["bptk"] = client.get("/runs", params={"kind": "session", "limit": 1}).json()["runs"][0]["id"]
    damage(folder / "perdure.db", made)
    with served(folder) as server, server.client() as client:
        yield Damaged(server, client, made)


@pytest.mark.parametrize(
    "path", ["/runs/{steps}/steps", "/runs/{steps}/results", "/runs/{steps}/results?format=csv"]
)
def test_steps_with_a_gap_are_an_error_that_names_the_step(damaged: Damaged, path: str) -> None:
    assert "step 4" in damaged.error(path)
    damaged.right("/runs/{whole}/steps")


def test_results_of_bptk_sessions_with_a_gap_are_an_error_that_names_the_step(damaged: Damaged) -> None:
    for route in ("session-results", "flat-session-results"):
        assert "step 4" in damaged.error(f"/{{instance}}/{route}")


@pytest.mark.parametrize("name", ["lost result", "changed result"])
def test_a_damaged_result_of_a_task_is_no_empty_result(damaged: Damaged, name: str) -> None:
    assert "result" in damaged.error(f"/runs/{{{name}}}/result")
    assert damaged.right("/runs/{whole task}/result")["result"] is not None


def test_a_completed_task_whose_result_is_lost_has_not_timed_out(damaged: Damaged) -> None:
    told = damaged.error("/status/{stableconfigs}")
    assert "TimedOut" not in told
    assert "result" in told


def test_a_lost_line_is_named(damaged: Damaged) -> None:
    assert "line 2" in damaged.error("/runs/{lines}/logs")
    damaged.right("/runs/{whole experiment}/logs")


def test_a_trajectory_with_a_gap_is_an_error_that_names_the_step(damaged: Damaged) -> None:
    assert "step 1" in damaged.error("/runs/{trajectory}/trajectory")


def test_a_damaged_run_is_left_out_of_lists_and_named_when_it_is_asked_for(damaged: Damaged) -> None:
    listed = [run["id"] for run in damaged.right("/runs?limit=1000")["runs"]]
    assert damaged.made["record"] not in listed
    assert damaged.made["whole"] in listed
    assert "record of the run" in damaged.error("/runs/{record}")
    assert damaged.client.get("/ready").status_code == 200


def test_the_check_names_all_that_is_damaged(damaged: Damaged) -> None:
    told = checked(damaged.server)
    for name in ("record", "lost result", "changed result", "stableconfigs"):
        assert any(damaged.made[name] in problem for problem in told), (name, told)
    for name in ("steps", "bptk", "trajectory", "lines"):
        report = damaged.client.post(f"/runs/{damaged.made[name]}/check", json={"repair": False})
        assert report.status_code == 200, (name, report.text)
        assert report.json()["findings"] or any(damaged.made[name] in problem for problem in told), name


def test_a_bad_page_of_runs_leaves_the_others_listed_and_is_named_by_the_check(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        runs = [client.post("/runs", json=SESSION).json()["id"] for _ in range(MANY)]
    file = tmp_path / "perdure.db"
    with closing(apsw.Connection(str(file))) as connection:
        connection.pragma("wal_checkpoint(TRUNCATE)")
        size = connection.pragma("page_size")
    data = file.read_bytes()
    wanted = runs[MANY // 2].encode()
    (bad,) = [
        at for at in range(size, len(data), size) if data[at] == 0x0D and wanted in data[at : at + size]
    ]
    lost = {run for run in runs if run.encode() in data[bad : bad + size]}
    assert 0 < len(lost) < MANY
    with file.open("r+b") as opened:
        opened.seek(bad)
        opened.write(b"\xff" * size)
    with served(tmp_path) as server, server.client() as client:
        answer = client.get("/runs", params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        assert {run["id"] for run in answer.json()["runs"]} == set(runs) - lost
        refused = client.get(f"/runs/{runs[MANY // 2]}")
        assert refused.status_code == 500, refused.text
        assert checked(server)
