"""The transfer: converts sessions of a memory store into documents, and back."""

import datetime
import time
from contextlib import suppress
from dataclasses import fields
from typing import Any, NamedTuple

import msgspec

from perdure.dialects.bptk.external_state.adapter import InstanceState
from perdure.dialects.bptk.external_state.compression import compress, decompress
from perdure.dialects.bptk.external_state.document import (
    Document,
    EngineStates,
    RunPart,
    Started,
    entries_of,
    is_document,
    parse,
)
from perdure.dialects.bptk.external_state.step_log import StepLog
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.session_clock import bounds, next_time
from perdure.dialects.bptk.timeouts import checked_timeout
from perdure.drivers.session_spec import KIND, SessionSpec
from perdure.errors import CorruptBlob, Damaged, InvalidTimeout, KeyReused, with_article
from perdure.run import NO_LABEL, Change, Entry, Label, Run
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Append, CreateRun, Unleased, encoded
from perdure.web.auth import LOCAL

__all__ = [
    "Content",
    "bring_in",
    "document_of",
    "handed_over",
    "instance_of",
    "read",
    "state_of",
]

ATTRIBUTES = tuple(field.name for field in fields(InstanceState))


class Content(NamedTuple):
    """The content of a state: one of these, or nothing.

    Attributes
    ----------
    session
        The document of an instance with a session, and its step log.
    started
        An instance without one that was started with an idempotency key.
    legacy
        A session of BPTK-Py.
    """

    session: tuple[Document, list[Entry]] | None = None
    started: Started | None = None
    legacy: Any = None


def state_of(held: object) -> InstanceState:
    """Return the instance in the object that an adapter returned; raise `CorruptBlob` if it is none.

    Any object with the five attributes is accepted.
    """
    what = f"the adapter returned {with_article(type(held).__name__)} that is no instance"
    missing = [name for name in ATTRIBUTES if not hasattr(held, name)]
    if missing:
        raise CorruptBlob(reason=f"{what}: it has no {', '.join(missing)}")
    state = InstanceState(**{name: getattr(held, name) for name in ATTRIBUTES})
    if not isinstance(state.instance_id, str):
        raise CorruptBlob(reason=f"{what}: its instance_id is {state.instance_id!r:.80}, not a text")
    return state


def instance_of(held: InstanceState) -> Instance:
    """Return an adapter's instance, without its session; raise `CorruptBlob` if it is invalid.

    Its owner is `LOCAL`: instances without a session don't name theirs, nor do those of BPTK-Py.
    """
    try:
        timeout = checked_timeout(held.timeout)
    except InvalidTimeout as error:
        raise CorruptBlob(reason=str(error)) from error
    accessed = held.time
    try:
        if isinstance(accessed, str):
            accessed = datetime.datetime.fromisoformat(accessed)
        unix = accessed.timestamp()  # a naive time is local
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise CorruptBlob(reason=f"{accessed!r:.80} is no time") from error
    return Instance(
        id=held.instance_id,
        owner=LOCAL,
        timeout=timeout,
        accessed=min(unix, time.time()),
    )


def document_of(store: Store, instance: Instance, run: Run, log: StepLog) -> Document:
    """Return the document of an instance whose session is `run`; its lists are those of the log.

    Parameters
    ----------
    log
        The run's log, which is extended to the run's position.
    """
    log.extend(
        store.steps(run.id, log.position, run.position - log.position), store.step_keys(run.id, log.position)
    )
    spec = SessionSpec.from_blob(run.spec)
    parts = spec.scenarios
    savepoints = [
        EngineStates(timestamp=each.timestamp, position=each.position, states=dict(each.entities))
        for each in _newest_savepoints(store, run.id, run.position)
    ]
    return Document(
        scenario_managers=list(dict.fromkeys(part.manager for part in parts)),
        scenarios=list(dict.fromkeys(part.scenario for part in parts)),
        equations=list(dict.fromkeys(name for part in parts for name in part.outputs)),
        **bounds(spec)._asdict(),
        step=next_time(spec, run.position),
        settings_log=log.settings,
        answers_log=log.answers,
        results_log=log.results,
        seed=spec.seed,
        owner=instance.owner,
        accessed=instance.accessed,
        keys=list(log.keys),
        run=RunPart(
            id=run.id,
            state=run.state,
            outcome=run.outcome,
            reason=run.reason,
            created=run.created,
            position=run.position,
            key=store.creation_key(run.id),
            scenarios=parts,
            every=spec.every,
            milestone=spec.milestone,
            base=spec.base,
            numerics=spec.numerics,
            earlier_numerics=spec.earlier_numerics,
        ),
        started=instance.started,
        engine_states=savepoints[-1] if savepoints else None,
        former_states=savepoints[-2] if len(savepoints) > 1 else None,
    )


def handed_over(instance: Instance, document: Document | None, *, compressed: bool) -> InstanceState:
    """Return the `InstanceState` that an adapter receives; `document` is None without a session."""
    content: Document | Started | None = document
    if document is None and instance.started is not None:
        content = Started(owner=instance.owner, accessed=instance.accessed, started=instance.started)
    state: Any = None
    if content is not None:
        state = compress(content) if compressed else msgspec.to_builtins(content)
    return InstanceState(
        state=state,
        instance_id=instance.id,
        time=datetime.datetime.fromtimestamp(instance.accessed),
        timeout=dict(instance.timeout),
        step=None if document is None else document.step,
    )


def _newest_savepoints(store: Store, run_id: str, position: int) -> list[Savepoint]:
    """Return up to two of the newest intact savepoints at or before a position, ascending.

    A restore begins at the first, and compares its result with the second.
    """
    found: list[Savepoint] = []
    for info in reversed(store.savepoints(run_id)):
        if info.position <= position and len(found) < 2:
            with suppress(Damaged):
                found.append(store.savepoint(run_id, info.timestamp))
    return found[::-1]


def read(state: Any) -> Content:
    """Return the content of a state; may take long.

    Raises
    ------
    CorruptBlob
        If it is damaged or inconsistent.
    """
    try:
        plain = decompress(state)
        if not is_document(plain):
            return Content(legacy=plain)
        document = parse(plain)
        if isinstance(document, Started):
            return Content(started=document)
        return Content(session=(document, entries_of(document)))
    except RecursionError:
        raise CorruptBlob(reason="it is nested too deeply") from None


def bring_in(store: Store, document: Document, entries: list[Entry], label: Label = NO_LABEL) -> None:
    """Create the run of a document, with its step log, in a store without a run of this id."""
    part = document.run
    run = Run(
        id=part.id,
        kind=KIND,
        owner=document.owner,
        spec=document.spec.to_blob(),
        created=part.created,
        updated=document.accessed,
        name=label.name,
        tags=label.tags,
    )
    try:
        made = store.submit(CreateRun(run, key=part.key)).result().run
    except KeyReused:
        made = None
    if made is None or made.id != run.id:  # the key belongs to another run meanwhile
        made = store.submit(CreateRun(run)).result().run
    guard, done = Unleased.of(made), 0
    for states in (document.former_states, document.engine_states):
        if states is not None and done <= states.position <= len(entries):
            savepoint = Savepoint(
                timestamp=states.timestamp, position=states.position, entities=states.states
            )
            new = entries[done : states.position]
            store.submit(Append(run.id, guard, done, new, encoded(savepoint))).result()
            done = states.position
    change = Change(state=part.state, outcome=part.outcome, reason=part.reason)
    store.submit(Append(run.id, guard, done, entries[done:], change=change)).result()
