"""The session as JSON: all of its results, written in pieces, so that sessions of any length fit into memory.

BPTK groups results by equation, the log by step. So the equations are written in groups, each with a pass
over the log, and at most `HELD` values are in memory.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from perdure.dialects.bptk.agent_answers import agent_time, is_of_agents, merged, of_step
from perdure.dialects.bptk.answers import Tree, step_tree
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.session_clock import bounds, digits_of, next_time, time_text
from perdure.dialects.bptk.session_log import SessionLog
from perdure.drivers.live_session import Row
from perdure.drivers.session_requests import StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.step_inputs import decode_inputs
from perdure.run import Step

__all__ = ["session_results", "state_entry"]

HELD = 250_000  # values that wait to be written


class _Column(NamedTuple):
    """One equation of one scenario: its index in the rows, and the JSON before and after it."""

    scenario: int
    place: int | None
    before: bytes
    after: bytes


def session_results(log: SessionLog, *, flat: bool) -> Iterator[bytes]:
    """Yield all results of a session: manager → scenario → ``equations`` → equation → time → value.

    Parameters
    ----------
    flat
        Whether an equation's values are a list, without times.
    """
    if log.position == 0:
        yield b"{}"
        return
    columns = _columns(log, flat)
    at_once = max(1, HELD // log.position + 1)  # the first of them is written while it is read
    for begin in range(0, len(columns), at_once):
        yield from _written(log, columns[begin : begin + at_once], flat)


def state_entry(instance: Instance, log: SessionLog | None) -> Iterator[bytes]:
    """Yield an instance with its session as JSON, with BPTK's names."""
    yield b'{"state":'
    if log is None:
        yield b"null"
    else:
        yield from _state(log)
    rest = {
        "instance_id": instance.id,
        "time": str(datetime.fromtimestamp(instance.accessed)),
        "timeout": instance.timeout,
        "step": None if log is None else next_time(log.spec, log.position),
    }
    yield b"," + msgspec.json.encode(rest)[1:]


def _columns(log: SessionLog, flat: bool) -> list[_Column]:
    """Return the columns in their order; a scenario without equations has one empty column."""
    spec = log.spec
    managers: dict[str, list[int]] = {}
    for index, part in enumerate(spec.scenarios):
        managers.setdefault(part.manager, []).append(index)
    opening, closing = (b"[", b"]") if flat else (b"{", b"}")
    columns: list[_Column] = []
    for manager, scenarios in managers.items():
        for index in scenarios:
            part = spec.scenarios[index]
            before = b"," if columns else b"{"
            if index == scenarios[0]:
                before += _key(manager) + b"{"
            equations = [(place, name) for place, name in enumerate(part.outputs) if not is_of_agents(name)]
            agents = b"" if len(equations) == len(part.outputs) else _agents(log, index, flat)
            if agents and not equations:
                before += _key(part.scenario) + b"{" + agents
                end = b"}"
            else:
                before += _key(part.scenario) + b'{"equations":{'
                end = b"}," + agents + b"}" if agents else b"}}"
            if index == scenarios[-1]:
                end += b"}"
            for place, name in equations:
                last = place == equations[-1][0]
                columns.append(
                    _Column(
                        index,
                        place + 1,
                        before + _key(name) + opening,
                        closing + (end if last else b""),
                    )
                )
                before = b","
            if not equations:
                columns.append(_Column(index, None, before, end))
    columns[-1] = columns[-1]._replace(after=columns[-1].after + b"}")
    return columns


def _agents(log: SessionLog, index: int, flat: bool) -> bytes:
    """Return what a scenario answered of agents; it is kept in memory as a whole."""
    names, digits = log.spec.scenarios[index].outputs, digits_of(log.spec)[index]
    steps: list[Tree] = []
    for page in log.pages():
        for step in page:
            row = StepRows.of(step).rows[index]
            if row is not None:
                steps.append(of_step(names, row[1:], agent_time(row[0], digits)))
    return _key("agents") + msgspec.json.encode(merged(steps, flat=flat))


def _written(log: SessionLog, columns: list[_Column], flat: bool) -> Iterator[bytes]:
    """Yield some columns in one pass over the log: the first at once, the others at the end."""
    digits = digits_of(log.spec)
    first, *others = columns
    held = [bytearray(column.before) for column in others]
    yield first.before
    comma = b""
    for page in log.pages():
        rows = [StepRows.of(step).rows for step in page]
        piece = _piece(rows, first, digits, flat)
        if piece:
            yield comma + piece
            comma = b","
        for column, text in zip(others, held, strict=True):
            piece = _piece(rows, column, digits, flat)
            if piece:
                if len(text) > len(column.before):
                    text += b","
                text += piece
    yield first.after
    for column, text in zip(others, held, strict=True):
        yield bytes(text) + column.after


def _piece(rows: list[list[Row | None]], column: _Column, digits: list[int], flat: bool) -> bytes:
    """Return a page of a column without the brackets around it."""
    place = column.place
    if place is None:
        return b""
    own = [row for step in rows if (row := step[column.scenario]) is not None]
    if flat:
        return msgspec.json.encode([row[place] for row in own])[1:-1]
    places = digits[column.scenario]
    return msgspec.json.encode({time_text(row[0], places): row[place] for row in own})[1:-1]


def _state(log: SessionLog) -> Iterator[bytes]:
    spec = log.spec
    parts = spec.scenarios
    digits = digits_of(spec)
    head = {
        "scenario_managers": list(dict.fromkeys(part.manager for part in parts)),
        "scenarios": list(dict.fromkeys(part.scenario for part in parts)),
        "equations": list(dict.fromkeys(name for part in parts for name in part.outputs)),
        "step": next_time(spec, log.position),
        **bounds(spec)._asdict(),
    }
    yield msgspec.json.encode(head)[:-1]
    for name, entry in (("settings_log", _settings), ("results_log", _results)):
        before = b"," + _key(name) + b"{"
        for page in log.pages():
            for step in page:
                rows = StepRows.of(step).rows
                time = next(
                    time_text(row[0], at) for row, at in zip(rows, digits, strict=True) if row is not None
                )
                yield before + _key(time) + msgspec.json.encode(entry(spec, digits, step, rows))
                before = b","
        yield (before if before != b"," else b"") + b"}"
    yield b"}"


def _settings(spec: SessionSpec, digits: list[int], step: Step, rows: list[Row | None]) -> Tree:
    """Return the settings of a step."""
    given: Tree = {}
    for index, inputs in decode_inputs(step.inputs).inputs:
        part = spec.scenarios[index]
        given.setdefault(part.manager, {})[part.scenario] = inputs
    return given


def _results(spec: SessionSpec, digits: list[int], step: Step, rows: list[Row | None]) -> Tree:
    """Return the results of a step."""
    return step_tree(spec, digits, rows, flat=False)


def _key(name: Any) -> bytes:
    return msgspec.json.encode(name) + b":"
