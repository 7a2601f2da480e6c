"""Traces, by OpenTelemetry's own exporters: from a request to the process that works on its run."""

import asyncio
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.deaf import DeafStore
from tests.support.in_process import Client, in_process

from perdure import tracing
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.errors import MissingExtra, RunNotFound, StoreUnavailable
from perdure.execution.unplaced import Unplaced
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.settings import Settings
from perdure.stores.commands import Command, DeleteDocument, PutDocument, SetDesiredState
from perdure.stores.memory import MemoryStore
from perdure.testing.executors import Trial

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}
SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}

LOOK = """
import os

from pydantic import BaseModel

from perdure.tasks import Task


class Nothing(BaseModel):
    pass


class Seen(BaseModel):
    traceparent: str


def see(given, context):
    return Seen(traceparent=os.environ.get("TRACEPARENT", ""))


LOOK = Task(name="look", input=Nothing, result=Seen, function=see)
"""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    with tracing.processed_by(SimpleSpanProcessor(made)):
        yield made


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@contextmanager
def serving(store: MemoryStore, folder: Path) -> Iterator[Client]:
    (folder / "looking.py").write_text(LOOK)
    with in_process(Settings(store="memory://", tasks=(str(folder / "looking.py"),)), store) as client:
        yield client


def looked(client: Client) -> tuple[str, str]:
    """Have a task look for its trace; return its run, and what it saw."""
    made = client.post("/runs", json={"kind": "task", "task": "look", "input": {}}, headers=HEADERS).json()
    client.get(f"/runs/{made['id']}/events")  # lasts until it has ended
    return made["id"], client.get(f"/runs/{made['id']}/result").json()["result"]["traceparent"]


def path_to(spans: tuple[ReadableSpan, ...], name: str) -> list[str]:
    """Return the names from a span up to the client's, whose parent isn't among them."""
    by_id = {span.context.span_id: span for span in spans}
    (span,) = (span for span in spans if span.name == name)
    found = [span.name]
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        found.append(span.name)
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, CLIENT)
    return found


def test_a_step_is_traced_from_the_request_to_its_commit(
    exporter: InMemorySpanExporter, store: MemoryStore, tmp_path: Path
) -> None:
    with serving(store, tmp_path) as client:
        run = client.post("/runs", json=SESSION).json()["id"]
        exporter.clear()
        assert client.post(f"/runs/{run}/steps", json={"steps": 3}, headers=HEADERS).status_code == 200
    spans = exporter.get_finished_spans()
    (request,) = (span for span in spans if span.name == "POST")
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "url.path": f"/runs/{run}/steps",
        "http.response.status_code": 200,
    }
    (step,) = (span for span in spans if span.name == "step")
    assert dict(step.attributes or {}) == {"run": run, "steps": 3}
    commits = [span for span in spans if span.name == "commit"]
    assert commits
    for commit in commits:
        assert commit.parent is not None and commit.parent.span_id == step.context.span_id
    assert path_to(spans, "step") == ["step", "POST"]


def test_a_task_is_traced_from_the_request_to_its_process(
    exporter: InMemorySpanExporter, store: MemoryStore, tmp_path: Path
) -> None:
    with serving(store, tmp_path) as client:
        run, seen = looked(client)
        assert client.get(f"/runs/{run}").json()["state"] == "completed"
    spans = exporter.get_finished_spans()
    assert path_to(spans, "child") == ["child", "attempt task", "POST"]
    (attempt,) = (span for span in spans if span.name == "attempt task")
    assert dict(attempt.attributes or {}) == {"run": run, "kind": "task", "attempt": 1}
    assert seen == f"00-{TRACE}-{attempt.context.span_id:016x}-01"
    (child,) = (span for span in spans if span.name == "child")
    assert child.start_time is not None and child.end_time is not None
    assert (attempt.start_time or 0) < child.start_time < child.end_time < (attempt.end_time or 0)


def test_without_tracing_nothing_is_kept_or_passed_on(store: MemoryStore, tmp_path: Path) -> None:
    with serving(store, tmp_path) as client:
        run, seen = looked(client)
        assert seen == ""
        assert store.document("traces", run) is None
    assert tracing.span("a") is tracing.span("b", run="x") is tracing.server_span("c", HEADERS["traceparent"])


class UnwritableTraces(DeafStore):
    """A store that commits no document."""

    def submit(self, command: Command[Any]) -> Future[Any]:
        """Refuse documents."""
        if isinstance(command, PutDocument | DeleteDocument):
            raise StoreUnavailable(reason="its disk is full")
        return self.store.submit(command)


def test_a_task_is_accepted_and_deleted_though_its_trace_can_be_neither_kept_nor_forgotten(
    exporter: InMemorySpanExporter, store: MemoryStore
) -> None:
    unwritable = UnwritableTraces(store)
    registry = TaskRegistry(["tests.support.small_tasks"])
    tasks = Tasks(unwritable, registry, Unplaced(unwritable), Settings(store="memory://"))

    async def body() -> None:
        with tracing.server_span("POST", HEADERS["traceparent"]):
            created = await tasks.create("ann", NewTask.of("add", {"numbers": [1, 2]}))
        run = created.run.id
        assert store.run(run).state is RunStatus.CREATED
        assert store.document("traces", run) is None
        store.submit(PutDocument("traces", run, b"", None)).result()
        await tasks.delete("ann", run)
        with pytest.raises(RunNotFound):
            store.run(run)

    asyncio.run(body())


@pytest.mark.parametrize("ends", [DesiredState.STOPPED, DesiredState.FAILED])
def test_the_trace_of_a_run_that_ends_before_any_attempt_is_forgotten_also_by_who_does_not_trace(
    store: MemoryStore, ends: DesiredState
) -> None:
    executor = Unplaced(store)
    Trial(store, executor).create(do="echo", value=1)
    store.submit(PutDocument("traces", "run", HEADERS["traceparent"].encode(), None)).result()
    asyncio.run(executor.submit("run"))
    assert store.document("traces", "run") is not None
    store.submit(SetDesiredState("run", ends)).result()
    asyncio.run(executor.cancel("run"))
    assert store.run("run").state in FINAL
    assert store.document("traces", "run") is None


@pytest.mark.parametrize("parent", ["", "garbage", "00-0-0-00", f"ff-{TRACE}-{CLIENT}-01", "00-" + "é" * 55])
def test_a_malformed_parent_begins_a_trace(exporter: InMemorySpanExporter, parent: str) -> None:
    with tracing.server_span("a", parent):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_opentelemetry_is_not_imported_unless_it_is_configured() -> None:
    program = "import sys, perdure.api.server, perdure.worker; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"perdure\[otel\]"), tracing.exporting("http://127.0.0.1:1"):
        pass


def test_spans_arrive_at_a_collector_before_the_process_ends() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with tracing.exporting(f"http://127.0.0.1:{server.server_port}/"), tracing.span("outer"):
                pass
            assert not tracing.enabled()
        finally:
            server.shutdown()
            thread.join()
    ((path, body),) = received
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["outer"]
    assert {each.key: each.value.string_value for each in resource.resource.attributes}[
        "service.name"
    ] == "perdure"
