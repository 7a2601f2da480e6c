"""Errors in requests, with BPTK's texts."""

__all__ = ["BptkError"]


class BptkError(Exception):
    """An error in a request, with BPTK's text and the status of the response."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}
