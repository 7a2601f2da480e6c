"""Small tasks; where one has to wait for its test, it waits for a named pipe to be written."""

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from perdure.tasks import Task, TaskContext, TaskFailed


class Numbers(BaseModel):
    """Numbers to be added."""

    model_config = ConfigDict(extra="forbid")

    numbers: list[int] = Field(max_length=1000)
    wait_at: int | None = Field(None, description="Wait for the pipe before adding the number of this index.")
    pipe: str = ""


class Total(BaseModel):
    """Their sum, how many were added by the last attempt, and which one that was."""

    total: int
    added: int
    attempt: int


class Anything(BaseModel):
    """Anything."""

    pipe: str = ""


def add(given: Numbers, context: TaskContext) -> Total:
    """Add numbers, one after the other."""
    begin, total = context.resumed or (0, 0)
    for index in range(begin, len(given.numbers)):
        if index == given.wait_at:
            context.progress(added=index, waiting=True)
            Path(given.pipe).read_text()
        total += given.numbers[index]
        context.savepoint([index + 1, total])
        context.progress(added=index + 1, total=total)
    print(f"added {len(given.numbers)} numbers")
    return Total(total=total, added=len(given.numbers) - begin, attempt=context.attempt)


def fail(given: Anything, context: TaskContext) -> Total:
    """Fail, with a part of the result."""
    raise TaskFailed(
        "too_odd", "These numbers are too odd.", Total(total=1, added=1, attempt=context.attempt)
    )


class Mute(Exception):
    """An error that can't say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def stammer(given: Anything, context: TaskContext) -> Total:
    """Fail with text that isn't UTF-8, as names of files may be."""
    raise ValueError("no such file: caf\udce9")


def fall_silent(given: Anything, context: TaskContext) -> Total:
    """Fail with an error whose message fails."""
    raise Mute


def give_up(given: Anything, context: TaskContext) -> Total:
    """Leave with a text, as scripts do."""
    sys.exit("nothing to count: caf\udce9")


def fail_in_part(given: Anything, context: TaskContext) -> Total:
    """Fail, with a part of the result that isn't a model."""
    raise TaskFailed("half_done", "Only half is done \ud800.", {"total": 7, "share": float("nan")})


def fail_in_pieces(given: Anything, context: TaskContext) -> Total:
    """Fail, with a part of the result that can't be kept."""
    raise TaskFailed("half_done", "Only half is done.", {"total": object()})


def spin(given: Anything, context: TaskContext) -> Total:
    """Stay in C for ages."""
    context.partial(Total(total=1, added=1, attempt=context.attempt))
    context.progress(spinning=True)
    return Total(total=sum(range(10**13)), added=0, attempt=context.attempt)


def lie(given: Anything, context: TaskContext) -> Total:
    """Return what isn't a result."""
    return Anything()  # type: ignore[return-value]


def hoard(given: Anything, context: TaskContext) -> Total:
    """Keep a state that can't be kept."""
    context.savepoint([1, {"seen": {1, 2}}])  # type: ignore[dict-item]
    raise AssertionError("it was kept")


ADD = Task(name="add", input=Numbers, result=Total, function=add)
FAIL = Task(name="fail", input=Anything, result=Total, function=fail)
SPIN = Task(name="spin", input=Anything, result=Total, function=spin, timeout=3600.0)
LIE = Task(name="lie", input=Anything, result=Total, function=lie)
HOARD = Task(name="hoard", input=Anything, result=Total, function=hoard)
STAMMER = Task(name="stammer", input=Anything, result=Total, function=stammer)
FALL_SILENT = Task(name="fall_silent", input=Anything, result=Total, function=fall_silent)
GIVE_UP = Task(name="give_up", input=Anything, result=Total, function=give_up)
FAIL_IN_PART = Task(name="fail_in_part", input=Anything, result=Total, function=fail_in_part)
FAIL_IN_PIECES = Task(name="fail_in_pieces", input=Anything, result=Total, function=fail_in_pieces)
