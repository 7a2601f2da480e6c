"""Servers with an adapter, over HTTP: a full disk is a 503, two share a folder, another takes over."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.adapters import Client, FaultyAdapter, TutorialAdapter
from tests.support.mirrored import bath_with_curve

from perdure.bptk import BptkServer, FileAdapter
from perdure.dialects.bptk.external_state import ExternalStateAdapter

BEGIN = {
    "scenario_managers": ["bath"],
    "scenarios": ["base", "full"],
    "equations": ["water", "inflow"],
    "seed": 5,
}


def body(step: int) -> dict[str, Any]:
    constants = {"constants": {"tap": 1.0 + step / 7}} if step % 2 else {"points": {"curve": [[0, step]]}}
    return {"settings": {"bath": {"base": constants}}} if step % 3 else {}


def ask(client: Any, instance: str, step: int, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    given = body(step)
    url = f"/{instance}/run-step"
    return client.post(url, json=given, headers=headers) if given else client.post(url, headers=headers)


def begun(client: Any) -> str:
    instance: str = client.post("/start-instance").get_json()["instance_uuid"]
    assert client.post(f"/{instance}/begin-session", json=BEGIN).status_code == 200
    return instance


def server(adapter: ExternalStateAdapter | None, externalize: bool = False) -> BptkServer:
    return BptkServer(
        "test", bath_with_curve, external_state_adapter=adapter, externalize_state_completely=externalize
    )


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with server(None).test_client() as client:
        instance = begun(client)
        return [ask(client, instance, step).get_json() for step in range(1, 13)]


class Disk:
    """A disk that can be full: then every fsync fails."""

    def __init__(self) -> None:
        self.full = threading.Event()
        self._fsync = os.fsync

    def fsync(self, file: int) -> None:
        if self.full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(file)


@pytest.mark.parametrize("externalize", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_every_step_that_a_full_disk_refuses_is_a_503_and_is_taken_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: list[Any],
    compress: bool,
    externalize: bool,
) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with server(FileAdapter(compress, tmp_path), externalize).test_client() as client:
        instance = begun(client)
        answers = []
        for step in range(1, 13):
            if step in (3, 4, 9):
                former = (tmp_path / f"{instance}.json").read_bytes()
                disk.full.set()
                for attempt in range(3):
                    refused = ask(client, instance, step, key=f"key-{step}")
                    assert refused.status_code == 503, (step, attempt)
                    assert "No space left" in refused.get_json()["error"]
                assert client.post("/start-instance").status_code == 503
                assert (tmp_path / f"{instance}.json").read_bytes() == former
                disk.full.clear()
            answers.append(ask(client, instance, step, key=f"key-{step}").get_json())
        assert answers == undisturbed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("externalize", [False, True])
def test_a_request_repeated_with_its_key_is_right_whether_or_not_the_adapter_had_saved(
    undisturbed: list[Any], after: bool, externalize: bool
) -> None:
    adapter = FaultyAdapter()
    with server(adapter, externalize).test_client() as client:
        instance = begun(client)
        answers = []
        for step in range(1, 13):
            if step % 4 == 0:
                adapter.fail_after, adapter.fail_before = after, not after
                assert ask(client, instance, step, key=f"key-{step}").status_code == 503
                adapter.fail_after = adapter.fail_before = False
            answers.append(ask(client, instance, step, key=f"key-{step}").get_json())
        assert answers == undisturbed


def test_two_servers_share_a_folder_and_answer_like_one(tmp_path: Path, undisturbed: list[Any]) -> None:
    adapters = [FileAdapter(number == 0, tmp_path) for number in range(2)]
    with (
        server(adapters[0], True).test_client() as one,
        server(adapters[1], True).test_client() as two,
    ):
        instance = begun(one)
        clients = [two, one, one, two]
        answers = [ask(clients[step % 4], instance, step).get_json() for step in range(1, 13)]
        assert answers == undisturbed
        assert two.post(f"/{instance}/stop-instance").status_code == 200
        assert ask(one, instance, 1).status_code == 404
        assert sorted(path.name for path in tmp_path.iterdir()) == [".perdure.lock"]


@pytest.mark.parametrize("externalize", [False, True])
@pytest.mark.parametrize("kind", ["plain files", "compressed files", "the tutorial's"])
def test_another_server_takes_over_before_every_step(
    tmp_path: Path, undisturbed: list[Any], kind: str, externalize: bool
) -> None:
    database = Client()

    def another() -> BptkServer:
        if kind == "the tutorial's":
            return server(TutorialAdapter(False, database), externalize)
        return server(FileAdapter(kind == "compressed files", tmp_path), externalize)

    with another().test_client() as client:
        instance = begun(client)
    answers = []
    for step in range(1, 13):
        with another().test_client() as client:
            answers.append(ask(client, instance, step, key=f"key-{step}").get_json())
        with another().test_client() as client:
            assert ask(client, instance, step, key=f"key-{step}").get_json() == answers[-1]
    assert answers == undisturbed
