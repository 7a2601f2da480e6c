"""Logging in and out: a token becomes a cookie, by which this server's own pages may ask."""

import re
import time
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from perdure.api.login_page import login_page
from perdure.validation import Problem
from perdure.web.attempts import Attempts
from perdure.web.auth import Callers, SameOriginNeeded, caller_of
from perdure.web.bodies import Limit, Upload, decode_object, media_type
from perdure.web.cookies import forgotten_cookie, is_from_elsewhere, may_use_cookie, new_cookie
from perdure.web.errors import error_responses
from perdure.web.failures import HttpError, invalid_request
from perdure.web.headers import headers_of
from perdure.web.pages import page

__all__ = ["PUBLIC", "UPLOADS", "LoginRoutes"]

PUBLIC: Final = frozenset({"/login", "/logout"})
"""Paths that need no token: one logs in there."""

LARGEST_BODY: Final = 16_384  # anybody may send one
_FORM: Final = "application/x-www-form-urlencoded"
_START_PAGE: Final = "/"  # always the same, so that no link sends anybody elsewhere after logging in

log = structlog.get_logger(__name__)


class LoggedIn(BaseModel):
    """Who has logged in."""

    owner: str
    administrator: bool = Field(description="Whether the owner may see and change every owner's runs.")
    expires: int = Field(description="When the login ends; Unix time, in seconds.")


class Me(BaseModel):
    """Who asks."""

    owner: str = Field(description="Whose the runs are that are made by the caller.")
    administrator: bool = Field(description="Whether the caller may see and change every owner's runs.")
    token_needed: bool = Field(description="Whether the server has tokens.")
    expires: int | None = Field(
        description="When the login ends, Unix time in seconds; null if it isn't the cookie of a login that "
        "says who asks."
    )


class LoginRoutes:
    """The routes by which browsers log in and out.

    Parameters
    ----------
    callers
        Finds out who asks; has the logins where there are tokens.
    seconds
        How long a login lasts.
    """

    def __init__(self, callers: Callers, seconds: int) -> None:
        self._callers = callers
        self._seconds = seconds
        self._attempts = Attempts()

    def router(self) -> APIRouter:
        """Return the routes."""
        made = APIRouter(tags=["service"])
        made.add_api_route("/me", self.who, operation_id="me", responses=error_responses(401, 403))
        made.add_api_route(
            "/login",
            self.show,
            operation_id="login_page",
            response_class=HTMLResponse,
            responses=error_responses(403),
        )
        made.add_api_route(
            "/login",
            self.log_in,
            methods=["POST"],
            operation_id="log_in",
            response_model=LoggedIn,
            responses={
                303: {"description": "A form was sent: go on to the start page."},
                **error_responses(400, 403, 413, 415, 422),
                **_also_pages(401, 409, 429),
            },
            openapi_extra={"requestBody": _TOKEN},
        )
        made.add_api_route(
            "/logout",
            self.log_out,
            methods=["POST"],
            operation_id="log_out",
            status_code=204,
            response_class=Response,
            responses={
                303: {"description": "A form was sent: go on to the start page."},
                **error_responses(403, 413),
            },
        )
        return made

    async def who(self, request: Request) -> Me:
        """Say who asks, and until when a login lasts."""
        caller = caller_of(request.scope)
        return Me(
            owner=caller.name,
            administrator=caller.administrator,
            token_needed=self._callers.tokens_needed,
            expires=caller.expires,
        )

    async def show(self, request: Request) -> Response:
        """Show a form for a token, as a page without scripts."""
        return self._page(request)

    async def log_in(self, request: Request) -> Response:
        """Take a token, and answer with a cookie by which this server's own pages ask for its owner.

        JSON is answered with JSON, a form with a page, or by leading to the start page.
        """
        headers = headers_of(request.scope)
        if is_from_elsewhere(headers):
            raise SameOriginNeeded()
        form = media_type(headers) == _FORM
        token = await _token(request)
        try:
            done, value = self._log_in(token, "" if request.client is None else request.client.host)
        except HttpError as error:
            if form:
                return self._page(request, error)
            raise
        answer = RedirectResponse(_START_PAGE, 303) if form else JSONResponse(done.model_dump())
        answer.headers.append(*new_cookie(request.scope, headers, value, self._seconds))
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def log_out(self, request: Request) -> Response:
        """Make the browser forget its cookie; a form is led to the start page."""
        headers = headers_of(request.scope)
        if not may_use_cookie(request.method, headers):
            raise SameOriginNeeded()
        form = media_type(headers) == _FORM
        answer = RedirectResponse(_START_PAGE, 303) if form else Response(status_code=204)
        answer.headers.append(*forgotten_cookie(request.scope, headers))
        return answer

    def _log_in(self, token: str, address: str) -> tuple[LoggedIn, str]:
        """Return whose a token is, with the value of the cookie; raise `HttpError` (401, 409, 429)."""
        if self._callers.logins is None:
            message = "There is nothing to log in to: this server has no tokens, and answers without them."
            raise HttpError(409, "nothing_to_log_in_to", message)
        now = time.monotonic()
        self._attempts.check(address, now)
        expires = int(time.time()) + self._seconds
        found = self._callers.logins.value(token, expires)
        if found is None:
            self._attempts.note_failure(address, now)
            log.warning("login_refused", address=address)
            raise HttpError(401, "unauthorized", "The token is wrong.")
        caller, value = found
        log.info("logged_in", owner=caller.name, administrator=caller.administrator, address=address)
        return LoggedIn(owner=caller.name, administrator=caller.administrator, expires=expires), value

    def _page(self, request: Request, problem: HttpError | None = None) -> Response:
        shown = login_page(
            caller_of(request.scope),
            tokens_needed=self._callers.tokens_needed,
            problem=None if problem is None else problem.message,
        )
        answer = page("Perdure: log in", shown, form=True)
        if problem is not None:
            answer.status_code = problem.status
            answer.headers.update(problem.headers)
        return answer


UPLOADS: Final = (Upload(re.compile("/log(in|out)"), None, Limit(LARGEST_BODY)),)
"""The requests here that may have bodies which aren't JSON."""


def _also_pages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of errors that a form gets as a page."""
    responses = error_responses(*statuses)
    for response in responses.values():
        response["content"]["text/html"] = {"schema": {"type": "string"}}
    return responses


_SCHEMA: Final = {
    "title": "LogIn",
    "type": "object",
    "properties": {"token": {"type": "string", "title": "Token"}},
    "required": ["token"],
    "additionalProperties": False,
}
_TOKEN: Final = {
    "required": True,
    "content": {"application/json": {"schema": _SCHEMA}, _FORM: {"schema": _SCHEMA}},
}


async def _token(request: Request) -> str:
    """Return the token that is sent, as JSON or by a form.

    Raises
    ------
    HttpError
        If the body is too large (413), neither of them (415, 400), or has something else in it (422).
    """
    data = await request.body()
    match media_type(headers_of(request.scope)):
        case "application/json":
            body = decode_object(data)
        case "application/x-www-form-urlencoded":
            fields = parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True)
            body = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
        case _:
            message = "The body has to be JSON or a form; send `Content-Type: application/json`."
            raise HttpError(415, "unsupported_media_type", message)
    token = body.get("token")
    if len(body) > 1 or not isinstance(token, str):
        raise invalid_request([Problem(("body", "token"), "must be a text, with nothing else beside it")])
    return token
