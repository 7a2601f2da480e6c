"""Slots: how many experiments that haven't ended there may be, and how owners share them.

A paused experiment holds its slot like a running one, and may be paused for ever. So slots are shared when
they are taken: where owners are known by their tokens, nobody gets a second slot that an owner without any
may need.
"""

from collections.abc import Sequence

from perdure.errors import SlotsTaken
from perdure.settings import Settings

__all__ = ["check_slots"]


def check_slots(owner: str, taken: Sequence[str], settings: Settings) -> None:
    """Check that an owner may have one more experiment.

    Parameters
    ----------
    owner
        Who asks for it.
    taken
        The owner of each experiment that hasn't ended.

    Raises
    ------
    SlotsTaken
        If all slots are taken, the owner has as many as one may have, or those that are left are kept for
        owners who have none.
    """
    slots = settings.max_simulations
    free, own = slots - len(taken), taken.count(owner)
    if free <= 0:
        raise SlotsTaken(limit=slots)
    limit = settings.max_simulations_per_owner
    if limit is None:
        limit = max(1, slots // 2) if settings.tokens else slots
    if own >= limit:
        raise SlotsTaken(
            f"{owner!r} has {own} simulations that haven't ended, and may not have more; stop one, or raise "
            "PERDURE_MAX_SIMULATIONS_PER_OWNER.",
            limit=limit,
            owner=owner,
        )
    without = settings.tokens.keys() - {owner, *taken}
    if own and free <= len(without):
        raise SlotsTaken(
            f"{owner!r} has {own} simulations that haven't ended, and the {free} that may be begun are kept "
            f"for the {len(without)} owners who have none; stop one, or raise PERDURE_MAX_SIMULATIONS.",
            limit=slots,
            owner=owner,
        )
