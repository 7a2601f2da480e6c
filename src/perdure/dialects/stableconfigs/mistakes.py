"""Mistakes: what is wrong with a request, and in which field."""

from perdure.web.failures import HttpError

__all__ = ["BadRequest"]


class BadRequest(HttpError):
    """A request that can't be taken: the status it is answered with, the field, and what is wrong there."""

    def __init__(self, status: int, field: str, problem: str) -> None:
        super().__init__(status, "bad_request", f"{field}: {problem}")
        self.field = field
