"""The run: the one noun that everything which runs is stored under, as values.

How a run changes is `lifecycle`; who changes it are the drivers; where it is kept are the stores.
"""

import re
import secrets
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
    "new_run_id",
]

MAX_NAME: Final = 200  # characters of a run's name
MAX_TAG: Final = 64  # characters of a tag
MAX_TAGS: Final = 32  # tags of a run
NAME_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
TAG_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:/=-]*$"

_NAME = re.compile(NAME_PATTERN[1:-1])
_TAG = re.compile(TAG_PATTERN[1:-1])


def _is_unicode(text: str) -> bool:
    """Return whether no character is half a surrogate pair, which no store can keep."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is called and found by; neither takes part in what it computes.

    Attributes
    ----------
    name
        At most `MAX_NAME` characters, none of which is a control character or ends a line; may be empty, and
        need not be unique.
    tags
        At most `MAX_TAGS` words of at most `MAX_TAG` letters, digits and ``_ - . : / =`` of ASCII, of which
        the first is a letter or a digit. They are sorted, and each is there once.

    Raises
    ------
    Invalid
        If the name or a tag has a character that it can't have, or there is too much of something.
    """

    name: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the name and the tags, and sort these."""
        if len(self.name) > MAX_NAME:
            raise Invalid(f"A run's name has at most {MAX_NAME} characters, not {len(self.name)}.")
        if _NAME.fullmatch(self.name) is None or not _is_unicode(self.name):
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
    """How a label is to be changed.

    Attributes
    ----------
    name, tags
        Those it is to have; None keeps what is there.
    add, remove
        Tags to be added to these and removed from them; a tag that is in both is removed.
    """

    name: str | None = None
    tags: tuple[str, ...] | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def of_fork(self, parent: "Run") -> Label:
        """Return the label of a fork: its parent's tags and no name, unless this says otherwise."""
        return self.of(Label(tags=parent.tags))

    def of(self, label: Label) -> Label:
        """Return what a label is changed to; `Invalid` as `Label` says."""
        tags = label.tags if self.tags is None else self.tags
        Label(tags=self.remove)  # what can't be a tag is a mistake here too
        return Label(
            name=label.name if self.name is None else self.name,
            tags=tuple({*tags, *self.add} - {*self.remove}),
        )


KEEP_LABEL: Final = LabelChange()
"""The change that changes nothing."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, as it is stored.

    Attributes
    ----------
    id
        Its name: 1 to 64 letters, digits, ``-`` and ``_``.
    kind
        Which driver turns its crank, for example ``session``.
    owner
        Whose it is.
    state, outcome, reason
        Where it stands, what it came to, and why, in words.
    spec
        What its driver needs to start it from nothing; opaque to stores.
    position
        How many steps its log holds.
    version
        Counts changes of this record other than steps, for compare-and-set.
    generation
        Of a run without an execution: counts changes to its state and to what it computes, except those that
        come with a step. A writer that read an earlier generation is fenced.
    created, updated
        Unix time, in seconds.
    parent, parent_position
        The run and step it was forked from.
    number
        The order of creation within a store; a store sets it.
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
        """What it is called and found by."""
        return Label(name=self.name, tags=self.tags)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a run's record; a field that is None stays as it is.

    One of the label alone leaves the time at which the run was updated.
    """

    state: RunStatus | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    spec: bytes | None = None
    name: str | None = None
    tags: tuple[str, ...] | None = None

    @property
    def of_label_only(self) -> bool:
        """Whether nothing but the name or the tags is changed."""
        others = (self.state, self.outcome, self.reason, self.spec)
        return all(value is None for value in others) and (self.name, self.tags) != (None, None)

    def fences(self, *, by_writer: bool = False) -> bool:
        """Return whether the run gets a new generation, which fences its writers without a lease.

        A writer may change the state of its run with a step, and isn't fenced by that.
        """
        return self.spec is not None or (self.state is not None and not by_writer)

    def applied(self, run: Run, now: float, *, fenced: bool = False) -> Run:
        """Return the run as it is after the change at a Unix time, if `fenced` with a new generation."""
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(
            run,
            **given,
            version=run.version + 1,
            generation=run.generation + fenced,
            updated=run.updated if self.of_label_only else now,
        )


class Key(msgspec.Struct, frozen=True):
    """An idempotency key: the client's text, which of a request's steps, and a hash of the request."""

    text: str
    body_hash: bytes
    ordinal: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be appended to the log: what it was given and what it answered, both encoded."""

    inputs: bytes | None
    outputs: bytes
    key: Key | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the log holds it; `position` counts from 1."""

    position: int
    inputs: bytes | None
    outputs: bytes


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """The work on a run that an executor places; a session has none.

    Attributes
    ----------
    run_id, kind, owner
        Those of the run, so that a queue has all it needs in one row.
    timeout
        Most seconds of running time, summed over all attempts; None is without end.
    needs
        What a process must have to compute the run, as a text that its kind understands; empty if every
        process that works on the kind can. With each savepoint it becomes `computed_by`.
    computed_by
        What computes the run, in its version, or has computed it last; empty before it has begun.
    desired
        The state that its owner wants it in.
    attempt
        How often a worker began.
    seconds
        Running time so far, of all attempts.
    crashes
        How often in a row it ended by a signal that nobody here sent, without a savepoint in between.
    holder, fence, lease_until
        The lease: who works on it, the fencing token that its writes carry, and when it ends by the clock of
        the store. Without a lease they are empty, 0 and 0.0.
    progress
        The latest report, a MessagePack map.
    result
        What it came to, MessagePack; of one that failed or ran out of time, what there is of it.
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

    def leased(self, now: float) -> bool:
        """Return whether there is a lease that hasn't ended at `now`, a time of `Store.clock`."""
        return self.fence > 0 and now < self.lease_until

    def worked_on(self, now: float) -> bool:
        """Return whether somebody has the lease; without a holder, it only puts off the next attempt."""
        return bool(self.holder) and self.leased(now)


def ending(desired: DesiredState) -> Change:
    """Return how a run changes that its owner wants to end; `desired` is an end."""
    outcome, reason = _ENDINGS[desired]
    return Change(state=RunStatus(desired.value), outcome=outcome, reason=reason)


_ENDINGS: Final = {
    DesiredState.STOPPED: (Outcome.TERMINATED, "It was terminated on request."),
    DesiredState.COMPLETED: (Outcome.SUCCEEDED, "It was completed on request."),
    DesiredState.FAILED: (Outcome.FAILED, "It was failed on request."),
}


class LogLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # many come at once, none holds another
    """A line that a run wrote: its text, level and Unix time, and its place, from 1, which a store sets."""

    text: str
    level: str = "info"
    time: float
    number: int = 0


def new_run_id() -> str:
    """Make an id that can't be guessed: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
