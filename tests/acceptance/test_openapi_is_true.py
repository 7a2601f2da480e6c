"""The OpenAPI document is true: generated requests, right and wrong, get what it says they get."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis import Case
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from tests.support.experiment_runs import EMPTY, ended, made, put, send
from tests.support.served import Served, served
from tests.support.zips import PENDULUM, zip_of

from perdure.api.app import TAGS, create_app
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

TOKEN = "a-token-for-tests"
TASKS = "tests.support.small_tasks:ADD"
TASK = {"kind": "task", "task": "add", "input": {"numbers": [1, 2, 3]}}
SESSION = {"kind": "session", "scenarios": {"bath": ["base"], "extremes": ["base"]}}

schemathesis.serializer.alias("application/zip", "application/octet-stream")

generated = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("server")
    with served(folder, "memory://", tokens=f"tester:{TOKEN}", max_runs=200_000, tasks=TASKS) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client(TOKEN) as made:
        yield made


@cache
def document() -> dict[str, Any]:
    """Return the document of an app like the one served."""
    like_served = Settings(tokens={"tester": (SecretStr(TOKEN),)})
    described = create_app(MemoryStore(), Catalogue(), like_served).openapi()
    # Dialects take what the systems took that they stand in for; their tests say what that is.
    described["paths"] = {
        path: item
        for path, item in described["paths"].items()
        if all(operation["tags"][0] in TAGS for operation in item.values())
    }
    return described


@cache
def schema(**generation: Any) -> schemathesis.BaseSchema:
    """Return the document, with how requests are generated for it."""
    config = schemathesis.Config.from_dict({"generation": {"deterministic": True, **generation}})
    return schemathesis.openapi.from_dict(document(), config=config)


class Operation(NamedTuple):
    """One operation. Its requests are generated when they are sent: for all operations, that takes long."""

    method: str
    path: str

    def right(self, send: Callable[[Case], None]) -> None:
        """Send generated requests that are right."""
        self._send(schema(mode="positive"), send)

    def right_and_wrong(self, send: Callable[[Case], None]) -> None:
        """Send generated requests of all kinds."""
        self._send(schema(), send)

    def _send(self, described: schemathesis.BaseSchema, send: Callable[[Case], None]) -> None:
        chosen = described.include(method=self.method, path=self.path)
        ((_, test),) = (
            made.ok()
            for made in get_all_tests(schema=chosen, test_func=send, settings=generated, given_kwargs=None)
        )
        test()


def operations(pattern: str = "", but: str = "nothing") -> pytest.MarkDecorator:
    """Give a test each operation whose method and path have a pattern, and not another one."""
    found = [Operation(method.upper(), path) for path, item in document()["paths"].items() for method in item]
    chosen = [each for each in found if re.search(pattern, " ".join(each))]
    chosen = [each for each in chosen if not re.search(but, " ".join(each))]
    return pytest.mark.parametrize("operation", chosen, ids=" ".join)


@operations(but="^GET /events$")
def test_every_answer_is_as_documented(operation: Operation, server: Served) -> None:
    operation.right_and_wrong(lambda case: call_and_validate(case, server))


@operations("^GET /events$")
def test_every_answer_that_has_no_end_begins_as_documented(operation: Operation, server: Served) -> None:
    def send(case: Case) -> None:
        request = case.as_transport_kwargs(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"})
        given = {name: request[name] for name in ("method", "url", "params", "headers", "cookies")}
        with httpx.stream(**given, timeout=240) as stream:
            content = next(stream.iter_raw()) if stream.status_code == 200 else stream.read()
        answer = httpx.Response(
            stream.status_code, headers=stream.headers, content=content, request=stream.request
        )
        answer.elapsed = stream.elapsed
        case.validate_response(answer, excluded_checks=[ignored_auth])  # the token was added above

    operation.right_and_wrong(send)


@operations("run_id")
def test_every_answer_about_a_real_run_is_as_documented(
    operation: Operation, server: Served, client: httpx.Client
) -> None:
    def send(case: Case) -> None:
        run_id = client.post("/runs", json=SESSION).json()["id"]
        client.post(f"/runs/{run_id}/steps", json={"steps": 3}).raise_for_status()
        if case.path.endswith("/events"):  # of a run that has ended, so that the stream ends
            client.put(f"/runs/{run_id}/state", json={"state": "stopped"}).raise_for_status()
        if isinstance(case.body, dict) and isinstance(case.body.get("settings"), dict):
            case.body = with_real_names(case.body)
        call_and_validate(case, server, run_id=run_id)

    operation.right(send)


@pytest.fixture(scope="module")
def task(client: httpx.Client) -> str:
    """A task that has ended."""
    run_id: str = client.post("/runs", json=TASK).raise_for_status().json()["id"]
    client.get(f"/runs/{run_id}/events").raise_for_status()
    return run_id


@operations("run_id", but="^DELETE")
def test_every_answer_about_a_real_task_is_as_documented(
    operation: Operation, server: Served, task: str
) -> None:
    operation.right(lambda case: call_and_validate(case, server, run_id=task))


@pytest.fixture(scope="module")
def simulated(client: httpx.Client) -> str:
    """A run of an experiment that has completed."""
    send(client, "short", {**EMPTY, "main_script.py": b"nrp.run_loop(10)\n"})
    run_id: str = made(client, "short")["id"]
    put(client, run_id, "started")
    assert ended(client, run_id)["state"] == "completed"
    return run_id


@operations("run_id", but="^DELETE|/fork$")
def test_every_answer_about_a_real_experiments_run_is_as_documented(
    operation: Operation, server: Served, simulated: str
) -> None:
    operation.right(lambda case: call_and_validate(case, server, run_id=simulated))


def test_a_fork_of_an_experiment_is_as_documented(
    server: Served, client: httpx.Client, simulated: str
) -> None:
    for body, status in ({}, 201), ({"savepoint": 0}, 201), ({"savepoint": 5}, 404), ({"step": 1}, 422):
        case = schema(mode="positive")["/runs/{run_id}/fork"]["POST"].Case(
            path_parameters={"run_id": simulated}, body=body, media_type="application/json"
        )
        response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == status
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        if status == 201:
            client.delete(f"/runs/{response.json()['id']}").raise_for_status()


@operations("^POST /runs$")
def test_every_answer_about_real_scenarios_is_as_documented(operation: Operation, server: Served) -> None:
    def send(case: Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("scenarios"), dict):
            case.body = {**case.body, "scenarios": SESSION["scenarios"]}
            if case.body.get("outputs"):
                case.body["outputs"] = ["water"]
        elif isinstance(case.body, dict) and case.body.get("kind") == "task":
            case.body = {**case.body, "task": "add"}
        call_and_validate(case, server)

    operation.right(send)


@operations(" /experiments/{name}")
def test_every_answer_about_a_real_experiment_is_as_documented(
    operation: Operation, server: Served, client: httpx.Client
) -> None:
    def send(case: Case) -> None:
        made = client.post(
            "/experiments?name=real", content=zip_of(PENDULUM), headers={"Content-Type": "application/zip"}
        )
        assert made.status_code in (200, 201, 409)  # 409: a file of it has been written before
        path = {"path": "main_script.py"} if case.method == "GET" and case.path.endswith("{path}") else {}
        call_and_validate(case, server, name="real", **path)

    operation.right(send)


def call_and_validate(case: Case, server: Served, **path_parameters: str) -> None:
    """Send a request, about what the parameters name, and compare the answer with the document."""
    if path_parameters:
        case.path_parameters = {**(case.path_parameters or {}), **path_parameters}
    response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {TOKEN}"})
    # What only the models and the limits can tell, no schema can: other codes aren't about a request's form.
    semantic = response.status_code in (412, 429) or (
        response.status_code == 422 and response.json()["error"]["code"] != "invalid_request"
    )
    case.validate_response(response, excluded_checks=[positive_data_acceptance] if semantic else [])


def with_real_names(body: dict[str, Any]) -> dict[str, Any]:
    """Put what is generated for any manager, scenario, constant and points under names that exist."""
    for scenarios in body["settings"].values():
        for given in scenarios.values() if isinstance(scenarios, dict) else ():
            if isinstance(given, dict):
                renamed = dict(given)
                for field, name in (("constants", "tap"), ("points", "curve")):
                    if isinstance(given.get(field), dict) and given[field]:
                        renamed[field] = {name: next(iter(given[field].values()))}
                return {**body, "settings": {"bath": {"base": renamed}}}
    return body
