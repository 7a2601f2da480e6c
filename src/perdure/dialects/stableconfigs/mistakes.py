"""Mistakes: what is wrong with a request, and in which field."""

__all__ = ["BadRequest"]


class BadRequest(Exception):
    """A request that can't be taken: the status it is answered with, the field, and what is wrong there."""

    def __init__(self, status: int, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.status = status
        self.field = field
