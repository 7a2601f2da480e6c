"""A run of an experiment that has begun goes on only with the versions that it has begun with."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tests.support.experiment_runs import EMPTY
from tests.support.in_process import Client, in_process
from tests.support.zips import zip_of

from perdure import numerics
from perdure.drivers.experiments import requirements
from perdure.numerics import fingerprint
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

SCRIPT = b"import helper\n"
FILES = {**EMPTY, "main_script.py": SCRIPT, "helper.py": b"print('helped')\n"}


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Client]:
    with in_process(Settings(store="memory://", **settings), SqliteStore(folder)) as client:
        yield client


def test_a_run_says_what_computes_it_and_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = requirements.python_version()
    with serving(tmp_path) as client:
        headers = {"Content-Type": "application/zip"}
        client.post("/experiments", params={"name": "helped"}, content=zip_of(FILES), headers=headers)
        made = client.post("/runs", json={"kind": "experiment", "experiment": "helped"}).json()
        assert made["sources"] == {name: hashlib.sha256(it).hexdigest() for name, it in FILES.items()}
        computed_by = made["computed_by"]
        assert len(computed_by.pop("sha256")) == 64
        assert computed_by == {
            "version": None,
            "engines": [],
            "packages": {"numpy": metadata.version("numpy")},
            "python": here,
            "numerics": fingerprint(),
            "earlier_numerics": [],
        }
        assert made["missing"] is None
    path = f"/runs/{made['id']}"
    monkeypatch.setattr(requirements, "python_version", lambda: "4.0")
    with serving(tmp_path) as client:
        waiting = client.get(path).json()
        assert f"It has begun with Python {here}; this server has Python 4.0." in waiting["missing"]
        started = client.put(f"{path}/state", json={"state": "started"}).json()
        assert (started["state"], started["desired"], started["attempt"]) == ("paused", "started", 1)
    monkeypatch.setattr(requirements, "python_version", lambda: here)
    with serving(tmp_path) as client:
        client.get(f"{path}/events")  # which last until it ends
        ended = client.get(path).json()
        assert (ended["state"], ended["attempt"], ended["missing"]) == ("completed", 2, None)
        lines = client.get(f"{path}/logs").json()["lines"]
        assert "helped" in [line["text"] for line in lines]


def test_a_run_waits_for_a_host_of_its_arithmetic_or_says_that_another_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "fingerprint", lambda: "a" * 16)
    with serving(tmp_path) as client:
        headers = {"Content-Type": "application/zip"}
        client.post("/experiments", params={"name": "helped"}, content=zip_of(FILES), headers=headers)
        made = client.post("/runs", json={"kind": "experiment", "experiment": "helped"}).json()
        assert made["computed_by"]["numerics"] == "a" * 16
    path = f"/runs/{made['id']}"
    monkeypatch.setattr(numerics, "fingerprint", lambda: "b" * 16)
    with serving(tmp_path) as client:
        waiting = client.get(path).json()
        assert f"numeric fingerprint {'a' * 16}, and this host has {'b' * 16}" in waiting["missing"]
        started = client.put(f"{path}/state", json={"state": "started"}).json()
        assert (started["state"], started["desired"], started["attempt"]) == ("paused", "started", 1)
    with serving(tmp_path, other_numerics=True) as client:
        client.get(f"{path}/events")  # which last until it ends
        ended = client.get(path).json()
        assert (ended["state"], ended["attempt"], ended["missing"]) == ("completed", 2, None)
        computed_by = ended["computed_by"]
        assert (computed_by["numerics"], computed_by["earlier_numerics"]) == ("b" * 16, ["a" * 16])
