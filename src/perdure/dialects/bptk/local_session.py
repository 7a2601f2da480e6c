"""The session in this process: one session on a catalogue at a time, stepped by a caller that blocks."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from perdure.dialects.bptk.agent_answers import merged
from perdure.dialects.bptk.answers import STOPTIME_REACHED, Tree, step_tree
from perdure.dialects.bptk.listing import by_manager
from perdure.dialects.bptk.overrides import known_overrides, overrides_of
from perdure.dialects.bptk.session_clock import digits_of, session_dt
from perdure.drivers.portal import Portal
from perdure.drivers.session_requests import NewSession, StepLogPage, StepRequest, StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import Invalid, RunFinished
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.scenarios.catalogue import Names, check_outputs, names_of
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

__all__ = ["LocalSession"]

PAGE = 1000  # steps read at once
LOCAL = "local"  # owner of the session

T = TypeVar("T")


class LocalSession:
    """The session of a `Bptk` object, if it has one.

    The first session starts an event loop in a thread of its own, which `close` ends.

    Parameters
    ----------
    catalogue
        The scenarios.

    Attributes
    ----------
    locked
        Whether the session is marked as locked.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._portal: Portal | None = None
        self._sessions: Sessions | None = None
        self._begun: tuple[str, SessionSpec] | None = None  # the id of its run, and its spec
        self.locked = False

    def begin(
        self,
        scenarios: Names,
        scenario_managers: Names,
        settings: Mapping[str, Any] | str | None,
        equations: Names,
        starttime: float,
        dt: float | None,
        seed: int | None,
    ) -> None:
        """Begin a session, which replaces an existing one; see `Bptk.begin_session`."""
        outputs = names_of(equations)
        found = self._catalogue.select(names_of(scenario_managers), names_of(scenarios))
        if not outputs:
            raise Invalid("expecting either equations or agents to be set")
        check_outputs(outputs, found)
        for scenario in found:
            begins = scenario.config((), seed=0)["starttime"]
            if starttime > begins:
                raise Invalid(f"A session begins where its scenarios do, at {begins}, not at {starttime}.")
        given = json.loads(settings) if isinstance(settings, str) else settings
        request = NewSession(
            scenarios=by_manager(found),
            outputs=outputs,
            dt=session_dt(found) if dt is None else dt,
            seed=seed,
            settings=known_overrides(overrides_of(given), found),
        )
        self.end()
        created = self._call(lambda sessions: sessions.create(LOCAL, request))
        self._begun = created.run.id, SessionSpec.from_blob(created.run.spec)

    def step(self, settings: Mapping[str, Any] | None, flat: bool) -> dict[str, Any] | None:
        """Take a step; see `Bptk.run_step`."""
        if self._begun is None:
            return None
        run, spec = self._begun
        in_session = [self._catalogue.scenario(part.manager, part.scenario) for part in spec.scenarios]
        request = StepRequest(settings=known_overrides(overrides_of(settings), in_session))
        try:
            answer = self._call(lambda sessions: sessions.step(LOCAL, run, request))
        except RunFinished:
            return dict(STOPTIME_REACHED)
        return _tree(spec, answer.steps[0], flat)

    def results(self, index_by_time: bool, flat: bool) -> dict[Any, Any]:
        """Return all results of the session; see `Bptk.session_results`."""
        if self._begun is None:
            return {}
        run, spec = self._begun
        steps = self._steps(run)
        if index_by_time:
            return {_time(spec, step): _tree(spec, step, False) for step in steps}
        results: dict[str, Any] = {}
        agents: dict[tuple[str, str], list[Any]] = {}
        for step in steps:
            for manager, scenarios in _tree(spec, step, False).items():
                for scenario, values in scenarios.items():
                    if "agents" in values:
                        agents.setdefault((manager, scenario), []).append(values.pop("agents"))
                    equations = results.setdefault(manager, {}).setdefault(scenario, {"equations": {}})
                    for name, at in values.items():
                        if flat:
                            equations["equations"].setdefault(name, []).extend(at.values())
                        else:
                            equations["equations"].setdefault(name, {}).update(at)
        for (manager, scenario), answered in agents.items():
            parts = results[manager][scenario]
            parts["agents"] = merged(answered, flat=flat)
            if not parts["equations"]:
                del parts["equations"]
        return results

    def progress(self) -> float:
        """Return the share of the session's steps that was taken, from 0.0 to 1.0; 0.0 without a session."""
        if self._begun is None:
            return 0.0
        run, spec = self._begun
        found = self._call(lambda sessions: sessions.run(LOCAL, run))
        return found.position / max(part.run_specs.answers for part in spec.scenarios)

    def end(self) -> None:
        """End the session; does nothing without one."""
        begun, self._begun, self.locked = self._begun, None, False
        if begun is not None:
            self._call(lambda sessions: sessions.delete(LOCAL, begun[0]))

    def close(self) -> None:
        """End the session and its thread; does nothing if that was done."""
        self.end()
        if self._portal is not None and self._sessions is not None:
            self._portal.call(self._sessions.aclose)
            self._portal.close()
            self._sessions.store.close()
            self._portal = self._sessions = None

    def _call(self, work: Callable[[Sessions], Awaitable[T]]) -> T:
        if self._portal is None or self._sessions is None:
            given: dict[str, Any] = {}  # all as the environment says
            self._sessions = Sessions(MemoryStore(), self._catalogue, Settings(**given), Metrics())
            self._portal = Portal()
        sessions = self._sessions
        return self._portal.call(lambda: work(sessions))

    def _steps(self, run: str) -> list[StepRows]:
        steps: list[StepRows] = []

        def read(sessions: Sessions) -> Awaitable[StepLogPage]:
            return sessions.log(LOCAL, run, len(steps), PAGE)

        while True:
            page = self._call(read)
            steps += [given.step for given in page.steps]
            if len(steps) >= page.run.position:
                return steps


def _time(spec: SessionSpec, step: StepRows) -> float:
    """Return the displayed time of a step."""
    rows = zip(digits_of(spec), step.rows, strict=True)
    time: float = next(round(row[0], places) for places, row in rows if row is not None)
    return time


def _tree(spec: SessionSpec, step: StepRows, flat: bool) -> Tree:
    return step_tree(spec, digits_of(spec), step.rows, flat=flat, texts=False)
