"""`perdure serve --workers` on PostgreSQL: any process answers any request for any run, instance and task."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH
from tests.support.in_process import TASKS
from tests.support.server import running

SECONDS = 240.0


@pytest.fixture
def server(postgres: str, tmp_path: Path) -> Iterator[str]:
    environment = {
        "PERDURE_STORE": postgres,
        "PERDURE_ARTIFACTS": str(tmp_path / "artifacts"),
        "PERDURE_ARTIFACTS_SHARED": "yes",
        "PERDURE_WORKING_FOLDERS": str(tmp_path / "working"),
        "PERDURE_TASKS": TASKS,
    }
    with running(postgres, BATH, environment, ("--workers", "2")) as started:
        yield started.url
        assert started.stop() == 0


class Answers:
    """Asks with a new connection each time, until each of the processes has answered often enough."""

    def __init__(self, url: str, processes: int) -> None:
        self._url, self._processes = url, processes
        self.of: dict[str, int] = {}

    def ask(self, method: str, path: str, **given: object) -> httpx.Response:
        """Ask once; the first part of a request's id is that of the process."""
        with httpx.Client(base_url=self._url, timeout=SECONDS) as client:
            answer = client.request(method, path, **given)
        process = answer.headers["X-Request-ID"].partition("-")[0]
        self.of[process] = self.of.get(process, 0) + 1
        return answer

    def by_each(self, method: str, path: str, **given: object) -> Iterator[httpx.Response]:
        """Yield answers until each process has given one of them."""
        before = dict(self.of)
        while True:
            yield self.ask(method, path, **given)
            news = [count for process, count in self.of.items() if count > before.get(process, 0)]
            if len(news) == self._processes:
                return


def test_each_process_answers_for_every_session_instance_and_task(server: str) -> None:
    answers = Answers(server, 2)
    run = answers.ask(
        "POST", "/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}, "seed": 7}
    ).json()
    steps = [
        answer.json()["steps"][0]
        for answer in answers.by_each("POST", f"/runs/{run['id']}/steps", json={"steps": 1})
    ]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    for answer in answers.by_each("GET", f"/runs/{run['id']}"):
        assert answer.json()["step"] == len(steps)

    instance = answers.ask("POST", "/start-instance").json()["instance_uuid"]
    session = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"]}
    assert answers.ask("POST", f"/{instance}/begin-session", json=session).is_success
    for answer in answers.by_each("POST", f"/{instance}/run-step"):
        assert answer.is_success, answer.text

    task = answers.ask(
        "POST", "/runs", json={"kind": "task", "task": "add", "input": {"numbers": [1, 2]}}
    ).json()
    answers.ask("GET", f"/runs/{task['id']}/events")  # lasts until it has ended
    for answer in answers.by_each("GET", f"/runs/{task['id']}/result"):
        assert answer.json()["result"]["total"] == 3

    key = {"Idempotency-Key": "once"}
    made = {
        answer.json()["id"]
        for answer in answers.by_each(
            "POST", "/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}}, headers=key
        )
    }
    assert len(made) == 1
    assert len(answers.of) == 2
