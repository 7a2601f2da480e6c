"""Slots are shared by the owners of tokens, whatever some of them do."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.drivers.experiments.slots import slots_of
from perdure.errors import SlotsTaken
from perdure.settings import Settings


def settings(slots: int, owners: Iterable[str] = (), **more: Any) -> Settings:
    tokens: Mapping[str, tuple[str, ...]] = {owner: (f"token of {owner}",) for owner in owners}
    return Settings.model_validate({"max_simulations": slots, "tokens": tokens, **more})


def given_to(asking: Iterable[str], shared: Settings) -> list[str]:
    """Return who got slots that are never given back, in order, of those who asked one after the other."""
    taken: list[str] = []
    for owner in asking:
        with suppress(SlotsTaken):
            slots_of(shared).check(owner, taken)
            taken.append(owner)
    return taken


@given(st.data(), st.integers(1, 20), st.integers(1, 20))
def test_each_owner_gets_a_slot_whatever_others_hold_as_far_as_there_are_slots(
    data: st.DataObject, slots: int, number: int
) -> None:
    owners = [f"owner {index}" for index in range(number)]
    greedy = data.draw(st.lists(st.sampled_from(owners), max_size=60))
    taken = given_to([*greedy, *owners], settings(slots, owners))
    assert len(taken) <= slots
    assert len(set(taken)) == min(slots, number)
    assert max(map(taken.count, owners)) <= max(1, slots // 2)


def test_three_owners_who_take_what_they_can_share_sixteen_slots() -> None:
    taken = given_to(["ada"] * 20 + ["bob"] * 20 + ["eve"] * 20, settings(16, ["ada", "bob", "eve"]))
    assert [taken.count(owner) for owner in ("ada", "bob", "eve")] == [8, 7, 1]


def test_who_is_refused_is_told_for_whom_slots_are_kept() -> None:
    with pytest.raises(SlotsTaken, match="the 1 that may be begun are kept for the 1 owners who have none"):
        shared = settings(3, ["ada", "bob"], max_simulations_per_owner=3)
        slots_of(shared).check("ada", ["ada"] * 2)


def test_without_tokens_one_owner_may_have_all() -> None:
    assert given_to(["local"] * 5, settings(4)) == ["local"] * 4


def test_owners_of_a_tokens_file_share_too(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ada:one\nbob:two\n")
    file.chmod(0o600)
    shared = Settings(max_simulations=4, tokens_file=file)
    assert given_to(["ada"] * 5 + ["bob"] * 5, shared) == ["ada"] * 2 + ["bob"] * 2
