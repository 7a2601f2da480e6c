"""Messages come out of their frames as they went in, and what is none is told."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import LimitExceeded
from perdure.execution import messages
from perdure.execution.messages import (
    Append,
    Arrived,
    Beat,
    Done,
    Failure,
    FromChild,
    Garbled,
    Line,
    LoggedSteps,
    Pause,
    Paused,
    Result,
    Resume,
    Start,
    Stop,
    ToChild,
    framed,
    receive,
    receive_blocking,
)
from perdure.run import Entry, Step
from perdure.state.savepoint import Savepoint

SAVEPOINT = Savepoint(timestamp=3, position=2, entities={"a": b"state", "b": b""})

from_child = st.one_of(
    st.builds(Line, st.text(), st.text()),
    st.builds(Paused, st.integers(0, 99)),
    st.builds(Arrived, st.integers(0, 99)),
    st.just(Beat()),
    st.builds(Result, st.none() | st.binary()),
    st.builds(Failure, st.text(), st.text(), st.none() | st.binary()),
    st.builds(
        Append,
        st.integers(0, 1 << 40),
        st.lists(st.builds(Entry, inputs=st.none() | st.binary(), outputs=st.binary()), max_size=3),
        st.sampled_from([None, SAVEPOINT]),
    ),
)
to_child: list[ToChild] = [
    Start(
        path=["a", ""],
        body="module:function",
        run_id="run",
        spec=b"\0spec",
        attempt=2,
        seconds=1.5,
        position=1,
        savepoint=SAVEPOINT,
        paused=True,
        given={"folder": "there"},
    ),
    LoggedSteps([Step(position=1, inputs=None, outputs=b"out")]),
    Done(7),
    Pause(1),
    Resume(),
    Stop(),
]


def read(sent: bytes) -> list[FromChild]:
    """Read what a child sent, to its end."""

    async def work() -> list[FromChild]:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        found = []
        while True:
            try:
                found.append(await receive(reader))
            except EOFError:
                return found

    return asyncio.run(work())


@given(st.lists(from_child, max_size=5))
def test_what_a_child_sends_arrives(sent: list[FromChild]) -> None:
    assert read(b"".join(map(framed, sent))) == sent


def test_what_a_server_sends_arrives() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in to_child:
            ours.sendall(framed(message))
            assert receive_blocking(theirs) == message
        ours.close()
        with pytest.raises(ConnectionError):
            receive_blocking(theirs)


@given(st.binary(min_size=1, max_size=40))
def test_bytes_that_are_no_message_are_told(content: bytes) -> None:
    frame = len(content).to_bytes(4, "big") + content
    try:
        found = read(frame)
    except Garbled:
        return
    assert len(found) == 1  # by chance it was one


def test_a_frame_that_is_cut_off_is_the_end() -> None:
    assert read(framed(Beat()) + framed(Line("info", "text"))[:-1]) == [Beat()]


def test_messages_that_are_too_large_are_neither_sent_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LARGEST", 100)
    with pytest.raises(LimitExceeded, match="at most 100 bytes"):
        framed(Line("info", "x" * 101))
    with pytest.raises(Garbled, match="announced a message of 101 bytes"):
        read((101).to_bytes(4, "big"))
