"""Rebuilding: replays a session of BPTK-Py step by step, and compares it with the recorded answers.

An override takes effect at the time of its step. BPTK-Py 3.2 does that for constants. In earlier versions,
and always for points, it evaluates lazily: values that an answer doesn't need at its own time are evaluated
at the next step, with the overrides of that step, as if these had been set one step earlier. So if a session
doesn't lead to its results as logged, this interpretation is tried. If neither leads to them, the session is
refused: its further numbers would contradict the recorded ones.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from perdure.dialects.bptk.external_state.legacy import LegacySession, Settings
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.listing import by_manager
from perdure.dialects.bptk.mistakes import BptkError
from perdure.dialects.bptk.overrides import known_overrides
from perdure.dialects.bptk.simulation_scenario import system_dynamics_of
from perdure.drivers.session_requests import ADMINISTRATOR, NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.compiling.order import closure
from perdure.engines.system_dynamics.compiling.program import DRAWS, references
from perdure.errors import CorruptBlob, Invalid, NotFound, Refused
from perdure.run import Run
from perdure.scenarios import Scenario

__all__ = ["rebuild"]

RELATIVE = 1e-9
"""Tolerance of numbers: NumPy's functions, which BPTK-Py uses, differ from libm's by a few units in the last
place (1e-16 a step); another model differs by far more."""

ABSOLUTE = 1e-12  # of the equation's largest value, for numbers near zero


async def rebuild(sessions: Sessions, instance: Instance, state: Any) -> Run:
    """Create the run of a session of BPTK-Py.

    Raises
    ------
    CorruptBlob
        If it isn't one, or can't be reproduced; the reason says why.
    """
    session = LegacySession.parse(state)
    try:
        return await _rebuild(sessions, instance, session)
    except (Invalid, NotFound, Refused, BptkError) as error:
        raise CorruptBlob(reason=str(error)) from error


async def _rebuild(sessions: Sessions, instance: Instance, session: LegacySession) -> Run:
    scenarios = _scenarios(sessions, session)
    if session.results:
        _check_reproducible(session, scenarios)
    readings: list[list[Settings]] = []
    for constants, points in ((False, False), (False, True), (True, True)):
        reading = _reading(session, scenarios, constants=constants, points=points)
        if reading not in readings:
            readings.append(reading)
    differences = []
    for reading in readings:
        run, difference = await _replay(sessions, instance, session, scenarios, reading)
        if difference is None:
            return run
        await sessions.delete(ADMINISTRATOR, run.id)
        differences.append(difference)
    raise CorruptBlob(
        reason=f"the session can't be reproduced: {differences[0]}. The model changed since, or BPTK-Py "
        "forgot settings or evaluated them late"
    )


def _scenarios(sessions: Sessions, session: LegacySession) -> list[Scenario]:
    catalogue = sessions.catalogue
    return [
        catalogue.scenario(manager, name)
        for manager in session.managers
        for name in session.scenarios
        if name in catalogue.manager(manager).scenarios
    ]


def _check_reproducible(session: LegacySession, scenarios: Iterable[Scenario]) -> None:
    for scenario in scenarios:
        program = system_dynamics_of(scenario).program()
        if program.impure:
            raise CorruptBlob(
                reason=f"{min(program.impure)!r} is impure, and BPTK-Py kept nothing of its answers"
            )
        for definition in [*program.definitions.values(), *program.initials.values()]:
            if any(instruction.operator in DRAWS for instruction in definition.code):
                raise CorruptBlob(
                    reason=f"{definition.owner!r} draws random numbers, which BPTK-Py can't draw again"
                )
        starttime = scenario.config([], seed=0)["starttime"]
        if starttime != session.starttime:
            raise CorruptBlob(
                reason=f"it began at {session.starttime}, but {scenario.label} begins at {starttime}"
            )


async def _replay(
    sessions: Sessions,
    instance: Instance,
    session: LegacySession,
    scenarios: list[Scenario],
    reading: list[Settings],
) -> tuple[Run, str | None]:
    """Replay the session.

    Return its run, and the first difference from the recorded answers, if there is one.
    """
    known = {name for scenario in scenarios for name in scenario.elements}
    outputs = [name for name in session.equations if name in known]
    if not outputs:
        raise CorruptBlob(reason=f"the models have none of its equations: {session.equations!r:.80}")
    request = NewSession(
        scenarios=by_manager(scenarios),
        outputs=outputs,
        dt=session.dt,
        settings=known_overrides(session.begun_with, scenarios),
    )
    run = (await sessions.create(instance.owner, request)).run
    difference = None
    try:
        compare = _comparison(session)
        for number, given in enumerate(reading):
            settings = known_overrides(given, scenarios)
            answer = await sessions.step(ADMINISTRATOR, run.id, StepRequest(settings=settings))
            now = {
                (part.manager, part.scenario, name): value
                for part, row in zip(answer.spec.scenarios, answer.steps[0].rows, strict=True)
                if row is not None
                for name, value in zip(part.outputs, row[1:], strict=True)
            }
            if difference := compare(number, now):
                break
    except BaseException:
        with suppress(NotFound):
            await sessions.delete(ADMINISTRATOR, run.id)
        raise
    return await sessions.run(ADMINISTRATOR, run.id), difference


def _comparison(session: LegacySession) -> Callable[[int, dict[tuple[str, str, str], float]], str | None]:
    """Return a function that describes the difference between a step's numbers and the recorded ones."""
    largest: dict[tuple[str, str, str], float] = {}
    for results in session.results:
        for place, value in results.items():
            if math.isfinite(value):
                largest[place] = max(abs(value), largest.get(place, 0.0))

    def compare(number: int, now: dict[tuple[str, str, str], float]) -> str | None:
        for place, then in session.results[number].items():
            value = now.get(place)
            if value is None:
                return f"{place[2]!r} of {place[1]!r} was answered, but the model doesn't answer it"
            near = math.isclose(
                value, then, rel_tol=RELATIVE, abs_tol=ABSOLUTE * largest.get(place, 0.0)
            ) or (value != value and then != then)
            if not near:
                at = session.starttime + number * session.dt
                return f"{place[2]!r} of {place[1]!r} was {then} at {at}, and is {value} now"
        return None

    return compare


def _reading(
    session: LegacySession, scenarios: Iterable[Scenario], *, constants: bool, points: bool
) -> list[Settings]:
    """Return the settings of each step, with late overrides moved to the step before.

    Parameters
    ----------
    constants, points
        Whether those are moved that no answer needs at its own time.
    """
    if not constants and not points:
        return session.settings
    needed = {
        (scenario.manager, scenario.name): _needed(system_dynamics_of(scenario), session.equations)
        for scenario in scenarios
    }
    reading: list[Settings] = [{} for _ in session.settings]
    for number, given in enumerate(session.settings):
        for manager, of_manager in given.items():
            for scenario, kinds in of_manager.items():
                names_needed = needed.get((manager, scenario), frozenset())
                for kind, values in kinds.items():
                    late = {"constants": constants, "points": points}.get(kind, False)
                    for name, value in values.items():
                        at = number - 1 if late and (kind, name) not in names_needed else number
                        of_step = reading[max(at, 0)].setdefault(manager, {}).setdefault(scenario, {})
                        of_step.setdefault(kind, {})[name] = value
    return reading


def _needed(model: Model, equations: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return the constants and points that an answer needs at its own time, each as (kind, name)."""
    program = model.program()

    def inputs(name: str) -> list[str]:
        definition = program.definitions.get(name)
        if definition is None or definition.kind == "stock":
            return []
        delays = [str(each.data) for each in definition.code if each.operator == "delay"]
        return [*references(definition.code), *(program.delays[delay].input for delay in delays)]

    found = closure([name for name in equations if name in model.elements], inputs)
    tables = {
        ("points", instruction.data)
        for name in found
        if (definition := program.definitions.get(name)) is not None and definition.kind != "stock"
        for instruction in definition.code
        if instruction.operator == "lookup" and isinstance(instruction.data, str)
    }
    return frozenset({("constants", name) for name in found} | tables)
