"""Generators: each part draws its own numbers, and the same again from where it was."""

import os
import random
import secrets
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.engines import generators
from perdure.engines.generators import Generators, hash_seed
from perdure.state.codec import decode, encode

DRAWS: dict[str, Callable[[], Any]] = {
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "shuffled": lambda: random.sample(range(100), 5),
    "seeded": lambda: (random.seed(5), random.random())[1],
    "seeded anew": lambda: (random.seed(), random.random())[1],
    "a generator": lambda: random.Random().random(),
    "a seeded generator": lambda: random.Random(3).random(),
    "system generator": lambda: random.SystemRandom().random(),
    "rand": lambda: float(np.random.rand()),
    "randn": lambda: float(np.random.randn()),
    "many normals": lambda: np.random.standard_normal(3).tolist(),
    "numpy seeded": lambda: (np.random.seed(9), float(np.random.rand()))[1],
    "numpy seeded anew": lambda: (np.random.seed(), float(np.random.rand()))[1],
    "default_rng": lambda: float(np.random.default_rng().random()),
    "RandomState": lambda: float(np.random.RandomState().rand()),
    "SeedSequence": lambda: np.random.SeedSequence().entropy,
    "urandom": lambda: os.urandom(7),
    "uuid4": lambda: uuid.uuid4().hex,
    "token": lambda: secrets.token_hex(9),
    "randbits": lambda: secrets.randbits(13),
}

sequences = st.lists(st.sampled_from(sorted(DRAWS)), max_size=12)


def draw(names: list[str]) -> list[Any]:
    return [DRAWS[name]() for name in names]


@settings(deadline=None)
@given(before=sequences, after=sequences, foreign=sequences, seed=st.integers(0, 1 << 130))
def test_a_party_goes_on_from_its_snapshot_whatever_others_draw(
    before: list[str], after: list[str], foreign: list[str], seed: int
) -> None:
    part, other = Generators(seed, "one"), Generators(seed, "other")
    with part:
        draw(before)
    state = decode(encode(part.snapshot()))
    with part:
        expected = draw(after)
    again = Generators(seed, "one")
    again.restore(state)
    with other:
        draw(foreign)
        with again:
            half = draw(after[: len(after) // 2])
        draw(foreign)
    with again:
        assert half + draw(after[len(after) // 2 :]) == expected


@settings(deadline=None)
@given(first=sequences, second=sequences, foreign=sequences)
def test_a_nested_party_leaves_the_outer_one_as_it_was(
    first: list[str], second: list[str], foreign: list[str]
) -> None:
    with Generators(1, "outer"):
        expected = draw(first) + draw(second)
    inner = Generators(1, "inner")
    with Generators(1, "outer"):
        found = draw(first)
        with inner:
            draw(foreign)
        assert found + draw(second) == expected


def test_the_outermost_party_leaves_the_draws_of_the_program_as_they_were() -> None:
    random.seed(3)
    right = random.Random(3)
    for seed in (1, 2):
        with Generators(seed, "engine"):
            random.random()
        assert random.random() == right.random()


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_draws_repeat_with_the_seed_and_differ_between_parties(name: str) -> None:
    def drawn(seed: int, part: str) -> Any:
        with Generators(seed, part):
            return [DRAWS[name]() for _ in range(4)]

    assert drawn(1, "a") == drawn(1, "a")
    if name not in ("seeded", "a seeded generator", "numpy seeded"):
        assert drawn(1, "a") != drawn(1, "b")
        assert drawn(1, "a") != drawn(2, "a")


@pytest.mark.parametrize("hidden", [("_python",), ("_numpy",), ("_python", "_numpy")])
def test_a_party_that_reads_no_memory_draws_the_same(
    hidden: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> list[Any]:
        part, other = Generators(4, "a"), Generators(4, "b")
        found = []
        for _ in range(3):
            with part:
                found.append(draw(["gauss", "randn", "random", "rand"]))
            with other:
                found.append(draw(["gauss", "randn", "seeded"]))
        return [*found, encode(part.snapshot()), encode(other.snapshot())]

    expected = drawn()
    for name in hidden:
        monkeypatch.setattr(generators, name, None)
    assert drawn() == expected


def test_states_are_exchanged_as_memory_here() -> None:
    assert generators._python is not None
    assert generators._numpy is not None


@pytest.mark.parametrize("hidden", [(), ("_python", "_numpy")])
def test_every_state_that_can_be_set_is_kept(
    hidden: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in hidden:
        monkeypatch.setattr(generators, name, None)
    part, other = Generators(4, "a"), Generators(4, "b")
    legacy = {
        "bit_generator": "MT19937",
        "state": {"key": np.arange(624, dtype=np.uint32), "pos": 17},
        "has_gauss": 1,
        "gauss": -0.0,
    }
    with part:
        random.setstate((3, (*range(624), 9), 1.5))
        np.random.set_state(legacy)
    with other:
        draw(["gauss", "randn"])
        with part:
            found = np.random.get_state(legacy=False)
            assert random.getstate() == (3, (*range(624), 9), 1.5)
        draw(["gauss", "randn"])
    assert (found["has_gauss"], str(found["gauss"]), found["state"]["pos"]) == (1, "-0.0", 17)
    assert found["state"]["key"].tolist() == list(range(624))


def test_what_is_drawn_outside_of_all_parties_changes_none() -> None:
    def drawn(foreign: Callable[[], Any]) -> list[Any]:
        part, found = Generators(4, "a"), []
        for _ in range(3):
            with part:
                found.append(draw(["gauss", "randn", "random", "rand", "shuffled"]))
            foreign()
        return found

    assert drawn(lambda: draw(["gauss", "randn", "seeded", "numpy seeded"])) == drawn(lambda: None)


def test_another_bit_generator_of_numpys_is_kept_as_well() -> None:
    part = Generators(4, "a")
    with part:
        np.random.set_bit_generator(np.random.PCG64(8))  # type: ignore[attr-defined]
        np.random.randn()
    state = decode(encode(part.snapshot()))
    with Generators(4, "b"):
        draw(["randn"])
    with part:
        expected = draw(["randn", "rand"])
    again = Generators(4, "a")
    again.restore(state)
    with again:
        assert draw(["randn", "rand"]) == expected


def test_without_a_party_and_in_other_threads_entropy_is_the_systems() -> None:
    found: list[bytes] = []
    for _ in range(2):
        with Generators(1, "a"):
            thread = threading.Thread(target=lambda: found.append(os.urandom(16)))
            thread.start()
            thread.join()
        found.append(os.urandom(16))
        found.append(secrets.token_bytes(16))
        found.append(random.Random().randbytes(16))
        found.append(np.random.default_rng().bytes(16))
    assert len(set(found)) == len(found)


def test_the_hash_seed_is_the_same_for_the_same_run() -> None:
    assert hash_seed(1) == hash_seed(1) != hash_seed(2)
    walked = {
        subprocess.run(
            [sys.executable, "-c", "print({'a', 'b', 'c', 'd', 'e', 'f'})"],
            env={"PYTHONHASHSEED": hash_seed(1)},
            capture_output=True,
            check=True,
        ).stdout
        for _ in range(3)
    }
    assert len(walked) == 1
