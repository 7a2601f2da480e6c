"""The link takes orders whenever they come, also while the log of the run is still on its way."""

import os
import socket
from collections.abc import Iterator

import pytest

from perdure.execution.link import Link
from perdure.execution.messages import (
    LoggedSteps,
    Pause,
    Preempt,
    Resume,
    Start,
    Stop,
    ToChild,
    framed,
)
from perdure.run import Step
from perdure.state.savepoint import Savepoint
from perdure.testing.store_samples import WAIT

STEPS = [Step(position=number, inputs=None, outputs=b"") for number in (1, 2, 3)]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Link]]:
    """Yield a worker's end of a pipe, and the child's link. The link's thread ends with the test process."""
    ours, theirs = socket.socketpair()
    os.dup(ours.fileno())  # never closed, since a link whose pipe is closed ends its process
    with ours:
        ours.settimeout(WAIT)
        yield ours, Link(theirs)


def start(*, position: int, savepoint: bool = True) -> Start:
    return Start(
        path=[],
        body="none:none",
        run_id="run",
        spec=b"",
        attempt=1,
        seconds=0.0,
        position=position,
        savepoint=Savepoint(timestamp=1, entities={}) if savepoint else None,
        paused=False,
        given={},
    )


def sent(channel: socket.socket, *messages: ToChild) -> None:
    channel.sendall(b"".join(map(framed, messages)))


@pytest.mark.parametrize(
    ("order", "seen"),
    [(Pause(1), (False, True, False)), (Preempt(), (False, False, True)), (Stop(), (True, False, False))],
)
def test_an_order_that_comes_while_the_log_is_sent_is_obeyed(
    pair: tuple[socket.socket, Link], order: ToChild, seen: tuple[bool, bool, bool]
) -> None:
    channel, link = pair
    sent(channel, start(position=3), LoggedSteps(STEPS[:1]), order, LoggedSteps(STEPS[1:]))
    _, steps = link.begin()
    assert steps == STEPS
    assert (link.stopping, link.pausing, link.preempted) == seen


def test_a_pause_that_was_over_before_the_log_had_come_is_none(pair: tuple[socket.socket, Link]) -> None:
    channel, link = pair
    sent(channel, start(position=1), Pause(1), Resume(), LoggedSteps(STEPS[:1]))
    link.begin()
    assert link.hold()
