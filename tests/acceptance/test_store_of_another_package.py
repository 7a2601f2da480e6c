"""A store of another package, installed beside Perdure, is served and looked after as Perdure's own are."""

from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH, fails, perdure
from tests.support.packages import install
from tests.support.server import running

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}, "seed": 1}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install("perdure-directory-store", tmp_path_factory.mktemp("installed"))


def stepped(url: str, run: str, step: int) -> dict[str, object]:
    """Take the step of a number, under a key of its own."""
    answer = httpx.post(
        f"{url}/runs/{run}/steps",
        json={"expected_step": step},
        headers={"Idempotency-Key": f"step-{step}"},
    )
    assert answer.status_code == 200, answer.text
    taken: dict[str, object] = answer.json()
    return taken


def test_it_is_served_through_a_crash_to_the_same_numbers_and_examined(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    store = f"directory://{tmp_path}/our%20runs?copies=1"
    folder = tmp_path / "our runs"
    with running(store, BATH, installed) as server:
        run = httpx.post(f"{server.url}/runs", json=NEW).raise_for_status().json()["id"]
        answered = [stepped(server.url, run, step) for step in (1, 2, 3)]
        assert f'perdure_store_bytes{{file="database"}} {(folder / "current.db").stat().st_size}' in (
            httpx.get(f"{server.url}/metrics").text.replace(".0\n", "\n")
        )
        assert (folder / "current.db.sock").is_socket()
        server.kill()
    with running(store, BATH, installed) as server:
        assert stepped(server.url, run, 3) == {**answered[2], "replayed": True}
        stepped(server.url, run, 4)
        shown = httpx.get(f"{server.url}/runs/{run}/results").raise_for_status().json()
        served = perdure("runs", "list", "--store", store, **installed)  # by the server's socket
        assert run in served.stdout, served.stderr
        assert server.stop() == 0
    water = 5.0
    for value in shown["results"]["bath"]["base"]["values"]["water"]:
        assert value == water
        water += 2.0 - water * 0.1
    examined = perdure("doctor", "--store", store, "--models", BATH, **installed)
    assert examined.stdout.endswith("1 runs checked, 0 faults found, 0 repaired.\n"), examined.stderr
    assert [path.name for path in folder.glob("copy-*.db")] == ["copy-000002.db"]


def test_an_option_that_it_has_not_and_a_store_that_is_not_there_are_refused(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    missing = f"directory://{tmp_path}/none"
    fails(perdure("runs", "list", "--store", missing, **installed), f"There is no store at {missing}")
    wrong = f"{missing}?copy=1"
    fails(perdure("runs", "list", "--store", wrong, **installed), "has no option 'copy'; it has copies")
    assert not (tmp_path / "none").exists()
