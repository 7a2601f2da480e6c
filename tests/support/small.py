"""A small model and quick ways to sessions on it."""

from collections.abc import Sequence
from typing import Any

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store

NEW = NewSession(scenarios={"bath": ["base"]}, outputs=["water", "inflow"], seed=1)
STEP = StepRequest()


def bath(*, drain: float = 0.1, stoptime: float = 1000.0) -> Model:
    """Make a bath tub: a stock, a flow in, a flow out."""
    model = Model(starttime=0.0, stoptime=stoptime, dt=1.0, name="bath")
    water = model.stock("water")
    inflow = model.flow("inflow")
    outflow = model.flow("outflow")
    tap = model.constant("tap")
    leak = model.constant("leak")
    water.initial_value = 5.0
    water.equation = inflow - outflow
    inflow.equation = tap * 1.0
    outflow.equation = water * leak
    tap.equation = 2.0
    leak.equation = drain
    return model


def catalogue_of(model: Model, **scenarios: Any) -> Catalogue:
    """Return a catalogue of one manager, ``bath``."""
    made = Catalogue()
    made.register_model(model, scenario_manager="bath", scenario={"base": {}, **scenarios})
    return made


def catalogue() -> Catalogue:
    """Return the bath tub, for the command line."""
    return catalogue_of(bath())


def changed() -> Catalogue:
    """Return another bath tub without an upgrade function."""
    return catalogue_of(bath(drain=0.2))


def upgradable() -> Catalogue:
    """Return another bath tub with one."""
    model = bath(drain=0.2)
    model.upgrade = lambda state, former: state
    return catalogue_of(model)


def sessions_on(store: Store, catalogue: Catalogue | None = None, **settings: Any) -> Sessions:
    """Return sessions with an empty memory."""
    return Sessions(store, catalogue or catalogue_of(bath()), Settings(**settings), Metrics())


def settings(**constants: float) -> dict[str, Any]:
    """Return settings of the one scenario."""
    return {"bath": {"base": {"constants": constants}}}


def numbers(rows: Sequence[Any]) -> list[Any]:
    """Return the rows of the first scenario."""
    return [step.rows[0] for step in rows]
