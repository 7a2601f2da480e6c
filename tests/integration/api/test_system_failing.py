"""What the operating system refuses, outside the store and the artifacts, is a 503 that says so."""

import asyncio
import errno
import os
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import EMPTY
from tests.support.served import catalogue
from tests.support.zips import zip_of

from perdure.api.app import create_app
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

FILES = {**EMPTY, "main_script.py": b"nrp.run_loop(1)\n"}
RUN = {"kind": "experiment", "experiment": "mine"}


def answers(number: int | None, monkeypatch: pytest.MonkeyPatch) -> tuple[httpx.Response, httpx.Response]:
    """Return what is answered natively, and by the NRP's routes, when a run's folder can't be made."""

    def fail(*given: Any, **named: Any) -> None:
        error = OSError("unforeseen") if number is None else OSError(number, os.strerror(number), "/a/secret")
        raise error

    monkeypatch.setattr(WorkingFolders, "make", fail)

    async def main() -> tuple[httpx.Response, httpx.Response]:
        store = MemoryStore()
        app = create_app(store, catalogue(), Settings(), on_closed=store.close)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
        ):
            headers = {"Content-Type": "application/zip"}
            sent = await client.post("/experiments?name=mine", content=zip_of(FILES), headers=headers)
            assert sent.is_success
            told = (
                await client.post("/runs", json=RUN),
                await client.post("/simulation", json={"experimentID": "mine"}),
            )
            listed = await client.get("/runs")
            assert listed.json()["runs"] == []  # nothing half-made is left
            return told

    return asyncio.run(main())


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EACCES]
)
def test_a_working_folder_that_cant_be_made_is_a_503_with_the_reason(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    native, nrp = answers(number, monkeypatch)
    assert (native.status_code, native.json()["error"]["code"]) == (503, "system_failing")
    assert os.strerror(number) in native.json()["error"]["message"]
    assert nrp.status_code == 503
    assert os.strerror(number) in nrp.text
    assert "secret" not in native.text + nrp.text


@pytest.mark.parametrize("number", [None, errno.EBADF])
def test_other_errors_of_the_system_are_faults_of_the_server(
    number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    native, nrp = answers(number, monkeypatch)
    assert (native.status_code, native.json()["error"]["code"]) == (500, "internal_error")
    assert nrp.status_code == 500
