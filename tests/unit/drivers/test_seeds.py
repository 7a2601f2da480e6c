"""A seed can be sent back by who was told it."""

import pytest

from perdure.drivers.seeds import LARGEST_SEED, chosen_seed
from perdure.errors import Invalid


def test_a_seed_is_drawn_or_the_one_that_is_given() -> None:
    assert [chosen_seed(seed) for seed in (0, 7, LARGEST_SEED)] == [0, 7, LARGEST_SEED]
    drawn = {chosen_seed(None) for _ in range(64)}
    assert len(drawn) == 64
    assert all(float(seed) == seed == chosen_seed(seed) for seed in drawn)


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_a_seed_that_not_every_reader_takes_is_refused(seed: int) -> None:
    with pytest.raises(Invalid, match="from 0 to 9007199254740991, not"):
        chosen_seed(seed)
