"""The event listener of supervisord: what it answers, and when it has a server started again."""

import io
from collections.abc import Iterable, Iterator

import pytest

from perdure.cli.health import listen

TICK = (
    b"ver:3.0 server:supervisor serial:1 pool:health poolserial:1 eventname:TICK_60 len:15\nwhen:1796000000\n"
)


@pytest.mark.parametrize(
    ("found", "restarts"),
    [
        ((None, None, None, None), 0),
        (("off", "off", None, "off", "off"), 0),
        (("off", "off", "off"), 1),
        (("off",) * 5, 1),
        (("off",) * 6, 2),
    ],
)
def test_a_server_is_started_again_after_three_failures_in_a_row(
    found: Iterable[str | None], restarts: int
) -> None:
    checks: Iterator[str | None] = iter(found)
    number, done = len(list(found)), []
    answers = io.BytesIO()
    listen(
        io.BytesIO(TICK.replace(b"len:15", b"len:16") * number),
        answers,
        lambda: next(checks),
        lambda: done.append(1),
    )
    assert len(done) == restarts
    assert answers.getvalue() == b"READY\nRESULT 2\nOK" * number + b"READY\n"
