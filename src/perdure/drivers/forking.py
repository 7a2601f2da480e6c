"""Forks: sessions that begin with another's first steps, and may go on with another seed or stop time.

What was stepped before the fork stays as it was. With another seed or stop time the fork is restored from its
own first savepoint on, since its spec doesn't lead to the steps before: those were taken under its parent's.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from msgspec.structs import replace

from perdure.drivers.live_session import LiveSession
from perdure.drivers.live_sessions import LiveSessions
from perdure.drivers.seeds import chosen_seed
from perdure.drivers.session_limits import check_run_steps
from perdure.drivers.session_requests import ForkSession
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.errors import Invalid, ModelChanged, Refused, RunFinished, StepNotFound
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import KEEP_LABEL, Key, Label, LabelChange, Run, new_run, new_run_id
from perdure.settings import Settings
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Fork, encoded

__all__ = ["Forking"]


class Forking:
    """The forks of one session; blocks while it restores and replays.

    Parameters
    ----------
    store, sessions
        Where the session is restored from, and by which.
    parent
        The session.
    settings
        The limits.
    """

    def __init__(self, store: Store, sessions: LiveSessions, parent: Run, settings: Settings) -> None:
        self._store = store
        self._sessions = sessions
        self._parent = parent
        self._spec = SessionSpec.from_blob(parent.spec)
        self._settings = settings
        self._reached: dict[
            int, tuple[Savepoint, bool]
        ] = {}  # by step: where it stood, and if it had finished
        self._prolonged: dict[tuple[int, float], Savepoint] = {}  # by step and stop time

    def prepare(
        self, requests: Sequence[ForkSession], key: Key | None, labels: Sequence[LabelChange] = ()
    ) -> list[Fork]:
        """Return what the store is to keep; nothing is kept yet.

        Each has the parent's tags and no name, but for what the label change at its place says.

        Raises
        ------
        StepNotFound
            If the session hasn't taken the step.
        Refused, ModelChanged
            If it can't be brought back to that step.
        Invalid
            If a seed or stop time is wrong, or the stop time comes before one that was answered.
        RunFinished
            If a fork with another seed or stop time would have nothing left to step.
        """
        forks = zip(requests, labels or [KEEP_LABEL] * len(requests), strict=True)
        return [
            self._fork(
                request, label.of_fork(self._parent), None if key is None else replace(key, ordinal=ordinal)
            )
            for ordinal, (request, label) in enumerate(forks)
        ]

    def _fork(self, request: ForkSession, label: Label, key: Key | None) -> Fork:
        position = self._position(request.step)
        spec = self._changed(request, position)
        savepoint, finished = self._reach(position)
        if spec is not self._spec:
            if request.stoptime is not None and position > 0:
                savepoint = self._prolong(savepoint, request.stoptime)
            savepoint, finished = self._taken_over(spec, savepoint)
        if finished and (request.seed, request.stoptime) != (None, None):
            raise RunFinished(
                f"Nothing is left to step after step {position} of the run {self._parent.id!r}. Fork it "
                "after an earlier step, or with a later stop time.",
                run=self._parent.id,
                state=RunStatus.COMPLETED.value,
            )
        parent = self._parent
        run = replace(
            new_run(new_run_id(), parent.kind, parent.owner, spec.to_blob(), label),
            state=RunStatus.COMPLETED if finished else RunStatus.STARTED if position else RunStatus.CREATED,
            outcome=Outcome.SUCCEEDED if finished else None,
            position=position,
            parent=parent.id,
            parent_position=position,
        )
        return Fork(run=run, savepoint=encoded(savepoint), key=key)

    def _position(self, step: int | None) -> int:
        """Return the step after which a fork begins; raise if the session can't be brought back there."""
        parent, base = self._parent, self._spec.base
        position = parent.position if step is None else step
        if base <= position <= parent.position:
            return position
        if not 0 <= position < base:
            raise StepNotFound(run=parent.id, step=position, position=parent.position)
        if parent.parent is not None and parent.parent_position == base:
            raise Refused(
                f"The run {parent.id!r} was itself forked at step {base}, with another seed or stop time; it "
                f"can be forked from there on. For an earlier step fork the run {parent.parent!r}."
            )
        raise ModelChanged(
            f"The run {parent.id!r} was upgraded at step {base}, or taken over by a host with other "
            "numerics; it can be forked from there on."
        )

    def _changed(self, request: ForkSession, position: int) -> SessionSpec:
        """Return the fork's spec; the parent's own if it is the same."""
        seed = self._spec.seed if request.seed is None else chosen_seed(request.seed)
        scenarios = [
            _with(part, {"seed": seed} | ({} if request.stoptime is None else {"stoptime": request.stoptime}))
            for part in self._spec.scenarios
        ]
        spec, numerics = self._spec, self._sessions.numerics
        if not numerics.are(spec.numerics):
            spec = spec.taken_over(numerics.fingerprint, position)
        if scenarios == self._spec.scenarios:
            return spec
        for former, part in zip(self._spec.scenarios, scenarios, strict=True):
            known = self._sessions.scenario(self._parent.id, former)
            if seed != self._spec.seed and position > 0 and not known.model.reseeds:
                raise Refused(
                    f"{_label(part)} can't go on with another seed, since its engine keeps its random "
                    "generators in its state. Fork it at step 0, or make a session with that seed."
                )
            specs, answers = former.run_specs, part.run_specs.answers
            check_run_steps(self._settings, _label(part), part.config)
            taken = min(position, specs.answers)
            if answers < taken:
                reached = round(specs.time((taken - 1) * specs.multiple), former.decimals)
                raise Invalid(
                    f"{_label(part)} has answered the time {reached} by step {position}; a fork there can't "
                    f"stop at {request.stoptime}. Give a later stop time, or an earlier step."
                )
        return replace(spec, scenarios=scenarios, seed=seed, base=position)

    def _reach(self, position: int) -> tuple[Savepoint, bool]:
        """Return the session as it stood after a step, and whether it had finished."""
        if position not in self._reached:
            live = self._sessions.restore(self._parent, self._spec, position)
            self._reached[position] = _standing(live)
        return self._reached[position]

    def _taken_over(self, spec: SessionSpec, savepoint: Savepoint) -> tuple[Savepoint, bool]:
        """Return a savepoint as it is under another spec."""
        begun = savepoint if savepoint.position else None  # nothing is in force yet before the first step
        return _standing(self._sessions.begin(self._parent, spec, begun))

    def _prolong(self, savepoint: Savepoint, stoptime: float) -> Savepoint:
        """Let the scenarios that had ended by a savepoint go on up to there, if they stop later now.

        A step that ends a scenario doesn't compute what would follow. So it is taken again from the state
        before it, with the later stop time, and so are those after it, from the logged inputs.
        """
        position = savepoint.position
        if (position, stoptime) not in self._prolonged:
            scenarios = [_with(part, {"stoptime": stoptime}) for part in self._spec.scenarios]
            ended: dict[int, list[str]] = {}  # by the step that ended them
            for former, part in zip(self._spec.scenarios, scenarios, strict=True):
                last = former.run_specs.answers
                if last <= position and last < part.run_specs.answers:
                    ended.setdefault(last, []).append(former.entity)
            entities = dict(savepoint.entities)
            for last, names in ended.items():
                if last <= self._spec.base:
                    raise Refused(
                        f"A scenario of the run {self._parent.id!r} had ended by step {self._spec.base}, "
                        "where the run was forked or upgraded, so it can't stop later. Fork the run that it "
                        "was forked from, or make a session."
                    )
                before, _ = _standing(self._sessions.restore(self._parent, self._spec, last - 1))
                here = self._sessions.numerics.fingerprint
                later = replace(self._spec, scenarios=scenarios, numerics=here)
                with closing(self._sessions.begin(self._parent, later, before if last > 1 else None)) as live:
                    live.replay(self._store, position, compare=False)
                    states, _ = _standing(live)
                entities.update({name: states.entities[name] for name in names})
            self._prolonged[position, stoptime] = replace(savepoint, entities=entities)
        return self._prolonged[position, stoptime]


def _with(part: ScenarioSpec, config: dict[str, Any]) -> ScenarioSpec:
    return replace(part, config={**part.config, **config})


def _label(part: ScenarioSpec) -> str:
    return f"The scenario {part.scenario!r} of {part.manager!r}"


def _standing(live: LiveSession) -> tuple[Savepoint, bool]:
    """Return where a session stands and whether it has finished, and close it."""
    with closing(live):
        return live.savepoint(milestone=True), live.finished
