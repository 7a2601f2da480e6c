"""The upgrade: a session whose models changed goes on with their present versions.

The newest intact savepoint is given to the model's upgrade function; what came after it in the log is stepped
again by the new model, from the same inputs and without comparison. What was answered stays in the log as it
was. From the upgrade's position on the session is restored with the new model; before it, it can't be.
"""

from concurrent.futures import Future

import msgspec

from perdure.drivers.live_session import LiveSession
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.engines.base import Engine
from perdure.errors import OutputNotFound, PerdureError, ScenarioNotFound, UpgradeRefused, suggest
from perdure.lifecycle import FINAL
from perdure.run import Change, Run
from perdure.scenarios import Catalogue, Scenario
from perdure.state.codec import decode, encode
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import newest_intact
from perdure.stores.base import Appended, Store

__all__ = ["upgrade_session"]


def upgrade_session(store: Store, run: Run, catalogue: Catalogue) -> tuple[Future[Appended], int]:
    """Upgrade a session, whose lock is held, and hand the result to the store as one atomic item.

    Returns
    -------
    (Future of Appended, int)
        The write under way, and how many logged steps the new model took again.

    Raises
    ------
    UpgradeRefused
        If the session has ended, nothing changed, a model has no upgrade function, or what that returned
        doesn't fit the model.
    """
    if run.state in FINAL:
        raise UpgradeRefused(run=run.id, reason=f"it is {run.state.value}")
    spec = SessionSpec.from_blob(run.spec)
    scenarios = [_scenario(run, catalogue, former) for former in spec.scenarios]
    changed = [
        former.fingerprint != scenario.model.fingerprint()
        for former, scenario in zip(spec.scenarios, scenarios, strict=True)
    ]
    if not any(changed):
        raise UpgradeRefused(run=run.id, reason="its models are the ones it was made with")
    for scenario, differs in zip(scenarios, changed, strict=True):
        if differs and scenario.model.upgrade is None:
            raise UpgradeRefused(
                run=run.id, reason=f"the model {scenario.model.name!r} has no upgrade function"
            )
        _check_outputs(run, spec, scenario)

    usable = [info.timestamp for info in store.savepoints(run.id) if info.position >= spec.base]
    savepoint, _ = newest_intact(run.id, usable, lambda at: store.savepoint(run.id, at))
    states = {}
    for former, scenario, differs in zip(spec.scenarios, scenarios, changed, strict=True):
        state = savepoint.entities[former.entity]
        if differs and scenario.model.upgrade is not None:
            state = encode(scenario.model.upgrade(decode(state), former.fingerprint))
        states[former.entity] = state

    upgraded = msgspec.structs.replace(
        spec,
        scenarios=[
            msgspec.structs.replace(former, fingerprint=scenario.model.fingerprint())
            for former, scenario in zip(spec.scenarios, scenarios, strict=True)
        ],
        base=run.position,
    )

    def make_engine(part: ScenarioSpec) -> Engine:
        engine = catalogue.scenario(part.manager, part.scenario).engine()
        engine.initialize(part.config)
        return engine

    start = Savepoint(timestamp=savepoint.timestamp, position=savepoint.position, entities=states)
    try:
        session = LiveSession.at_savepoint(run.id, run.owner, upgraded, make_engine, start)
        session.replay(store, run.position, compare=False)
    except PerdureError as error:
        raise UpgradeRefused(run=run.id, reason=str(error)) from error
    append = store.append(
        run.id,
        store.fence,
        run.position,
        [],
        session.savepoint(milestone=True),
        Change(spec=upgraded.to_blob()),
    )
    return append, run.position - savepoint.position


def _scenario(run: Run, catalogue: Catalogue, former: ScenarioSpec) -> Scenario:
    try:
        return catalogue.scenario(former.manager, former.scenario)
    except ScenarioNotFound as error:
        raise UpgradeRefused(run=run.id, reason=str(error)) from error


def _check_outputs(run: Run, spec: SessionSpec, scenario: Scenario) -> None:
    known = list(scenario.elements)
    for part in spec.scenarios:
        if (part.manager, part.scenario) == (scenario.manager, scenario.name):
            for name in part.outputs:
                if name not in known:
                    missing = OutputNotFound(name=name, suggestion=suggest(name, known))
                    raise UpgradeRefused(run=run.id, reason=str(missing))
