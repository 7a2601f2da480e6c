"""The run and its parts as values: run, execution, step, key, output line.

`lifecycle` defines how the state of a run may change; drivers change runs, and stores keep them.
"""

import re
import secrets
import time
from typing import Final

import msgspec

from perdure.errors import Invalid
from perdure.lifecycle import DesiredState, Outcome, RunStatus

__all__ = [
    "KEEP_LABEL",
    "MAX_NAME",
    "MAX_TAG",
    "MAX_TAGS",
    "NAME_PATTERN",
    "NO_LABEL",
    "TAG_PATTERN",
    "Change",
    "Entry",
    "Execution",
    "Key",
    "Label",
    "LabelChange",
    "LogLine",
    "Run",
    "Step",
    "ending",
    "is_unicode",
    "new_run",
    "new_run_id",
]

MAX_NAME: Final = 200  # characters of a run's name
MAX_TAG: Final = 64  # characters of a tag
MAX_TAGS: Final = 32  # tags of a run
NAME_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
TAG_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:/=-]*$"

_NAME = re.compile(NAME_PATTERN[1:-1])
_TAG = re.compile(TAG_PATTERN[1:-1])


def is_unicode(text: str) -> bool:
    """Return whether no character is half a surrogate pair, which no store can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The name and the tags of a run, which have no effect on what it computes.

    Attributes
    ----------
    name
        At most `MAX_NAME` characters, without control characters and line ends; may be empty, and need not be
        unique.
    tags
        At most `MAX_TAGS` words of at most `MAX_TAG` ASCII letters, digits and ``_ - . : / =``, which begin
        with a letter or a digit. They are sorted, without duplicates.

    Raises
    ------
    Invalid
        If the name or a tag has a forbidden character, or a limit is exceeded.
    """

    name: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the name and the tags, and sort the tags."""
        if len(self.name) > MAX_NAME:
            raise Invalid(f"A run's name has at most {MAX_NAME} characters, not {len(self.name)}.")
        if _NAME.fullmatch(self.name) is None or not is_unicode(self.name):
            raise Invalid(f"The name {self.name!r} has a control character or a line end. Leave it out.")
        for tag in self.tags:
            if len(tag) > MAX_TAG:
                raise Invalid(f"A tag has at most {MAX_TAG} characters, not {len(tag)}: {tag!r}.")
            if _TAG.fullmatch(tag) is None:
                raise Invalid(
                    f"{tag!r} can't be a tag. A tag has letters, digits and _ - . : / = only, and begins "
                    "with a letter or a digit."
                )
        tags = tuple(sorted(set(self.tags)))
        if len(tags) > MAX_TAGS:
            raise Invalid(f"A run has at most {MAX_TAGS} tags, not {len(tags)}.")
        msgspec.structs.force_setattr(self, "tags", tags)


NO_LABEL: Final = Label()
"""The label of a run that has neither a name nor tags."""


class LabelChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a label.

    Attributes
    ----------
    name, tags
        The new values; None keeps the old one.
    add, remove
        Tags to add to these and to remove from them; a tag in both is removed.
    """

    name: str | None = None
    tags: tuple[str, ...] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def of_fork(self, parent: "Run") -> Label:
        """Return the label of a fork: by default its parent's tags and no name."""
        return self.of(Label(tags=parent.tags))

    def of(self, label: Label) -> Label:
        """Return the changed label; raise `Invalid` as `Label` does."""
        tags = label.tags if self.tags is None else self.tags
        Label(tags=self.remove)  # raises an error for invalid tags
        return Label(
            name=label.name if self.name is None else self.name,
            tags=tuple({*tags, *self.add} - {*self.remove}),
        )


KEEP_LABEL: Final = LabelChange()
"""The change that changes nothing."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as it is stored.

    Attributes
    ----------
    id
        1 to 64 letters, digits, ``-`` and ``_``.
    kind
        The kind of driver, for example ``session``.
    owner
        Name of the owner.
    state, outcome, reason
        Its state, how it ended, and why, in words.
    spec
        Data with which the driver can start it from the beginning; opaque to stores.
    position
        Number of steps in its log.
    version
        Number of changes of this record, without steps; for compare-and-set.
    generation
        For a run without an execution: number of changes of its state and of what it computes, except those
        together with a step. A writer that read an earlier generation is fenced.
    created, updated
        Unix time, in seconds.
    parent, parent_position
        The run from which it was forked, and the step.
    number
        Its position in the order of creation within a store; the store sets it.
    name, tags
        As in its `Label`.
    """

    id: str
    kind: str
    owner: str
    spec: bytes
    state: RunStatus = RunStatus.CREATED
    outcome: Outcome | None = None
    reason: str = ""
    position: int = 0
    version: int = 0
    generation: int = 0
    created: float
    updated: float
    parent: str | None = None
    parent_position: int | None = None
    number: int = 0
    name: str = ""
    tags: tuple[str, ...] = ()

    @property
    def label(self) -> Label:
        """Its name and tags."""
        return Label(name=self.name, tags=self.tags)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a run's record; a None stays unchanged.

    A change of name and tags alone doesn't change the time of the run's update.
    """

    state: RunStatus | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    spec: bytes | None = None
    name: str | None = None
    tags: tuple[str, ...] | None = None

    @property
    def of_label_only(self) -> bool:
        """Whether only the name or the tags change."""
        others = (self.state, self.outcome, self.reason, self.spec)
        return all(value is None for value in others) and (self.name, self.tags) != (None, None)

    def fences(self, *, by_writer: bool = False) -> bool:
        """Return whether the change raises the run's generation, which fences its writers without a lease.

        A writer that changes the state of its run together with a step doesn't fence itself.
        """
        return self.spec is not None or (self.state is not None and not by_writer)

    def applied(self, run: Run, now: float, *, fenced: bool = False) -> Run:
        """Return the run after the change, at a Unix time; if `fenced`, with a new generation."""
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(
            run,
            **given,
            version=run.version + 1,
            generation=run.generation + fenced,
            updated=run.updated if self.of_label_only else now,
        )


class Key(msgspec.Struct, frozen=True):
    """An idempotency key: the client's text, a hash of the request, and the step's number in the request."""

    text: str
    body_hash: bytes
    ordinal: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be appended to the log: its inputs and outputs, encoded, and its key."""

    inputs: bytes | None
    outputs: bytes
    key: Key | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the log holds it; `position` counts from 1."""

    position: int
    inputs: bytes | None
    outputs: bytes


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """The work on a run by a worker; sessions have none.

    Attributes
    ----------
    run_id, kind, owner
        Those of the run, so that the queue needs no other row.
    timeout
        Limit of running time in seconds, summed over all attempts; None is no limit.
    needs
        What a process needs to compute the run, as a text that its kind defines; empty if every process
        that works on the kind can. With each savepoint it becomes `computed_by`.
    computed_by
        What computes the run, with its version, or computed it last; empty before it has begun.
    desired
        The state that its owner wants.
    attempt
        Number of attempts.
    seconds
        Running time of all attempts so far.
    crashes
        How many times in a row it ended by a signal from outside, without a savepoint in between.
    holder, fence, lease_until
        The lease: its holder, the fencing token that writes carry, and its end by the clock of the store.
        Without a lease they are empty, 0 and 0.0. When the run has ended, its holder may keep it to store
        files.
    progress
        The latest report, a MessagePack map.
    result
        The result, MessagePack; for a run that failed or timed out, the partial result.
    stored
        The version of its files in the artifacts, where they are stored when it has ended; 0 if it has none,
        None while they aren't stored.
    """

    run_id: str
    kind: str
    owner: str
    timeout: float | None = None
    needs: str = ""
    computed_by: str = ""
    desired: DesiredState = DesiredState.STARTED
    attempt: int = 0
    seconds: float = 0.0
    crashes: int = 0
    holder: str = ""
    fence: int = 0
    lease_until: float = 0.0
    progress: bytes | None = None
    result: bytes | None = None
    stored: int | None = 0

    def leased(self, now: float) -> bool:
        """Return whether it has a lease at `now`, a time of `Store.clock`."""
        return self.fence > 0 and now < self.lease_until

    def worked_on(self, now: float) -> bool:
        """Return whether a worker holds the lease. A lease without a holder only delays the next attempt."""
        return bool(self.holder) and self.leased(now)


def ending(desired: DesiredState) -> Change:
    """Return the change that ends a run as its owner requested."""
    outcome, reason = _ENDINGS[desired]
    return Change(state=RunStatus(desired.value), outcome=outcome, reason=reason)


_ENDINGS: Final = {
    DesiredState.STOPPED: (Outcome.TERMINATED, "It was terminated on request."),
    DesiredState.COMPLETED: (Outcome.SUCCEEDED, "It was completed on request."),
    DesiredState.FAILED: (Outcome.FAILED, "It was failed on request."),
}


class LogLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # many come at once, none holds another
    """An output line of a run: text, level, Unix time and number; the store numbers lines from 1."""

    text: str
    level: str = "info"
    time: float
    number: int = 0


def new_run(id: str, kind: str, owner: str, spec: bytes, label: Label) -> Run:
    """Return a run that is created now."""
    now = time.time()
    return Run(
        id=id,
        kind=kind,
        owner=owner,
        spec=spec,
        created=now,
        updated=now,
        name=label.name,
        tags=label.tags,
    )


def new_run_id() -> str:
    """Return an unguessable id: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
