"""The step stream: a JSON array of steps that is sent while they are taken.

It ends when its client disconnects: the steps so far stay, and no more are taken.
"""

from collections.abc import AsyncGenerator, Iterator

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from perdure.dialects.bptk.answers import step_results
from perdure.drivers.session_requests import Answer
from perdure.errors import PerdureError
from perdure.web.disconnection import until_disconnected

__all__ = ["StepStream"]

log = structlog.get_logger(__name__)


class StepStream:
    """An ASGI app that sends steps as elements of one array.

    Parameters
    ----------
    first
        The first answer; None for an empty array.
    answers
        The following answers; closed at the end.
    flat
        Whether the times are left out.
    receive
        Reports the disconnection of the client, whose request body has been read.
    """

    def __init__(
        self, first: Answer | None, answers: AsyncGenerator[Answer, None], flat: bool, receive: Receive
    ) -> None:
        self._first = first
        self._answers = answers
        self._flat = flat
        self._receive = receive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with until_disconnected(self._answers, self._receive) as gone:
            headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            before = b"["
            answer: Answer | PerdureError | None = self._first
            while isinstance(answer, Answer):
                for element in self._elements(answer):
                    await send(_body(before + element))
                    before = b", "
                answer = None if gone() else await self._next()
            if isinstance(answer, PerdureError):
                await send(_body(before + msgspec.json.encode({"error": str(answer)})))
                before = b", "
            await send(_body(b"[]" if before == b"[" else b"]", more=False))

    async def _next(self) -> Answer | PerdureError | None:
        """Return the next answer or error; None at the end."""
        try:
            return await anext(self._answers, None)
        except PerdureError as error:
            log.info("stream_broken_off", reason=str(error))
            return error

    def _elements(self, answer: Answer) -> Iterator[bytes]:
        for step in step_results(answer, flat=self._flat):
            yield msgspec.json.encode(step)


def _body(data: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}
