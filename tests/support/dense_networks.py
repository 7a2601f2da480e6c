"""Dense random binding networks: small to write down, and too hard to be solved while a test waits."""

import random

__all__ = ["dense"]


def dense(monomers: int, seed: int = 1, domains: int = 12) -> list[list[str]]:
    """Return the monomers of a dense random network, each a list of three to five sites."""
    dice = random.Random(seed)
    names = [f"d{index}" for index in range(domains)]
    return [
        [dice.choice(names) + dice.choice(["", "*"]) for _ in range(dice.randint(3, 5))]
        for _ in range(monomers)
    ]
