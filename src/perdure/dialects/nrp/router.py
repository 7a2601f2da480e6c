"""The router: this dialect's routes over HTTP, in front of the app that has all other routes.

Tokens, unknown paths, wrong methods and errors are answered in this dialect's own way, always in JSON. Whose
a request is, its token says; a name in a header proves nothing.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure import __version__
from perdure.dialects.nrp.schemas import (
    GENERAL,
    SERVER,
    NrpError,
    answer,
    new_record,
    resource,
    translated,
    wanted,
)
from perdure.dialects.nrp.simulations import NrpSimulation, Simulations
from perdure.drivers.session_requests import ADMINISTRATOR, Owner
from perdure.errors import PerdureError, TriggerRefused
from perdure.lifecycle import RunStatus, is_final
from perdure.web.auth import Callers
from perdure.web.bodies import decode_object
from perdure.web.errors import HttpError, system_failing
from perdure.web.headers import headers_of
from perdure.web.paths import check_encoding
from perdure.web.tokens import Caller

__all__ = ["NrpRoutes"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")

log = structlog.get_logger(__name__)


class NrpRoutes:
    """Middleware that answers this dialect's routes and hands all others on.

    Parameters
    ----------
    app
        What has the other routes.
    simulations
        Returns the simulations of the app that serves a request.
    callers
        Finds out who asks.
    max_body_bytes
        Largest request body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        simulations: Callable[[Scope], Simulations],
        callers: Callers,
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._simulations = simulations
        self._callers = callers
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].strip("/").split("/") if scope["type"] == "http" else [""]
        if parts[0] not in ("simulation", "version") or (parts[0] == "version" and len(parts) > 1):
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(parts, scope, receive)
        except ClientDisconnect:
            return
        except NrpError as error:
            response = error.response()
        except HttpError as error:
            response = _of_protocol(error).response()
        except PerdureError as error:
            told = translated(error)
            if told.status == 500:
                log.error("damaged", code=error.code, reason=str(error))
            response = told.response()
        except Exception as error:
            if (failing := system_failing(error)) is not None:
                response = translated(failing).response()
            else:
                log.exception("request_failed", method=scope["method"], path=scope["path"][:200])
                message = "Something unexpected failed; the server's log has it."
                response = NrpError(500, message, kind=GENERAL, data=None).response()
        await response(scope, receive, send)

    async def _answer(self, parts: list[str], scope: Scope, receive: Receive) -> Response:
        check_encoding(scope)
        methods = self._methods(parts, scope, receive)
        method = scope["method"]
        if method not in methods:
            allowed = ", ".join(methods)
            message = f"{method[:20]} can't be done here, only {allowed}."
            raise NrpError(405, message, headers={"Allow": allowed})
        return await methods[method]()

    def _methods(
        self, parts: list[str], scope: Scope, receive: Receive
    ) -> dict[str, Callable[[], Awaitable[Response]]]:
        """Return what can be done at a path; raise `NrpError` (404) if there is nothing."""
        calls = _Calls(self, scope, receive)
        match parts:
            case ["version"]:
                return {"GET": calls.version}
            case ["simulation"]:
                return {"GET": calls.list, "POST": calls.create}
            case ["simulation", number]:
                return {"GET": lambda: calls.read(number)}
            case ["simulation", number, "state"]:
                return {"GET": lambda: calls.read_state(number), "PUT": lambda: calls.set_state(number)}
        raise NrpError(404, f"There is nothing at {scope['path'][:200]!r}.")

    def simulations(self, scope: Scope) -> Simulations:
        """Return the simulations of the app that serves a request."""
        return self._simulations(scope)

    def caller(self, scope: Scope) -> Caller:
        """Return who asks; raise `Unauthorized` if that isn't known."""
        return self._callers.need(scope, headers_of(scope))

    async def body(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Return the JSON object that is sent; raise `NrpError` (400, 413) if there is none."""
        data = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            data += message.get("body", b"")
            if len(data) > self._max_body_bytes:
                most = self._max_body_bytes
                raise NrpError(
                    413, f"A body may have at most {most} bytes; PERDURE_MAX_BODY_BYTES raises that."
                )
            if not message.get("more_body", False):
                break
        try:
            return decode_object(bytes(data))
        except HttpError as error:
            raise _of_protocol(error) from None


class _Calls:
    """What the routes do for one request."""

    def __init__(self, routes: NrpRoutes, scope: Scope, receive: Receive) -> None:
        self._routes = routes
        self._scope = scope
        self._receive = receive

    async def version(self) -> Response:
        return answer({"version": __version__})

    async def list(self) -> Response:
        owner = self._routes.caller(self._scope).owner
        return answer([resource(it) for it in await self._simulations.all(owner)])

    async def create(self) -> Response:
        maker = self._routes.caller(self._scope).name
        new = new_record(await self._body())
        made = await self._simulations.create(maker, new)
        if made.run.state is RunStatus.FAILED:
            message = f"The simulation {made.number} failed to initialize: {made.run.reason}"
            raise NrpError(500, message, kind=SERVER, data=str(made.number))
        return answer(resource(made), 201, {"Location": f"/simulation/{made.number}"})

    async def read(self, number: str) -> Response:
        return answer(resource((await self._found(number))[1]))

    async def read_state(self, number: str) -> Response:
        return answer({"state": (await self._found(number))[1].run.state.value})

    async def set_state(self, number: str) -> Response:
        owner, simulation = await self._found(number)
        run = simulation.run
        if is_final(run.kind, run.state):
            try:
                trigger = wanted(await self._body())
            except NrpError:  # that it has ended is told first, whatever is asked for
                trigger = "anything else"
            raise translated(TriggerRefused(kind=run.kind, state=run.state.value, trigger=trigger))
        state = wanted(await self._body())
        return answer({"state": (await self._simulations.trigger(owner, simulation, state)).value})

    @property
    def _simulations(self) -> Simulations:
        return self._routes.simulations(self._scope)

    async def _body(self) -> dict[str, Any]:
        return await self._routes.body(self._scope, self._receive)

    async def _found(self, number: str) -> tuple[Owner, NrpSimulation]:
        """Return who asks and the simulation of a number; raise `NrpError` (404), also if it is another's."""
        owner = self._routes.caller(self._scope).owner
        found = None
        if _NUMBER.fullmatch(number) is not None:
            found = await self._simulations.get(int(number))
        if found is None or owner not in (ADMINISTRATOR, found.run.owner):
            raise NrpError(404, f"There is no simulation {number[:100]!r}.", data=number[:100])
        return owner, found


def _of_protocol(error: HttpError) -> NrpError:
    """Return an error of the protocol as this dialect says it."""
    text = error.detail.rstrip(".")
    return NrpError(error.status_code, f"{text[:1].upper()}{text[1:]}.", headers=error.headers)
