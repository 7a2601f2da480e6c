"""The stream: the steps of a session up to its end, in chunks, each exactly once.

Each chunk must follow the previous one. So the stream detects a step of another process in between.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.overrides import Overrides
from perdure.dialects.bptk.stream_keys import chunk_key, recorded_steps
from perdure.drivers.session_requests import Answer, StepRequest, StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import NoSession, RunNotFound
from perdure.run import Key, Step
from perdure.stores.commands import Touch

__all__ = ["Stream"]

REPEATED_AT_ONCE = 256  # recorded steps in a chunk


class Stream:
    """One stream of one instance. Its caller holds the instance's lock.

    Parameters
    ----------
    sessions
        The driver of sessions.
    run
        The run of the instance's session when the stream began.
    overrides
        Settings of the first step.
    expected
        The number that the first step must have; None accepts any.
    key
        The client's key of the stream: steps that were recorded with it are returned first.
    at_once
        Number of steps in a chunk.

    Attributes
    ----------
    run
        As above.
    overrides
        Settings of the next step.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        run: str | None,
        overrides: Overrides,
        expected: int | None,
        key: Key | None,
        at_once: int,
    ) -> None:
        self._sessions = sessions
        self.run = run
        self.overrides = overrides
        self._expected = expected
        self._key = key
        self._at_once = at_once
        self._recorded: Iterator[Step] | None = None
        self._repeated = False
        self._ordinal = 0

    def next(self, touch: Callable[[], Touch]) -> tuple[StepRequest, Key | None]:
        """Return the request for the next steps, and its key; the same until `follow` is called."""
        request = StepRequest(steps=self._at_once, expected=self._expected, touch=touch)
        return request, None if self._key is None else chunk_key(self._key, self._ordinal)

    def follow(self, answer: Answer) -> None:
        """Go on after steps that are durable."""
        self.overrides = {}  # they stay in effect
        self._expected = answer.steps[-1].position + 1
        self._ordinal += len(answer.steps)

    async def repeated(self, instance: Instance) -> Answer | None:
        """Return the next recorded steps; None if there are none, or no more.

        Raises
        ------
        KeyReused
            If another request had the key.
        NoSession
            If the run was deleted.
        """
        if self._key is None or instance.run is None or self._repeated:
            return None
        recorded = self._recorded
        if recorded is None:
            recorded = self._recorded = recorded_steps(self._sessions.store, instance.run, self._key)
        try:
            steps = await asyncio.to_thread(lambda: list(islice(recorded, REPEATED_AT_ONCE)))
            if not steps:
                self._repeated = True
                return None
            run = await self._sessions.run(instance.owner, instance.run)
        except RunNotFound:  # it was deleted through the native API
            raise NoSession from None
        spec = SessionSpec.from_blob(run.spec)
        rows = [StepRows.of(step) for step in steps]
        return Answer(run.id, spec, rows, finished=False, replayed=True)
