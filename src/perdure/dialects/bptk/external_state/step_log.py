"""The step log as columns: what a mirror keeps of a session, so that a save only decodes new steps.

The columns grow with the session and are passed by reference; a caller that stores them copies them.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from perdure.dialects.bptk.external_state.document import (
    Column,
    JsonAnswers,
    Keys,
    to_json_answers,
    to_json_number,
)
from perdure.dialects.bptk.stream_keys import is_streamed, ordinal_in_stream
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.step_inputs import Answers, decode_inputs
from perdure.run import Key, Step
from perdure.state.codec import decode

__all__ = ["StepLog"]

LATEST = 32  # requests whose idempotency keys are kept

Settings = dict[str, dict[str, dict[str, dict[str, Any]]]]


class StepLog:
    """The step log of one session, decoded.

    Parameters
    ----------
    run_id
        The session's run.
    spec
        The session's spec, which defines the columns.

    Attributes
    ----------
    position
        Number of steps.
    results, settings, answers, keys
        As in a document.
    """

    def __init__(self, run_id: str, spec: SessionSpec) -> None:
        self.run_id = run_id
        self.spec = spec
        self.position = 0
        self.results: dict[str, dict[str, Column]] = {}
        self.settings: Settings = {}
        self.answers: dict[str, dict[str, dict[str, JsonAnswers]]] = {}
        self.keys: deque[Keys] = deque(maxlen=LATEST)
        for part in spec.scenarios:
            column = Column([], {name: [] for name in part.outputs})
            self.results.setdefault(part.manager, {})[part.scenario] = column

    def extend(self, steps: Sequence[Step], keys: Sequence[tuple[int, Key]]) -> None:
        """Add the following steps, with the keys of their positions."""
        parts = [(part, self.results[part.manager][part.scenario]) for part in self.spec.scenarios]
        for step in steps:
            for (part, column), row in zip(parts, decode(step.outputs), strict=True):
                if row is not None:
                    time, *values = row
                    column.times.append(time)
                    for name, value in zip(part.outputs, values, strict=True):
                        column.equations[name].append(to_json_number(value))
            if step.inputs is not None:
                inputs, answers = decode_inputs(step.inputs)
                settings: dict[str, dict[str, dict[str, Any]]] = {}
                for index, given in inputs:
                    part = self.spec.scenarios[index]
                    settings.setdefault(part.manager, {})[part.scenario] = dict(given)
                if settings:
                    self.settings[str(step.position)] = settings
                if answers:
                    self.answers[str(step.position)] = self._answers(answers)
        self.position += len(steps)
        for position, key in keys:
            self._add_key(position, key)

    def _answers(self, answers: Answers) -> dict[str, dict[str, JsonAnswers]]:
        found: dict[str, dict[str, JsonAnswers]] = {}
        for index, answered in answers.items():
            part = self.spec.scenarios[index]
            found.setdefault(part.manager, {})[part.scenario] = to_json_answers(answered)
        return found

    def _add_key(self, position: int, key: Key) -> None:
        text, ordinal = ordinal_in_stream(key)
        last = self.keys[-1] if self.keys else None
        if (
            last is not None
            and (last.text, last.body_hash) == (text, key.body_hash)
            and (last.position + last.count, last.ordinal + last.count) == (position, ordinal)
        ):
            streamed = last.streamed or is_streamed(key)
            self.keys[-1] = replace(last, count=last.count + 1, streamed=streamed)
            return
        self.keys.append(
            Keys(
                text=text,
                body_hash=key.body_hash,
                position=position,
                ordinal=ordinal,
                streamed=is_streamed(key),
            )
        )
