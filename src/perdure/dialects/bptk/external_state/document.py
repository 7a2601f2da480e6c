"""The document: an instance with its session as self-contained JSON.

Names that BPTK's session state has mean the same here. Numbers keep their bits: JSON's shortest decimal form
of a double is exact, and numbers that aren't finite are text, since JSON has no form for them.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from perdure.dialects.bptk.stream_keys import chunk_key
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.drivers.step_inputs import encode_inputs
from perdure.errors import CorruptBlob
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Entry, Key
from perdure.state.codec import State, encode, pack, unpack

__all__ = [
    "FORMAT",
    "Column",
    "Document",
    "EngineStates",
    "JsonAnswers",
    "Keys",
    "RunPart",
    "Started",
    "entries_of",
    "is_document",
    "parse",
    "to_json_answers",
    "to_json_number",
]

FORMAT: Literal["perdure-1"] = "perdure-1"
STARTED: Literal["perdure-1-started"] = "perdure-1-started"

PACKED = "packed"

Number = float | str | dict[str, bytes]
"""A double, or ``NaN``, ``Infinity``, ``-Infinity``, or ``NaN:`` and its 64 bits in hexadecimal.

Other data are an object with the key `PACKED`, and the codec's bytes.
"""


JsonAnswers = dict[str, list[Number] | bytes]
"""The values that each impure function returned during a step, in the order of its calls.

The answers of other engines than system dynamics are the codec's bytes, under `PACKED`.
"""


class Column(msgspec.Struct, frozen=True):
    """The results of one scenario: the times, and each equation's values at them."""

    times: list[float]
    equations: dict[str, list[Number]]


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """A request's idempotency key: `count` ordinals from `ordinal` on, for the steps from `position` on.

    If `streamed`, each step is a chunk of its own.
    """

    text: str
    body_hash: bytes
    position: int
    ordinal: int = 0
    count: int = 1
    streamed: bool = False

    def each(self) -> Iterator[tuple[int, Key]]:
        """Yield the position and the key of each step."""
        for number in range(self.count):
            key = Key(self.text, self.body_hash, self.ordinal + number)
            yield self.position + number, chunk_key(key, key.ordinal) if self.streamed else key


class EngineStates(msgspec.Struct, frozen=True, kw_only=True):
    """A savepoint: the engine's state as a checked blob, by entity."""

    timestamp: int
    position: int
    states: dict[str, bytes]


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """The session's run: its record, and the fields of `SessionSpec` besides names and seed."""

    id: str
    state: RunStatus
    outcome: Outcome | None
    reason: str
    created: float
    position: int
    key: Key | None
    scenarios: list[ScenarioSpec]
    every: int
    milestone: int
    base: int
    numerics: str = ""
    earlier_numerics: list[str] = []


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with a session.

    Attributes
    ----------
    format
        `FORMAT`.
    scenario_managers, scenarios, equations
        Their names.
    starttime, stoptime, dt, step
        Start and stop of the session, the interval between answers, and the time of the next one, in the
        model's unit.
    settings_log
        Step number → manager → scenario → ``constants`` and ``points``; steps without any are left out.
    results_log
        Manager → scenario → results.
    seed
        Seed of the random draws.
    owner
        Owner of the instance.
    accessed
        Unix time of the last request, in seconds.
    keys
        The idempotency keys of the latest requests, ascending.
    run
        The session's run.
    engine_states
        The newest savepoint; None if there is none yet.
    answers_log
        Step number → manager → scenario → values that impure functions returned; steps without any are left
        out.
    former_states
        The previous savepoint, at which a restore begins; None if there is none.
    started
        A hash of the request that started the instance with an idempotency key; None without one.
    """

    format: Literal["perdure-1"] = "perdure-1"
    scenario_managers: list[str]
    scenarios: list[str]
    equations: list[str]
    starttime: float
    stoptime: float
    dt: float
    step: float
    settings_log: dict[str, dict[str, dict[str, dict[str, Any]]]]
    results_log: dict[str, dict[str, Column]]
    seed: int
    owner: str
    accessed: float
    keys: list[Keys]
    run: RunPart
    engine_states: EngineStates | None
    started: bytes | None = None
    answers_log: dict[str, dict[str, dict[str, JsonAnswers]]] = {}
    former_states: EngineStates | None = None

    @property
    def spec(self) -> SessionSpec:
        """The session's spec."""
        run = self.run
        return SessionSpec(
            scenarios=run.scenarios,
            seed=self.seed,
            every=run.every,
            milestone=run.milestone,
            base=run.base,
            numerics=run.numerics,
            earlier_numerics=run.earlier_numerics,
        )


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """An instance without a session that was started with an idempotency key.

    Attributes
    ----------
    format
        `STARTED`.
    owner, accessed, started
        As in a `Document`.
    """

    format: Literal["perdure-1-started"] = "perdure-1-started"
    owner: str
    accessed: float
    started: bytes


def is_document(state: Any) -> bool:
    """Return whether a JSON state is a document of this version, and not one of BPTK's."""
    return isinstance(state, dict) and state.get("format") in (FORMAT, STARTED)


def parse(state: Any) -> Document | Started:
    """Convert a JSON state into a document; raise `CorruptBlob` if it is damaged."""
    try:
        if state["format"] == STARTED:
            return msgspec.convert(state, Started)
        return msgspec.convert(state, Document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise CorruptBlob(reason=str(error)) from error


def entries_of(document: Document) -> list[Entry]:
    """Return the step log as entries for a store, with keys; raise `CorruptBlob` if it is inconsistent."""
    try:
        columns = [
            (document.results_log[part.manager][part.scenario], part.outputs)
            for part in document.run.scenarios
        ]
        index = {(part.manager, part.scenario): i for i, part in enumerate(document.run.scenarios)}
        series = [
            (column.times, [list(map(_from_json, column.equations[name])) for name in outputs])
            for column, outputs in columns
        ]
        if any(len(values) != len(times) for times, names in series for values in names):
            raise CorruptBlob(reason="an equation has more or fewer values than there are times")
        if document.run.position != max((len(times) for times, _ in series), default=0):
            raise CorruptBlob(reason="its run has more or fewer steps than were answered")
        keys = {position: key for group in document.keys for position, key in group.each()}
        entries = []
        for number in range(document.run.position):
            rows: list[State] = [
                [times[number], *(values[number] for values in names)] if number < len(times) else None
                for times, names in series
            ]
            given: dict[int, Mapping[str, Any]] = {
                index[manager, scenario]: values
                for manager, scenarios in document.settings_log.get(str(number + 1), {}).items()
                for scenario, values in scenarios.items()
            }
            answers = {
                index[manager, scenario]: _answers_from_json(values)
                for manager, scenarios in document.answers_log.get(str(number + 1), {}).items()
                for scenario, values in scenarios.items()
            }
            inputs = encode_inputs(list(given.items()), answers)
            entries.append(Entry(inputs=inputs, outputs=encode(rows), key=keys.get(number + 1)))
    except (KeyError, ValueError, RecursionError, struct.error) as error:
        raise CorruptBlob(reason=f"its logs don't fit its scenarios: {error!r}") from error
    return entries


def to_json_number(value: Any) -> Number:
    """Return a value in a form that JSON holds without loss.

    >>> to_json_number(0.1), to_json_number(-math.inf), to_json_number(math.nan)
    (0.1, '-Infinity', 'NaN')
    """
    if type(value) is not float:
        return {PACKED: pack(value)}
    if math.isfinite(value):
        return value
    if value == value:
        return "Infinity" if value > 0 else "-Infinity"
    bits = struct.pack(">d", value).hex()
    return "NaN" if bits == _NAN else f"NaN:{bits}"


_NAN = struct.pack(">d", math.nan).hex()


def to_json_answers(answers: Any) -> JsonAnswers:
    """Return an engine's recorded answers in a form that JSON holds without loss."""
    if isinstance(answers, dict) and all(_are_doubles(numbers) for numbers in answers.values()):
        return {name: list(map(to_json_number, numbers)) for name, numbers in answers.items()}
    return {PACKED: pack(answers)}


def _answers_from_json(answers: JsonAnswers) -> Any:
    """Invert `to_json_answers`."""
    packed = answers.get(PACKED)
    if isinstance(packed, bytes):
        return unpack(packed)
    return {name: list(map(_from_json, numbers)) for name, numbers in answers.items()}


def _are_doubles(numbers: Any) -> bool:
    return type(numbers) is list and all(type(number) is float for number in numbers)


def _from_json(value: Any) -> Any:
    """Invert `to_json_number`."""
    if isinstance(value, dict):
        return unpack(value[PACKED])
    if not isinstance(value, str):
        return value
    if value.startswith("NaN:"):
        number: float
        (number,) = struct.unpack(">d", bytes.fromhex(value.removeprefix("NaN:")))
        return number
    return float(value)
