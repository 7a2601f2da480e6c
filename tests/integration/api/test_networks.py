"""Binding networks over HTTP: checked while they are written, and drawn while they are solved."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from tests.integration.api.test_tasks import error, events, queue, until
from tests.support.served import ROOT, Served, served

GATE = {"monomers": ["a* b* >gate", "a >x", "b >y", "a b >z"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with served(folder, tasks="tests.support.small_tasks", max_task_processes=2) as running:
        yield running


def test_a_network_is_checked_without_a_run(client: httpx.Client) -> None:
    answer = client.post("/networks/check", json={"monomers": "a b >m\na*", "constraints": "FREE m"})
    assert answer.json() == {
        "syntax": "stableconfigs",
        "monomers": 2,
        "sites": 3,
        "domains": 2,
        "constraints": 1,
        "error": None,
    }
    assert client.get("/runs").json()["runs"] == []


def test_the_example_of_the_docs_is_answered_as_they_say(server: Served) -> None:
    page = (ROOT / "docs" / "binding-networks.md").read_text()
    part = page[page.index("## Over HTTP") : page.index("\n## Errors")]
    (command,) = re.findall(r"```console\n\$ (.*?)```", part, re.DOTALL)
    (expected,) = re.findall(r"```json\n(.*?)```", part, re.DOTALL)
    script = command.strip().replace("http://127.0.0.1:5000", server.url)
    done = subprocess.run(["bash", "-c", f"{script} -sS"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(expected)


def test_what_a_task_has_found_is_drawn(client: httpx.Client) -> None:
    run_id = queue(client, "stable_configurations", {**GATE, "gen": 2})
    list(events(client, run_id))
    result = client.get(f"/runs/{run_id}/result").json()["result"]
    assert result["count"] == 2
    for number in (1, 2):
        answer = client.get(f"/runs/{run_id}/configurations/{number}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ElementTree.fromstring(answer.text).tag == "{http://www.w3.org/2000/svg}svg"
    error(client.get(f"/runs/{run_id}/configurations/3"), 404, "configuration_not_found")
    error(client.get(f"/runs/{run_id}/configurations/0"), 422, "invalid_request")


def test_names_in_a_picture_are_text(client: httpx.Client) -> None:
    run_id = queue(client, "stable_configurations", {"monomers": ["<script>alert(1)</script> >\"onload='x'"]})
    list(events(client, run_id))
    svg = client.get(f"/runs/{run_id}/configurations/1").text
    tags = {each.tag.rpartition("}")[2] for each in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "desc", "rect", "text", "tspan", "g", "path"}


def test_another_task_has_no_configurations(client: httpx.Client) -> None:
    run_id = queue(client, "add", {"numbers": [1]})
    list(events(client, run_id))
    error(client.get(f"/runs/{run_id}/configurations/1"), 409, "wrong_kind")


def test_what_there_is_of_a_result_is_read_while_the_task_is_at_work(
    client: httpx.Client, tmp_path: Path
) -> None:
    run_id = queue(client, "spin", {})
    until(client, run_id, progress={"spinning": True})
    error(client.get(f"/runs/{run_id}/result"), 409, "task_unfinished")
    error(client.get(f"/runs/{run_id}/result?partial=false"), 409, "task_unfinished")
    error(client.get(f"/runs/{run_id}/result?partial=maybe"), 422, "invalid_request")
    answer = client.get(f"/runs/{run_id}/result?partial=true").json()
    assert answer == {
        "id": run_id,
        "state": "started",
        "outcome": None,
        "reason": "",
        "result": {"total": 1, "added": 1, "attempt": 1},
    }
    assert client.put(f"/runs/{run_id}/state", json={"state": "stopped"}).status_code == 200
    assert client.get(f"/runs/{run_id}/result").json()["result"] == answer["result"]
