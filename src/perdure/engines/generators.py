"""Generators: the random states of one party of a run, swapped in around its calls.

A party is whatever draws by itself: an engine, the functions between engines, an experiment's script. Each
has a state of `random`, one of NumPy's legacy generator and a stream of entropy of its own, all made from the
run's seed, so that none disturbs another and each can be saved and put back. Where a party asks the system
for entropy (`os.urandom`, `secrets`, `uuid.uuid4`, `random.Random()`, `numpy.random.default_rng()`) it gets
its stream instead, and so the same numbers whenever it runs again.

Only the thread that entered is served; what a party's own threads draw is the system's. Between parties the
global generators are left as the last one had them: nothing in Perdure draws from them.
"""

import ctypes
import hashlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import numpy.random.bit_generator as numpy_entropy

from perdure.state.codec import State

__all__ = ["Generators", "hash_seed"]

SEED_BYTES = 32
MERSENNE_BYTES = 624 * 4 + 4  # a Mersenne twister's key and position

_legacy: Any = np.random  # its stubs lack the two functions that exchange the legacy generator
_shared: Any = random._inst


class Generators:
    """The states of one party's generators, swapped in for the length of a ``with`` block.

    >>> engine = Generators(seed=7, name="engine a")
    >>> with engine:
    ...     first = random.random()
    >>> state = engine.snapshot()

    Blocks of different parties may be nested, as when a script's call makes engines step.

    Parameters
    ----------
    seed
        The run's.
    name
        The party's; no two parties of a run share one.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._key = f"{seed}\0{name}\0".encode()
        self._drawn = 0
        self._random: tuple[Any, ...] = random.Random(self._integer(b"random")).getstate()  # noqa: S311 - simulation
        self._bits: Any = np.random.MT19937(self._integer(b"numpy"))
        self._gauss: float | None = None  # the legacy generator keeps every second normal draw
        self._address: int | None = None
        self._seen: tuple[bytes | None, bytes | None] = (None, None)
        self._outer: Generators | None = None

    def __enter__(self) -> "Generators":
        _install()
        self._outer = _active.party
        if self._outer is not None:
            self._outer._take()
        self._put()
        _active.party, _active.thread = self, threading.get_ident()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._take()
        _active.party, self._outer = self._outer, None
        if _active.party is not None:
            _active.party._put()

    def entropy(self, size: int) -> bytes:
        """Return the next bytes of the party's stream."""
        self._drawn += 1
        return self._bytes(b"%d" % self._drawn, size)

    def snapshot(self) -> State:
        """Return the states as data; only outside of the party's own block, where they are up to date."""
        version, words, gauss = self._random
        return {
            "entropy": self._drawn,
            "random": [version, np.array(words, dtype=np.uint32), gauss],
            "numpy": _plain(self._bits.state),
            "gauss": self._gauss,
        }

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, with the same seed and name."""
        version, words, gauss = state["random"]
        self._drawn = state["entropy"]
        self._random = (version, tuple(words.tolist()), gauss)
        self._bits = getattr(np.random, state["numpy"]["bit_generator"])(0)
        self._bits.state = state["numpy"]
        self._gauss = state["gauss"]

    def _put(self) -> None:
        random.setstate(self._random)
        _legacy.set_bit_generator(self._bits)  # forgets a kept normal draw
        if self._gauss is not None:
            legacy: Any = np.random.get_state(legacy=False)
            np.random.set_state(legacy | {"has_gauss": 1, "gauss": self._gauss})
        self._address = _address(self._bits)
        self._seen = _python_words(), _numpy_words(self._address)

    def _take(self) -> None:
        # Reading a state takes 6 µs of `random` and 30 µs of NumPy; comparing the memory takes 0.3 µs.
        python, numpy = self._seen
        kept = self._random[2]
        if python is None or _python_words() != python or _shared.gauss_next != kept:
            self._random = random.getstate()
        bits = _legacy.get_bit_generator()
        moved = bits is not self._bits or numpy is None or _numpy_words(self._address) != numpy
        self._bits = bits
        if moved or self._gauss is not None:
            legacy: Any = np.random.get_state(legacy=False)
            self._gauss = legacy["gauss"] if legacy["has_gauss"] else None

    def _integer(self, label: bytes) -> int:
        return int.from_bytes(self._bytes(label, SEED_BYTES), "little")

    def _bytes(self, label: bytes, size: int) -> bytes:
        return hashlib.shake_256(self._key + label).digest(size)


def hash_seed(seed: int) -> str:
    """Return the value of ``PYTHONHASHSEED`` for a run: with it, sets of text are walked in the same order.

    Whoever launches the run's process puts it into its environment; a process can't change its own.
    """
    digest = hashlib.blake2b(f"{seed}\0hash".encode(), digest_size=4).digest()
    return str(int.from_bytes(digest, "little"))


class _Active:
    """Whose block is open, and in which thread."""

    party: Generators | None = None
    thread = 0
    installed = False


_active = _Active()


def _current() -> Generators | None:
    """Return the party that the calling thread works for, or None."""
    return _active.party if _active.party is not None and threading.get_ident() == _active.thread else None


def _address(bits: Any) -> int | None:
    """Return where a Mersenne twister of NumPy's keeps its state; None for another kind of generator."""
    return bits.ctypes.state_address if isinstance(bits, np.random.MT19937) else None


def _numpy_words(address: int | None) -> bytes | None:
    return None if address is None else ctypes.string_at(address, MERSENNE_BYTES)


def _python_words() -> bytes | None:
    """Return the state of `random` as it lies in memory; None for a Python that keeps it elsewhere."""
    return None if _python_address is None else ctypes.string_at(_python_address, MERSENNE_BYTES)


def _find_python_words() -> int | None:
    """Look whether CPython keeps position and key behind the object's header, as it does since 2.4."""
    _, words, _ = random.getstate()
    address = id(_shared) + object.__basicsize__
    expected = np.array((words[-1], *words[:-1]), dtype=np.uint32).tobytes()
    if sys.implementation.name != "cpython" or _shared.__sizeof__() < MERSENNE_BYTES:
        return None
    return address if ctypes.string_at(address, MERSENNE_BYTES) == expected else None


_python_address = _find_python_words()


def _plain(state: Any) -> Any:
    """Return a bit generator's state with Python's own integers in place of NumPy's."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return int(state) if isinstance(state, np.integer) else state


def _install() -> None:
    """Put the party's stream in place of the system's entropy, once; without a party nothing changes."""
    if _active.installed:
        return
    _active.installed = True
    with tempfile.NamedTemporaryFile():
        pass  # its names come from a generator made at first use, which is to be no party's
    system_urandom: Callable[[int], bytes] = os.urandom
    system_randbits: Callable[[int], int] = numpy_entropy.randbits  # type: ignore[attr-defined]
    system_seed = random.Random.seed

    def urandom(size: int, /) -> bytes:
        party = _current()
        return system_urandom(size) if party is None else party.entropy(size)

    def randbits(count: int) -> int:
        party = _current()
        if party is None:
            return system_randbits(count)
        return int.from_bytes(party.entropy((count + 7) // 8), "little") >> (-count % 8)

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        party = _current() if a is None else None
        if party is not None:
            a = int.from_bytes(party.entropy(SEED_BYTES), "little")
        system_seed(self, a, version)

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]
    numpy_entropy.randbits = randbits  # type: ignore[attr-defined]
    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = _shared.seed
