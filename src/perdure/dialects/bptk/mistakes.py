"""Errors in requests, with BPTK's texts."""

from perdure.web.failures import HttpError

__all__ = ["BptkError"]


class BptkError(HttpError):
    """An error in a request, with BPTK's text and the status of the response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, "bptk_error", text)
