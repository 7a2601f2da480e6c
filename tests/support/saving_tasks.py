"""A task that saves whenever it is preempted, and says where each attempt began and in which version."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from perdure.tasks import Task, TaskContext

VERSION = os.environ.get("SAVING_VERSION", "1")
EVERY = 100  # numbers between two savepoints


class Given(BaseModel):
    """The file for which it waits, how many numbers it counts at least, and the seconds between two."""

    until: str
    least: int = 0
    pace: float = 0.0


class Counted(BaseModel):
    """How far it counted, where its attempts began, and the versions that have counted."""

    number: int
    begins: list[int]
    versions: list[str]


def count(given: Given, context: TaskContext) -> Counted:
    """Count until a file exists; each number is printed once."""
    number, begins, versions = context.resumed or (0, [], [])
    begins, versions = [*begins, number], [*dict.fromkeys([*versions, VERSION])]
    until = Path(given.until)
    while number < given.least or not until.exists():
        number += 1
        time.sleep(given.pace)
        print(number)
        if number % EVERY == 0 or context.preempted:
            context.savepoint([number, begins, versions])
            context.progress(number=number, preempted=context.preempted)
    return Counted(number=number, begins=begins, versions=versions)


COUNT = Task(
    name="count",
    input=Given,
    result=Counted,
    function=count,
    timeout=3600.0,
    version=VERSION,
    environment=("SAVING_VERSION",),
)
