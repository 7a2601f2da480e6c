"""The handlers of BPTK's routes."""

import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import anyio.to_thread
import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from perdure.dialects.bptk import bulk
from perdure.dialects.bptk.answers import STOPTIME_REACHED, metrics_entry, step_results
from perdure.dialects.bptk.bodies import NO_NUMBER, expected_step, flag, need_json, whole
from perdure.dialects.bptk.execute import execute
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.json_stream import json_answer, off_loop
from perdure.dialects.bptk.listing import by_manager, scenario_names
from perdure.dialects.bptk.mistakes import BptkError
from perdure.dialects.bptk.overrides import Overrides, known_overrides, overrides_of
from perdure.dialects.bptk.session_clock import session_dt
from perdure.dialects.bptk.session_json import session_results, state_entry
from perdure.dialects.bptk.step_stream import StepStream
from perdure.dialects.bptk.timeouts import DEFAULT, checked_timeout
from perdure.drivers.seeds import LARGEST_SEED
from perdure.drivers.session_requests import Answer, NewSession, StepRequest
from perdure.engines.numbers import finite
from perdure.errors import InstanceNotFound
from perdure.run import Key
from perdure.scenarios import Scenario
from perdure.web.dialect import Call, Handler, json_response

__all__ = ["FIXED", "OF_INSTANCE"]

MANY_VALUES = 1_000  # a response with more is built off the event loop

NO_SETTINGS = "expecting settings to be set"
NO_SCENARIOS = "expecting the model to have scenarios"
NO_ADAPTER = "expecting an external state adapter to be set"


# The catalogue ----------------------------------------------------------------------------------------------


async def run(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Run scenarios from start to stop; what the call sets holds for it alone."""
    body = need_json(call)
    selected, overrides = bulk.selection(body), overrides_of(body.get("settings"))
    work = partial(bulk.run, dialect.sessions.catalogue, dialect.settings, selected, overrides)
    return await _computed(work, dialect.bulk)


async def run_execute(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Run a model that comes with the call."""
    return await _computed(partial(execute, need_json(call), dialect.settings), dialect.bulk)


async def scenarios(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """List the scenarios of each manager."""
    found = scenario_names(dialect.sessions.catalogue)
    if not found:
        raise BptkError(404, NO_SCENARIOS)
    return json_response(found)


async def equations(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """List the elements of a scenario's model."""
    return json_response(bulk.equations_of(dialect.sessions.catalogue, call))


async def agents(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """List the states and properties of a scenario's agents at its start."""
    work = partial(bulk.agents_of, dialect.sessions.catalogue, dialect.settings, call)
    return await _computed(work, dialect.bulk)


# Instances --------------------------------------------------------------------------------------------------


async def start_instance(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Start an instance."""
    given, timeout = _timeout(call)
    (instance,) = await dialect.start(call.maker, 1, timeout, _key(call, "start-instance"))
    return json_response({"instance_uuid": instance, "timeout": given})


async def start_instances(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Start several instances."""
    given, timeout = _timeout(call)
    count = whole((call.body or {}).get("instances", 1), "expecting instances to be a number from 0 on")
    started = await dialect.start(call.maker, count, timeout, _key(call, "start-instances"))
    return json_response({"instance_uuids": started, "timeout": given})


async def keep_alive(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Restart an instance's timeout."""
    await dialect.keep_alive(call.owner, call.params["instance"])
    return json_response({"msg": "instance timer reset"})


async def stop_instance(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Delete an instance, if there is one."""
    await dialect.stop(call.owner, call.params["instance"])
    return json_response({"msg": "Instance deleted."})


async def full_metrics(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Return the state of the caller's instances that have a session."""
    own = await dialect.own(call.owner)
    entries: dict[str, Any] = {}
    for instance in own:
        found = await dialect.current_run(instance)
        if found is not None:
            entries[instance.id] = metrics_entry(instance, found)
    return json_response({**entries, "instanceCount": len(own), "threadCount": threading.active_count()})


async def save_state(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Save the caller's instances in the adapter and return them."""
    if not dialect.saves:
        raise BptkError(409, NO_ADAPTER)
    held = await dialect.save_state(call.owner)

    async def pieces() -> AsyncGenerator[bytes, None]:
        before = b"["
        for instance in held:
            with suppress(InstanceNotFound):  # it was stopped meanwhile
                found = await dialect.log(call.owner, instance.id, touch=False)
                yield before
                before = b","
                async with aclosing(off_loop(state_entry(instance, found), dialect.reading)) as entry:
                    async for piece in entry:
                        yield piece
        yield b"[]" if before == b"[" else b"]"

    return await json_answer(pieces(), call.receive)


async def load_state(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Load the instances of the adapter."""
    if not dialect.saves:
        raise BptkError(409, NO_ADAPTER)
    await dialect.load_state()
    return Response("Success", media_type="text/plain")


# Sessions ---------------------------------------------------------------------------------------------------


async def begin_session(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Begin a session, which replaces an existing one."""
    body = need_json(call)
    selected, overrides = bulk.selection(body), overrides_of(body.get("settings"))
    backend, seed = body.get("backend"), body.get("seed")
    if backend not in (None, "python", "rust"):
        raise BptkError(400, f"backend must be 'python' or 'rust', got {backend!r:.80}")
    if seed is not None:
        seed = whole(seed, f"seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r:.80}")

    def new() -> NewSession:
        found = dialect.sessions.catalogue.select(selected.managers, selected.scenarios)
        return NewSession(
            scenarios=by_manager(found),
            outputs=bulk.outputs_of(selected, found),
            dt=_dt(body.get("dt"), found),
            seed=seed,
            settings=known_overrides(overrides, found),
        )

    key = _key(call, f"{call.params['instance']}/begin-session")
    await dialect.begin_session(call.owner, call.params["instance"], new, key)
    return json_response({"msg": "session started"})


async def end_session(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """End the instance's session, if it has one."""
    await dialect.end_session(call.owner, call.params["instance"])
    return json_response({"msg": "session terminated"})


async def run_step(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Take one step."""
    request, overrides = StepRequest(expected=expected_step(call)), _overrides(call)
    answer = await dialect.step(
        call.owner, call.params["instance"], overrides, request, _key(call, "run-step")
    )
    if answer is None:
        return json_response(STOPTIME_REACHED)
    return json_response(step_results(answer, flat=flag(call.body, "flatResults"))[0])


async def run_steps(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Take several steps; those after the stop time return a message."""
    body = need_json(call)
    if "numberSteps" not in body:
        raise BptkError(400, NO_NUMBER)
    overrides, count = _overrides(call), whole(body["numberSteps"], NO_NUMBER)
    if count == 0:
        return json_response([])
    request = StepRequest(steps=count, expected=expected_step(call))
    answer = await dialect.step(
        call.owner, call.params["instance"], overrides, request, _key(call, "run-steps")
    )

    def shape() -> list[Any]:
        taken: list[Any] = [] if answer is None else step_results(answer, flat=flag(body, "flatResults"))
        return taken + [STOPTIME_REACHED] * (count - len(taken))

    short = count * _width(answer) <= MANY_VALUES
    return json_response(shape()) if short else await _computed(shape, dialect.reading)


async def stream_steps(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Take all steps up to the end, and send each once it is durable."""
    expected, key = expected_step(call), _key(call, "stream-steps")
    steps = dialect.stream(call.owner, call.params["instance"], _overrides(call), expected, key)
    first = await anext(steps, None)  # an error of the request must come with its status
    return StepStream(first, steps, flag(call.body, "flatResults"), call.receive)


async def results(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Return all that the session answered."""
    return await _results(dialect, call, flat=False)


async def flat_results(dialect: InstanceSessions, call: Call) -> ASGIApp:
    """Return all that the session answered, without times."""
    return await _results(dialect, call, flat=True)


# Helpers ----------------------------------------------------------------------------------------------------


def _timeout(call: Call) -> tuple[Mapping[str, Any], dict[str, int | float]]:
    """Return a timeout as the client gave it, and completed with all keys."""
    given = (call.body or {}).get("timeout", dict(DEFAULT))
    return given, checked_timeout(given)


def _overrides(call: Call) -> Overrides:
    if call.body is None:
        return {}
    if "settings" not in call.body:
        raise BptkError(400, NO_SETTINGS)
    return overrides_of(call.body["settings"])


def _key(call: Call, route: str) -> Key | None:
    return call.key(f"POST {route}", call.body)


def _dt(given: Any, scenarios: list[Scenario]) -> float | None:
    """Return the interval between a session's answers: the given one, else the session clock's."""
    if given is None:
        return session_dt(scenarios)
    dt = finite(given)
    if dt is None or dt <= 0:
        raise BptkError(400, f"dt must be a positive number, got {given!r:.80}")
    return dt


def _width(answer: Answer | None) -> int:
    """Return the number of values in one step of an answer."""
    return 1 if answer is None else sum(len(part.outputs) for part in answer.spec.scenarios)


async def _results(dialect: InstanceSessions, call: Call, *, flat: bool) -> ASGIApp:
    found = await dialect.log(call.owner, call.params["instance"])
    if found is None:
        return json_response({})
    return await json_answer(off_loop(session_results(found, flat=flat), dialect.reading), call.receive)


async def _computed(work: Callable[[], Any], threads: anyio.CapacityLimiter) -> Response:
    """Return the JSON response of slow work, which runs and is encoded off the event loop."""
    body = await anyio.to_thread.run_sync(lambda: msgspec.json.encode(work()), limiter=threads)
    return Response(body, media_type="application/json")


FIXED: Mapping[str, Mapping[str, Handler[InstanceSessions]]] = {
    "run": {"POST": run, "PUT": run},
    "execute": {"POST": run_execute},
    "scenarios": {"GET": scenarios},
    "equations": {"POST": equations},
    "agents": {"POST": agents, "PUT": agents},
    "start-instance": {"POST": start_instance},
    "start-instances": {"POST": start_instances},
    "full-metrics": {"GET": full_metrics},
    "save-state": {"GET": save_state},
    "load-state": {"POST": load_state},
}
"""The routes whose path has one part: method → handler."""

OF_INSTANCE: Mapping[str, Mapping[str, Handler[InstanceSessions]]] = {
    "begin-session": {"POST": begin_session},
    "run-step": {"POST": run_step},
    "run-steps": {"POST": run_steps},
    "stream-steps": {"POST": stream_steps},
    "session-results": {"GET": results},
    "flat-session-results": {"GET": flat_results},
    "keep-alive": {"POST": keep_alive},
    "end-session": {"POST": end_session},
    "stop-instance": {"POST": stop_instance},
}
"""The routes whose path has an instance before them."""
