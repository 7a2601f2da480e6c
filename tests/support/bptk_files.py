"""Sessions of BPTK-Py's releases: their model, served by us, and what it answers from the start on."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.mirrored import OWNER, Inside

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.scenarios import Catalogue

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bptk"


def _bath_model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bath_model", FIXTURES / "bath_model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BATH = _bath_model()


def catalogue(**model: Any) -> Catalogue:
    """Return the bath tub of the files."""
    made = Catalogue()
    made.register_scenario_manager(
        {BATH.MANAGER: {"model": BATH.make(Model, sd, **model), "scenarios": BATH.SCENARIOS}}
    )
    return made


async def from_the_start(
    inside: Inside, name: str, more: list[Any], steps: list[Any] | None = None
) -> list[Any]:
    """Return the rows of a session of our own, which was given the same from its first step on.

    By default `steps` are those of the case.
    """
    _, _, case = name.split("-", 2)
    scenarios, equations, of_case = BATH.CASES[case]
    created = await inside.sessions.create(
        OWNER,
        NewSession(
            scenarios={BATH.MANAGER: scenarios},
            outputs=equations,
            dt=1.0,
            settings={} if name.startswith("1.") else BATH.BEGUN_WITH.get(case, {}),
        ),
    )
    rows = []
    given = [*(of_case if steps is None else steps), *more]
    if case == "stock-only" and not name.startswith("3.2"):
        # Nothing that is answered needs these constants at its own time: they acted one step earlier.
        given = [*given[1:], None]
    for settings in given:
        request = StepRequest(settings={} if settings is None else {BATH.MANAGER: {"base": settings}})
        rows.append((await inside.sessions.step(OWNER, created.run.id, request)).steps[0].rows)
    return rows
