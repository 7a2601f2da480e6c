"""The quota: limits of an owner, checked when a run is created.

A store checks it in the transaction that creates the run, so that concurrent requests can't exceed it.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from perdure.errors import EndedRunsExceeded, QuotaExceeded, ResultBytesExceeded, SlotsTaken

__all__ = ["Quota", "Slots", "check_result_bytes"]

NAMED = 3  # runs that an error names


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """How many unfinished runs of a kind there may be, and how owners share them.

    A paused run holds its slot like a running one, and may be paused forever. So slots are shared when they
    are taken: nobody gets a second slot that a known owner without any may need.

    Attributes
    ----------
    kind
        The kind of the runs.
    total, per_owner
        The limit of all, and that of each owner.
    owners
        The owners that are known.
    """

    kind: str
    total: int
    per_owner: int
    owners: frozenset[str] = frozenset()

    def check(self, owner: str, taken: Sequence[str]) -> None:
        """Check that an owner may have one more slot; `taken` has the owner of each slot that is taken.

        Raises
        ------
        SlotsTaken
            If all slots are taken, the owner has the limit, or the free slots are kept for owners who have
            none.
        """
        free, own = self.total - len(taken), taken.count(owner)
        if free <= 0:
            raise SlotsTaken(limit=self.total)
        if own >= self.per_owner:
            raise SlotsTaken(
                f"{owner!r} has {own} simulations that haven't ended, and may not have more; stop one, or "
                "raise PERDURE_MAX_SIMULATIONS_PER_OWNER.",
                limit=self.per_owner,
                owner=owner,
            )
        without = self.owners - {owner, *taken}
        if own and free <= len(without):
            raise SlotsTaken(
                f"{owner!r} has {own} simulations that haven't ended, and the {free} that may be begun are "
                f"kept for the {len(without)} owners who have none; stop one, or raise "
                "PERDURE_MAX_SIMULATIONS.",
                limit=self.total,
                owner=owner,
            )


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
    slots
        The slots of the kind of run that is created.
    """

    unfinished: int | None = None
    ended: int | None = None
    result_bytes: int | None = None
    slots: Slots | None = None

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
