"""What callers ask of sessions and what they get, as values that no dialect owns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from perdure.drivers.live_session import Row
from perdure.drivers.session_spec import SessionSpec
from perdure.run import Run, Step
from perdure.state.codec import decode
from perdure.stores.commands import Touch

__all__ = [
    "ADMINISTRATOR",
    "Answer",
    "ForkSession",
    "Given",
    "NewSession",
    "Owner",
    "SessionView",
    "StepLogPage",
    "StepRequest",
    "StepRows",
    "Upgraded",
]

Owner = str | None
"""Whose request it is; None is the administrator, who sees every run."""

ADMINISTRATOR: Owner = None


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session to be made.

    Attributes
    ----------
    scenarios
        Manager to the names of its scenarios.
    outputs
        Elements to answer with; each scenario answers those it has. Empty means all.
    dt
        Distance of answers in the models' unit; None means each scenario's own dt.
    seed
        Of the random draws; None makes one.
    settings
        Manager → scenario → kind → name → value that the session begins with, in place of the scenario's
        own. Kinds are those that the model can set: ``constants`` and ``points``, or ``inputs``.
    """

    scenarios: Mapping[str, Sequence[str]]
    outputs: Sequence[str] = ()
    dt: float | None = None
    seed: int | None = None
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}


class ForkSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is to begin as a copy of another.

    Attributes
    ----------
    step
        The last step that they share; None means all of them.
    seed
        Of the random draws from there on; None means the other's.
    stoptime
        The time at which each of its scenarios ends; None means as in the other.
    """

    step: int | None = None
    seed: int | None = None
    stoptime: float | None = None


class StepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Steps to be taken.

    Attributes
    ----------
    settings
        Manager → scenario → kind → name → value, given with the first of these steps.
    steps
        How many.
    expected
        The number that the first of them must have; None means whatever is next.
    touch
        Returns for each step, before its commit, the note of a use that is committed with it.
    """

    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}
    steps: int = 1
    expected: int | None = None
    touch: Callable[[], Touch] | None = None


class StepRows(msgspec.Struct, frozen=True):
    """One step of the log: its number, and each scenario's row or None where it had finished."""

    position: int
    rows: list[Row | None]

    @classmethod
    def of(cls, step: Step) -> "StepRows":
        """Return a step as the store holds it, decoded."""
        return cls(step.position, decode(step.outputs))


class Given(msgspec.Struct, frozen=True):
    """One step of the log with what it was given: pairs of a scenario's index and its inputs."""

    step: StepRows
    inputs: list[tuple[int, Mapping[str, Any]]]


class Answer(msgspec.Struct, frozen=True):
    """What steps came to.

    Attributes
    ----------
    spec
        The session's, to read the rows by.
    steps
        The steps, ascending.
    finished
        Whether nothing is left to step.
    replayed
        Whether they are all the recorded answer to the same request.
    """

    run_id: str
    spec: SessionSpec
    steps: list[StepRows]
    finished: bool
    replayed: bool = False


class SessionView(msgspec.Struct, frozen=True):
    """A session with what it is made of.

    Attributes
    ----------
    parts
        Of each scenario, by entity, whether it is saved or replayed, and why; see `kept_parts`.
    """

    run: Run
    spec: SessionSpec
    parts: Mapping[str, Mapping[str, str | None]]


class StepLogPage(msgspec.Struct, frozen=True):
    """A page of a session's step log."""

    run: Run
    spec: SessionSpec
    steps: list[Given]


class SettingsPage(msgspec.Struct, frozen=True):
    """What a session was given on its way, without what it answered.

    Attributes
    ----------
    spec
        The session's, to read the inputs by.
    changes
        The steps that were given something, ascending, each with pairs of a scenario's index and its inputs.
    next
        The position after which the next page begins; None on the last.
    """

    spec: SessionSpec
    changes: list[tuple[int, list[tuple[int, Mapping[str, Any]]]]]
    next: int | None


class Upgraded(msgspec.Struct, frozen=True):
    """What an upgrade came to: the run, and how many logged steps the new model took over again."""

    run: Run
    replayed: int
