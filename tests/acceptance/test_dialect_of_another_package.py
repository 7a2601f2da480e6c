"""A dialect of another package, installed beside Perdure, is served as Perdure's own are."""

from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH
from tests.support.packages import install
from tests.support.server import running


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install("perdure-rounds", tmp_path_factory.mktemp("installed"))


def test_it_is_served_with_its_own_errors_tokens_and_document_through_a_crash(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    environment = {**installed, "PERDURE_TOKENS": "ann:one,bob:two"}
    ann = {"Authorization": "Bearer one"}
    with running(tmp_path / "s.db", BATH, environment) as server:
        with httpx.Client(base_url=server.url, headers=ann) as client:
            begun = client.post("/games", json={"manager": "bath", "scenario": "base", "watch": ["water"]})
            game = begun.json()["game"]
            assert client.post(f"/games/{game}/rounds").json() == {"round": 1, "values": {"water": 5.0}}
            second = client.post(f"/games/{game}/rounds", headers={"Idempotency-Key": "second"})
            assert second.json() == {"round": 2, "values": {"water": 6.5}}
            assert client.get(f"/runs/{game}").json()["step"] == 2
            described = client.get("/openapi.json").json()["paths"]["/games/{game}/rounds"]["post"]
            assert described["tags"] == ["Rounds"]
            assert described["security"] == [{"token": []}]
            for path, body, status, words in (
                ("/games", {"manager": "bath"}, 400, "names of a manager and a scenario"),
                ("/games", {"manager": "bath", "scenario": "x"}, 410, "'x'"),
                ("/games/none/rounds", None, 410, "none"),
                ("/games/none/nothing", None, 404, "/games/none/nothing"),
            ):
                wrong = client.post(path, json=body)
                assert wrong.status_code == status
                assert wrong.json().keys() == {"sorry"}
                assert words in wrong.json()["sorry"]
        assert httpx.get(f"{server.url}/games/rules").status_code == 200
        assert httpx.post(f"{server.url}/games").json()["sorry"].startswith("A token is needed.")
        other = httpx.post(f"{server.url}/games/{game}/rounds", headers={"Authorization": "Bearer two"})
        assert other.status_code == 410
        server.kill()
    with running(tmp_path / "s.db", BATH, environment) as server:
        again = httpx.post(f"{server.url}/games/{game}/rounds", headers={**ann, "Idempotency-Key": "second"})
        assert again.content == second.content
        assert server.stop() == 0
