"""The code in docs/external-state.md runs, and its adapters do what the page says."""

import asyncio
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.mirrored import Inside
from tests.support.small import NEW

from perdure.errors import ExternalStateUnavailable
from perdure.run import Key

PAGE = Path(__file__).parents[3] / "docs" / "external-state.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"__name__": "application"}
    for block in blocks():
        exec(compile(block, str(PAGE), "exec"), found)
    return found


class Rows:
    """A database's client as the page presumes it."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def save(self, *, key: str, data: str) -> None:
        self.rows[key] = data

    def read(self, *, key: str) -> str | None:
        return self.rows.get(key)

    def delete(self, *, key: str) -> None:
        self.rows.pop(key, None)


def test_the_first_example_is_a_server_that_writes_files(names: dict[str, Any], tmp_path: Path) -> None:
    with names["application"].test_client() as client:
        started = client.post("/start-instance").get_json()["instance_uuid"]
        body = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"]}
        assert client.post(f"/{started}/begin-session", json=body).status_code == 200
        answer = client.post(f"/{started}/run-step").get_json()
        assert answer == {"bath": {"base": {"water": {"1.0": 0.0}}}}
        assert (tmp_path / "state" / f"{started}.json").exists()


def test_the_example_for_a_client_holds_sessions(names: dict[str, Any]) -> None:
    async def body() -> None:
        for compress in (False, True):
            client = Rows()
            inside = Inside(names["DBAdapter"](compress, client))
            created = await inside.begin(await inside.start(), NEW)
            first = await inside.step(created)
            assert ("zstd" in json.loads(client.rows[created.id])["state"]) == compress
            await inside.aclose()
            inside = Inside(names["DBAdapter"](not compress, client))
            assert await inside.open() == []
            assert await inside.load(created.id) == created
            assert [rows for rows, _ in await inside.log(created)] == first
            await inside.mirror.delete(created.id)
            assert client.rows == {}
            await inside.aclose()

    asyncio.run(body())


def test_the_example_for_sqlite_holds_sessions_and_lists_them(names: dict[str, Any], tmp_path: Path) -> None:
    path = str(tmp_path / "instances.db")

    async def body() -> None:
        inside = Inside(names["SqliteAdapter"](False, path))
        assert await inside.open() == []
        created = await inside.begin(await inside.start(), NEW)
        other = await inside.start()
        rows = await inside.step(created)
        rows += await inside.step(created, {"bath": {"base": {"constants": {"tap": 3.5}}}}, Key("k", b"h"))
        await inside.mirror.save_all([created, other])
        await inside.aclose()

        for _ in range(3):
            inside = Inside(names["SqliteAdapter"](True, path))
            assert sorted(i.id for i in await inside.open()) == sorted([created.id, other.id])
            again = await inside.step(created, {"bath": {}}, Key("k", b"h"))
            assert again == rows[1:2]
            rows += await inside.step(created)
            assert [rows for rows, _ in await inside.log(created)] == rows
            await inside.aclose()
        inside = Inside(names["SqliteAdapter"](True, path))
        await inside.mirror.delete(other.id)
        await inside.mirror.delete(other.id)
        assert await inside.load(other.id) is None
        await inside.aclose()

    asyncio.run(body())


def test_a_database_that_is_locked_is_unavailable_and_the_step_is_taken_later(
    names: dict[str, Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "instances.db")

    class Impatient(names["SqliteAdapter"]):
        def _database(self) -> Any:
            database = super()._database()
            database.execute("PRAGMA busy_timeout = 10")
            return database

    async def body() -> None:
        inside = Inside(Impatient(False, path))
        created = await inside.begin(await inside.start(), NEW)
        await inside.step(created)
        blocker = sqlite3.connect(path)
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ExternalStateUnavailable, match="locked"):
            await inside.step(created)
        blocker.rollback()
        blocker.close()
        await inside.step(created)
        assert len(await inside.log(created)) == 2
        await inside.aclose()

    asyncio.run(body())
