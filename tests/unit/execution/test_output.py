"""What is printed arrives as the same lines, however it is cut on its way, and nothing is waited for."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from perdure.execution.output import LONGEST_PRINTED, Output

printed = st.lists(
    st.sampled_from(
        [b"", b"a", b"\r", b"\n", b"\r\n", "ä€".encode(), b"\xff", b"x" * LONGEST_PRINTED, b"y" * 9000]
    ),
    max_size=12,
).map(b"".join)


@contextmanager
def piped() -> Iterator[tuple[Output, int]]:
    """Yield an output, and the number of the end that is written to, which the test closes."""
    reading, writing = os.pipe()
    output = Output(reading)
    try:
        yield output, writing
    finally:
        output.close()


def lines_of(data: bytes, most: int) -> list[str]:
    """Return the lines that `data` becomes, taken so many bytes at a time."""
    with piped() as (output, writing):
        found = []
        for begin in range(0, len(data), most):
            os.write(writing, data[begin : begin + most])
            assert output.waiting == len(data[begin : begin + most])
            count, lines = output.take(most)
            assert (count, output.waiting) == (len(data[begin : begin + most]), 0)
            found += lines
        assert output.take(most) == (0, [])  # nobody waits where there is nothing
        os.close(writing)
        assert not output.over
        assert output.take(most) == (0, [])
        assert output.over
        return found + output.take_rest()


@given(data=printed, most=st.sampled_from([1, 2, 7, 4096, 8191, 8192, 8193, 65536]))
def test_lines_are_the_same_however_they_arrive(data: bytes, most: int) -> None:
    most = max(most, len(data) // 100 + 1)
    parts = [
        line[at : at + LONGEST_PRINTED]
        for line in data.split(b"\n")
        for at in range(0, len(line) or 1, LONGEST_PRINTED)
    ]
    expected = [part.decode(errors="replace") for part in parts]
    ends = data.count(b"\n")
    assert len(expected) > ends
    found = lines_of(data, most)
    assert [line.rstrip("\r") for line in found] == [
        line.rstrip("\r") for line in (expected if data and not data.endswith(b"\n") else expected[:-1])
    ]


def test_a_line_counts_where_it_ends() -> None:
    with piped() as (output, writing):
        os.write(writing, b"one\ntw")
        assert output.take(100) == (6, ["one"])
        os.write(writing, b"o\nthree")
        assert output.take(100) == (7, ["two"])
        assert output.take_rest() == ["three"]
        assert output.take_rest() == []
        os.close(writing)


def test_it_waits_until_there_is_something_or_nobody_writes_any_more() -> None:
    async def work() -> None:
        with piped() as (output, writing):
            waiting = asyncio.create_task(output.readable())
            await asyncio.sleep(0)
            assert not waiting.done()
            os.write(writing, b"a")
            await waiting
            output.take(100)
            waiting = asyncio.create_task(output.readable())
            await asyncio.sleep(0)
            assert not waiting.done()
            os.close(writing)
            await waiting
            assert output.take(100) == (0, [])
            assert output.over
            assert output.take_rest() == ["a"]

    asyncio.run(work())
