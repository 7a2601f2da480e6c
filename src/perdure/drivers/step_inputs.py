"""Step inputs: what a client sets in a step, and what the engines were answered; the log holds both.

Neither follows from the steps before.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from perdure.drivers.session_spec import SessionSpec
from perdure.errors import ScenarioNotFound, nearest
from perdure.state.codec import State, decode, encode

__all__ = ["Answers", "Inputs", "StepInputs", "decode_inputs", "encode_inputs", "settings_to_inputs"]

Inputs = list[tuple[int, Mapping[str, Any]]]
"""What a client sets: pairs of a scenario's index in the spec and the inputs of its engine."""

Answers = Mapping[int, Any]
"""What engines were answered, by the scenario's index; those that asked nothing are left out."""


class StepInputs(NamedTuple):
    """The inputs of a step, and the answers that its engines got."""

    inputs: Inputs
    answers: Answers


def settings_to_inputs(spec: SessionSpec, settings: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Inputs:
    """Sort settings (manager → scenario → engine inputs) by the session's scenarios.

    Raises
    ------
    ScenarioNotFound
        For a manager or scenario that isn't part of the session.
    """
    index = {(scenario.manager, scenario.scenario): i for i, scenario in enumerate(spec.scenarios)}
    inputs: Inputs = []
    for manager, scenarios in settings.items():
        managers = {known for known, _ in index}
        if manager not in managers:
            raise ScenarioNotFound(
                what="scenario manager in this session called",
                name=manager,
                suggestion=nearest(manager, managers),
            )
        for scenario, given in scenarios.items():
            if (manager, scenario) not in index:
                raise ScenarioNotFound(
                    what=f"scenario of {manager!r} in this session called",
                    name=scenario,
                    suggestion=nearest(scenario, [name for owner, name in index if owner == manager]),
                )
            if given:
                inputs.append((index[manager, scenario], given))
    return sorted(inputs, key=lambda pair: pair[0])


def encode_inputs(inputs: Inputs, answers: Answers) -> bytes | None:
    """Encode the inputs and answers of a step; None if there are none."""
    given = dict(inputs)
    entries: list[State] = []
    for index in sorted({*given, *answers}):
        entry: list[State] = [index, dict(given.get(index, {}))]
        entries.append([*entry, answers[index]] if index in answers else entry)
    return encode(entries) if entries else None


def decode_inputs(blob: bytes | None) -> StepInputs:
    """Decode the result of `encode_inputs`; raises the errors of `perdure.state.codec.decode`."""
    entries = [] if blob is None else decode(blob)
    return StepInputs(
        [(index, given) for index, given, *answered in entries if given or not answered],
        {index: answered[0] for index, _, *answered in entries if answered},
    )
