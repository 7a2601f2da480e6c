"""A log that can't be written, on a full disk or in a closed pipe, costs log lines and nothing else."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from perdure.errors import StoreUnavailable
from perdure.observability import configure_logging
from perdure.stores.commands import Append, Unleased
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_step, an_entry, created


def writing_to(file: int | str) -> TextIO:
    return TextIOWrapper(BufferedWriter(FileIO(file, "w")))


def full_disk() -> TextIO:
    return writing_to("/dev/full")


def closed_pipe() -> TextIO:
    reading, writing = os.pipe()
    os.close(reading)
    return writing_to(writing)


def closed_file() -> TextIO:
    file = writing_to(os.devnull)
    file.close()
    return file


UNWRITABLE = [
    pytest.param(
        full_disk, marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
    ),
    closed_pipe,
    closed_file,
]


@pytest.fixture(params=UNWRITABLE)
def unwritable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """Let standard error be a file that takes nothing; logging is as it was afterwards."""
    before = structlog.get_config()
    opening: Callable[[], TextIO] = request.param
    file = opening()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", file)
        yield file
    structlog.configure(**before)
    with suppress(OSError):
        file.close()


@pytest.mark.parametrize("as_json", [True, False])
def test_a_log_line_that_cannot_be_written_is_dropped(unwritable: TextIO, as_json: bool) -> None:
    configure_logging("INFO", as_json=as_json)
    log = structlog.get_logger()
    for method in (log.debug, log.info, log.warning, log.error, log.critical, log.exception):
        method("request_failed", path="/runs")


def check_that_a_store_goes_on(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        created(store, steps=1)
        path.rename(path.with_name("elsewhere"))
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"perdure\.db was deleted or renamed"):
                store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
        path.with_name("elsewhere").rename(path)
        store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
        assert store.unavailable is None
        assert list(store.steps("run")) == [a_step(1), a_step(2)]


def test_a_store_refuses_and_goes_on_while_the_log_cannot_be_written(
    unwritable: TextIO, tmp_path: Path
) -> None:
    configure_logging("INFO", as_json=True)
    check_that_a_store_goes_on(tmp_path / "perdure.db")


def test_a_store_goes_on_in_a_program_whose_own_logging_raises(unwritable: TextIO, tmp_path: Path) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(unwritable))
    check_that_a_store_goes_on(tmp_path / "perdure.db")
