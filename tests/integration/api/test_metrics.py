"""Metrics: tasks, experiments, answers over HTTP, queue and store, and each of them is documented."""

import re
from pathlib import Path

from tests.support.in_process import TASKS, Client, in_process

from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

PAGE = Path(__file__).parents[3] / "docs" / "http.md"


def samples(client: Client) -> dict[str, float]:
    """Return each sample, its labels included, and its value."""
    text = client.get("/metrics").raise_for_status().text
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def exposed(client: Client) -> dict[str, tuple[str, str]]:
    """Return of each metric its type and what it says of itself."""
    text = client.get("/metrics").text
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    types = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {
        name.removesuffix("_total"): (kind, helps[name])
        for name, kind in types
        if not name.endswith("_created")
    }


def test_the_page_lists_every_metric_that_is_exposed_and_no_other() -> None:
    section = PAGE.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in section.splitlines()]
    documented = {row[0]: (row[1], row[3]) for row in rows[2:] if len(row) == 4 and row[0] != "metric"}
    documented.pop("---", None)
    with in_process() as client:
        assert exposed(client) == documented


def run_of(client: Client, task: str, numbers: object) -> str:
    body = {"kind": "task", "task": task, "input": numbers}
    run: str = client.post("/runs", json=body).raise_for_status().json()["id"]
    return run


def test_the_ends_of_tasks_are_counted_by_outcome(tmp_path: Path) -> None:
    settings = Settings(store="memory://", tasks=(TASKS,), max_task_processes=1)
    with in_process(settings) as client:
        before = samples(client)
        assert before['perdure_queue_runs{kind="task",state="waiting"}'] == 0
        ended = run_of(client, "add", {"numbers": [1, 2]})
        client.get(f"/runs/{ended}/events")  # it is there when the task has ended
        paused = run_of(client, "add", {"numbers": list(range(3))})
        client.put(f"/runs/{paused}/state", json={"state": "paused"})
        after = samples(client)
        assert after['perdure_runs_ended_total{kind="task",outcome="succeeded"}'] >= 1
        assert after['perdure_attempts_total{kind="task"}'] >= 1
        assert sum(after[f'perdure_queue_runs{{kind="task",state="{state}"}}'] for state in STATES) <= 1
        client.put(f"/runs/{paused}/state", json={"state": "stopped"})
        client.get(f"/runs/{paused}/events")
        ends = {name: value for name, value in samples(client).items() if "perdure_runs_ended_total" in name}
        assert sum(ends.values()) == 2


STATES = ("waiting", "working", "paused")


def test_answers_are_counted_by_method_and_status() -> None:
    with in_process() as client:
        for _ in range(3):
            client.get("/runs/unknown")
        client.request("BREW", "/runs")
        client.get("/nothing/run-step")
        found = samples(client)
        assert found['perdure_http_answers_total{method="GET",status="404"}'] >= 3
        assert found['perdure_http_answers_total{method="other",status="405"}'] == 1
        assert found["perdure_http_answer_seconds_count"] == 5


def test_the_store_says_what_it_committed_and_how_large_it_is(tmp_path: Path) -> None:
    with in_process(store=SqliteStore(tmp_path / "perdure.db")) as client:
        run = client.post("/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}}).json()["id"]
        before = samples(client)["perdure_store_changes_total"]
        client.post(f"/runs/{run}/steps", json={"steps": 5})
        found = samples(client)
        assert found["perdure_store_changes_total"] - before == 5
        assert found["perdure_store_waiting"] == 0
        commits = found["perdure_store_commit_seconds_count"]
        assert commits >= 2
        assert found['perdure_store_commit_seconds_bucket{le="+Inf"}'] == commits
        files = {"database": tmp_path / "perdure.db", "log": tmp_path / "perdure.db-wal"}
        for name, path in files.items():
            assert found[f'perdure_store_bytes{{file="{name}"}}'] == path.stat().st_size
