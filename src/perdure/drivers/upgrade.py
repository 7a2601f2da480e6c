"""The upgrade: a session whose models changed goes on with their present versions.

The newest intact savepoint is given to the model's upgrade function; what came after it in the log is stepped
again by the new model, from the same inputs and without comparison. What was answered stays in the log as it
was. From the upgrade's position on the session is restored with the new model; before it, it can't be.
"""

from concurrent.futures import Future
from contextlib import closing

import msgspec

from perdure.drivers.live_session import LiveSession
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.engines.base import Engine
from perdure.errors import ModelUnchanged, PerdureError, ScenarioNotFound, UpgradeRefused
from perdure.lifecycle import FINAL
from perdure.run import Change, Run
from perdure.scenarios import Catalogue, Scenario
from perdure.state.codec import decode, encode
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Append, Appended, Unleased, encoded
from perdure.stores.savepoints import newest_savepoint

__all__ = ["upgrade_session"]


def upgrade_session(store: Store, run: Run, catalogue: Catalogue) -> tuple[Future[Appended], int]:
    """Upgrade a session, whose lock is held, and hand the result to the store as one atomic item.

    Returns
    -------
    (Future of Appended, int)
        The write under way, and how many logged steps the new model took again.

    Raises
    ------
    ModelUnchanged
        If the session's models are the present ones.
    UpgradeRefused
        If the session has ended, a model has no upgrade function, that fails, or what it returned doesn't fit
        the model.
    """
    if run.state in FINAL:
        raise UpgradeRefused(run=run.id, reason=f"it is {run.state.value}")
    spec = SessionSpec.from_blob(run.spec)
    scenarios = [_scenario(run, catalogue, former) for former in spec.scenarios]
    pairs = list(zip(spec.scenarios, scenarios, strict=True))
    if all(former.fingerprint == scenario.fingerprint for former, scenario in pairs):
        raise ModelUnchanged(run=run.id)
    savepoint = newest_savepoint(store, run.id, since=spec.base)
    states = {
        former.entity: _upgraded_state(run, former, scenario, savepoint.entities[former.entity])
        for former, scenario in pairs
    }
    upgraded = msgspec.structs.replace(
        spec, scenarios=[_adapted(former, scenario) for former, scenario in pairs], base=run.position
    )

    def make_engine(part: ScenarioSpec) -> Engine:
        return catalogue.scenario(part.manager, part.scenario).start(part.config)

    start = Savepoint(timestamp=savepoint.timestamp, position=savepoint.position, entities=states)
    try:
        with closing(LiveSession.begin(run.id, run.owner, upgraded, make_engine, start)) as session:
            session.replay(store, run.position, compare=False)
            reached = session.savepoint(milestone=True)
    except PerdureError as error:
        raise UpgradeRefused(run=run.id, reason=str(error)) from error
    append = store.submit(
        Append(
            run.id,
            Unleased.of(run),
            run.position,
            [],
            encoded(reached),
            Change(spec=upgraded.to_blob()),
        )
    )
    return append, run.position - savepoint.position


def _scenario(run: Run, catalogue: Catalogue, former: ScenarioSpec) -> Scenario:
    try:
        return catalogue.scenario(former.manager, former.scenario)
    except ScenarioNotFound as error:
        raise UpgradeRefused(run=run.id, reason=str(error)) from error


def _upgraded_state(run: Run, former: ScenarioSpec, scenario: Scenario, state: bytes) -> bytes:
    """Let the model bring a state that a former version made to its present form."""
    if former.fingerprint == scenario.fingerprint:
        return state
    model = scenario.model
    if not model.upgradable:
        raise UpgradeRefused(run=run.id, reason=f"the model {model.name!r} has no upgrade function")
    try:
        return encode(model.upgraded(decode(state), former.fingerprint))
    except Exception as error:  # it is the modeller's code
        reason = f"the upgrade function of {model.name!r} failed with {type(error).__name__}: {error}"
        raise UpgradeRefused(run=run.id, reason=reason) from error


def _adapted(former: ScenarioSpec, scenario: Scenario) -> ScenarioSpec:
    """Return a scenario's spec for its present model, without what that doesn't have any more.

    What is in force is in the state, where the upgrade function may rename it. Rows keep their form: an
    output that is gone is None from here on.
    """
    config = scenario.model.adapted(former.config)
    return msgspec.structs.replace(former, fingerprint=scenario.fingerprint, config=config)
