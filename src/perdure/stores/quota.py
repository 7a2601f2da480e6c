"""The quota: limits of an owner, checked when a run is created.

A store checks it in the transaction that creates the run, so that concurrent requests can't exceed it.
"""

from collections.abc import Callable, Mapping

import msgspec

from perdure.errors import EndedRunsExceeded, QuotaExceeded, ResultBytesExceeded

__all__ = ["Quota", "check_result_bytes"]

NAMED = 3  # runs that an error names


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of an owner; None is no limit.

    Attributes
    ----------
    unfinished
        Runs that aren't in a final state.
    ended
        Runs in a final state.
    result_bytes
        Bytes of the results of all runs together.
    """

    unfinished: int | None = None
    ended: int | None = None
    result_bytes: int | None = None

    def check(
        self,
        owner: str,
        *,
        unfinished: int,
        ended: int,
        result_bytes: int,
        read_sizes: Callable[[], Mapping[str, int]],
    ) -> None:
        """Check that an owner with these amounts may create one more run.

        `read_sizes` returns the bytes of each result, or of the largest ones, by the run's id. It is called
        only to name the largest ones in an error.

        Raises
        ------
        QuotaExceeded, EndedRunsExceeded, ResultBytesExceeded
            If a limit is reached.
        """
        if self.unfinished is not None and unfinished >= self.unfinished:
            raise QuotaExceeded(owner=owner, quota=self.unfinished)
        if self.ended is not None and ended >= self.ended:
            raise EndedRunsExceeded(owner=owner, count=ended, limit=self.ended)
        if self.result_bytes is not None:
            check_result_bytes(owner, result_bytes, self.result_bytes, read_sizes)


def check_result_bytes(
    owner: str, size: int, limit: int, read_sizes: Callable[[], Mapping[str, int]]
) -> None:
    """Raise `ResultBytesExceeded` if an owner's results have reached the limit in bytes.

    `read_sizes` is that of `Quota.check`.
    """
    if size >= limit:
        sizes = read_sizes()
        largest = sorted(sizes, key=lambda run: sizes[run], reverse=True)[:NAMED]
        named = ", ".join(f"{run} ({sizes[run]} bytes)" for run in largest)
        raise ResultBytesExceeded(owner=owner, size=size, limit=limit, largest=named, runs=largest)
