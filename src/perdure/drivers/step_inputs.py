"""Step inputs: what a step was given, as the log holds it.

That is what its client set, and what its engines asked for and were answered, as neither follows from the
steps before.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from perdure.state.codec import State, decode, encode

__all__ = ["Answers", "Inputs", "StepInputs", "decode_inputs", "encode_inputs"]

Inputs = list[tuple[int, Mapping[str, Any]]]
"""What a step is given: pairs of a scenario's index in the spec and its engine's inputs."""

Answers = Mapping[int, Any]
"""What engines were answered, by the scenario's index; those that asked nothing are left out."""


class StepInputs(NamedTuple):
    """What a step was given."""

    inputs: Inputs
    answers: Answers


def encode_inputs(inputs: Inputs, answers: Answers) -> bytes | None:
    """Encode what a step was given; None for nothing."""
    given = dict(inputs)
    entries: list[State] = []
    for index in sorted({*given, *answers}):
        entry: list[State] = [index, dict(given.get(index, {}))]
        entries.append([*entry, answers[index]] if index in answers else entry)
    return encode(entries) if entries else None


def decode_inputs(blob: bytes | None) -> StepInputs:
    """Decode what `encode_inputs` made; raise like `perdure.state.codec.decode`."""
    entries = [] if blob is None else decode(blob)
    return StepInputs(
        [(index, given) for index, given, *answered in entries if given or not answered],
        {index: answered[0] for index, _, *answered in entries if answered},
    )
