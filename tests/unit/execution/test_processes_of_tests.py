"""Processes that tests start: a test that fails leaves none, whose warning would come in another test."""

import gc
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.support.processes import exists, process_of
from tests.support.server import Server

SLEEPING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_test_that_fails_or_is_timed_out_leaves_no_process_and_no_warning() -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with pytest.raises(TimeoutError), process_of(SLEEPING, **pipes) as process:
            raise TimeoutError
        pid = process.pid
        del process
        gc.collect()
    assert not exists(pid)
    assert warned == []


def test_a_server_that_does_not_start_leaves_no_process_and_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(AssertionError, match="the server did not start"):
            Server(tmp_path / "s.db", "nowhere:nothing")
        gc.collect()
    assert warned == []
