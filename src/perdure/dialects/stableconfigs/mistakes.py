"""Errors in requests, with the wrong field."""

from perdure.web.failures import HttpError

__all__ = ["BadRequest"]


class BadRequest(HttpError):
    """An error in a request: the status of the response, the field, and a text."""

    def __init__(self, status: int, field: str, problem: str) -> None:
        super().__init__(status, "bad_request", f"{field}: {problem}")
        self.field = field
