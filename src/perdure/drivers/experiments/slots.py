"""The slots of experiments that haven't ended, as the settings limit them."""

from perdure.drivers.experiments.spec import KIND
from perdure.settings import Settings
from perdure.stores.quota import Slots

__all__ = ["slots_of"]


def slots_of(settings: Settings) -> Slots:
    """Return the slots; where owners are known by their tokens, each gets half of them at most."""
    total, limit = settings.max_simulations, settings.max_simulations_per_owner
    if limit is None:
        limit = max(1, total // 2) if settings.tokens else total
    return Slots(kind=KIND, total=total, per_owner=limit, owners=frozenset(settings.tokens))
