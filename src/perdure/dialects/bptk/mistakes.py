"""Mistakes: what is wrong with a request, as BPTK says it."""

__all__ = ["BptkError"]


class BptkError(Exception):
    """What is wrong with a request, in BPTK's words, and the status it is answered with."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}
