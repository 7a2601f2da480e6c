"""Generators: the random states of one part of a run, swapped in around its calls.

A part is code with its own random numbers: an engine, the functions between engines, or an experiment's
script. Each part has a state of `random`, a state of NumPy's legacy generator and a stream of entropy, all
derived from the run's seed. So parts are independent of each other, and the states can be saved and
restored. When a part requests entropy from the system (`os.urandom`, `secrets`, `uuid.uuid4`,
`random.Random()`, `numpy.random.default_rng()`), it gets its stream instead, and therefore the same numbers
in a repeated run.

This applies only to the thread that entered the block; other threads of a part draw from the system. Outside
all blocks, the global generators are the program's: its state is put back at the end of the outermost block.
"""

import ctypes
import hashlib
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.random.bit_generator as numpy_entropy

from perdure.state.codec import State

__all__ = ["OF_THE_PROCESS", "Generators", "hash_seed", "plain_state"]

SEED_BYTES = 32
MERSENNE_BYTES = 624 * 4 + 4  # a Mersenne twister's key and position
PROBED = -0.6180339887498949  # a normal draw to search for in memory

_legacy: Any = np.random  # its stubs lack the functions that get and set the legacy generator
_shared: Any = random._inst
_shared_of_numpy: Any = _legacy.mtrand._rand

OF_THE_PROCESS: Mapping[int, tuple[str, str]] = {
    id(_shared): ("random", "_inst"),
    id(_shared_of_numpy): ("numpy.random.mtrand", "_rand"),
}
"""Module and name of the process's generators, by `id`; their states are those of parts."""


class Generators:
    """The states of one part's generators, swapped in for the length of a ``with`` block.

    >>> engine = Generators(seed=7, name="engine a")
    >>> with engine:
    ...     first = random.random()
    >>> state = engine.snapshot()

    Blocks of different parts may be nested: a call of a script steps engines. After the outermost one the
    process's generators are what they were before it: the program's own draws go on.

    Parameters
    ----------
    seed
        The run's.
    name
        The part's name, unique within the run.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._key = f"{seed}\0{name}\0".encode()
        self._drawn = 0
        self._set_random(random.Random(self._integer(b"random")).getstate())  # noqa: S311 - simulation
        self._set_numpy(np.random.MT19937(self._integer(b"numpy")), None)
        self._outer: Generators | None = None

    def __enter__(self) -> "Generators":
        if not _active.installed:
            _install()
        self._outer = _active.part
        (self._outer or _program)._take()
        self._put()
        _active.part, _active.thread = self, threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self._take()
        _active.part, self._outer = self._outer, None
        (_active.part or _program)._put()

    def entropy(self, size: int) -> bytes:
        """Return the next bytes of the part's stream."""
        self._drawn += 1
        return self._bytes(b"%d" % self._drawn, size)

    def snapshot(self) -> State:
        """Return the states as data; only valid outside the part's block, where they are up to date."""
        position, *key = np.frombuffer(self._words, dtype=np.uint32)
        bits = self._bits
        if bits is None:
            bits = np.random.MT19937(0)
            _memory(bits).raw = self._legacy_words
        return {
            "entropy": self._drawn,
            "random": [random.Random.VERSION, np.array([*key, position], dtype=np.uint32), self._kept],
            "numpy": plain_state(bits.state),
            "gauss": self._gauss,
        }

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, with the same seed and name."""
        version, words, kept = state["random"]
        self._drawn = state["entropy"]
        self._set_random((version, words.tolist(), kept))
        bits = getattr(np.random, state["numpy"]["bit_generator"])(0)
        bits.state = state["numpy"]
        self._set_numpy(bits, state["gauss"])

    def _set_random(self, state: Any) -> None:
        """Set the state of `random`, including its cached normal draw."""
        _, (*key, position), self._kept = state
        self._words = np.array([position, *key], dtype=np.uint32).tobytes()

    def _set_numpy(self, bits: Any, gauss: float | None) -> None:
        """Set the state of NumPy's legacy generator, including its cached normal draw."""
        as_words = _numpy is not None and type(bits) is np.random.MT19937
        self._bits = None if as_words else bits
        self._legacy_words: bytes = _memory(bits).raw if as_words else b""
        self._gauss = gauss

    # Exchanging states through the generators' methods takes up to 40 µs and evicts a simulator's data from
    # the CPU caches; copying their memory takes 1 µs.

    def _put(self) -> None:
        if _python is None:
            position, *key = np.frombuffer(self._words, dtype=np.uint32).tolist()
            random.setstate((random.Random.VERSION, (*key, position), self._kept))
        else:
            _python.raw = self._words
            if _shared.gauss_next is not self._kept:
                _shared.gauss_next = self._kept
        if _numpy is None:
            _legacy.set_bit_generator(self._bits)  # discards a cached normal draw
            if self._gauss is not None:
                legacy: Any = np.random.get_state(legacy=False)
                np.random.set_state(legacy | {"has_gauss": 1, "gauss": self._gauss})
            return
        bits = _numpy.bits if self._bits is None else self._bits
        if _shared_of_numpy._bit_generator is not bits:
            _legacy.set_bit_generator(bits)
        if self._bits is None:
            _numpy.words.raw = self._legacy_words
        _numpy.normal.kept = self._gauss is not None
        if self._gauss is not None:
            _numpy.normal.value = self._gauss

    def _take(self) -> None:
        if _python is None:
            self._set_random(random.getstate())
        else:
            self._words = _python.raw
            self._kept = _shared.gauss_next
        bits = _shared_of_numpy._bit_generator
        if _numpy is None:
            legacy: Any = np.random.get_state(legacy=False)
            self._bits, self._gauss = bits, legacy["gauss"] if legacy["has_gauss"] else None
            return
        self._gauss = _numpy.normal.value if _numpy.normal.kept else None
        if bits is _numpy.bits:
            self._bits, self._legacy_words = None, _numpy.words.raw
        else:
            self._bits = bits

    def _integer(self, label: bytes) -> int:
        return int.from_bytes(self._bytes(label, SEED_BYTES), "little")

    def _bytes(self, label: bytes, size: int) -> bytes:
        return hashlib.shake_256(self._key + label).digest(size)


def hash_seed(seed: int) -> str:
    """Return the value of ``PYTHONHASHSEED`` for a run, which fixes the order of sets of strings.

    It must be in the environment when the run's process starts; a process can't change its own.
    """
    digest = hashlib.blake2b(f"{seed}\0hash".encode(), digest_size=4).digest()
    return str(int.from_bytes(digest, "little"))


class _Active:
    """The part whose block is open, and its thread."""

    part: Generators | None = None
    thread = 0
    installed = False


_active = _Active()


def _current() -> Generators | None:
    """Return the part of the calling thread, or None."""
    return _active.part if _active.part is not None and threading.get_ident() == _active.thread else None


class _Normal(ctypes.Structure):
    """The cached normal draw of NumPy's legacy generator: whether there is one, and its value."""

    kept: int
    value: float
    _fields_ = (("kept", ctypes.c_int), ("value", ctypes.c_double))


class _Numpy(NamedTuple):
    """NumPy's legacy generator: its Mersenne twister, the memory of that, and of the cached normal draw."""

    bits: Any
    words: Any
    normal: _Normal


def _find_python() -> Any:
    """Return the memory of `random`'s generator: position and key behind the object's header.

    CPython has this layout since 2.4. None if this Python has another layout.
    """
    _, words, _ = random.getstate()
    if sys.implementation.name != "cpython" or _shared.__sizeof__() < MERSENNE_BYTES:
        return None
    memory = _words_at(id(_shared) + object.__basicsize__)
    expected = np.array((words[-1], *words[:-1]), dtype=np.uint32).tobytes()
    return memory if memory.raw == expected else None


def _find_numpy() -> _Numpy | None:
    """Return the memory of NumPy's legacy generator; None if its layout isn't the expected one."""
    bits, kind = _legacy.get_bit_generator(), type(_shared_of_numpy)
    if sys.implementation.name != "cpython" or type(bits) is not np.random.MT19937:
        return None
    twister = bits.state["state"]
    if _memory(bits).raw != np.array((*twister["key"], twister["pos"]), dtype=np.uint32).tobytes():
        return None
    probe = kind(np.random.MT19937(1))
    probe.set_state(probe.get_state(legacy=False) | {"has_gauss": 1, "gauss": PROBED})
    offset = ctypes.string_at(id(probe), kind.__basicsize__).find(bytes(_Normal(1, PROBED)))
    if offset < 0:
        return None
    _Normal.from_address(id(probe) + offset).kept = 0
    if probe.get_state(legacy=False)["has_gauss"]:
        return None
    return _Numpy(bits, _memory(bits), _Normal.from_address(id(_shared_of_numpy) + offset))


def _memory(bits: Any) -> Any:
    """Return the memory of a NumPy Mersenne twister: key and position."""
    return _words_at(bits.ctypes.state_address)


def _words_at(address: int) -> Any:
    return (ctypes.c_char * MERSENNE_BYTES).from_address(address)


_python = _find_python()
_numpy: Any = _find_numpy()
_program = Generators(0, "program")  # holds what isn't any part's, during the outermost block


def plain_state(state: Any) -> Any:
    """Return a bit generator's state with Python's own integers in place of NumPy's."""
    if isinstance(state, dict):
        return {key: plain_state(value) for key, value in state.items()}
    return int(state) if isinstance(state, np.integer) else state


def _install() -> None:
    """Replace the system's entropy by the part's stream, once; outside a part nothing changes."""
    if _active.installed:
        return
    _active.installed = True
    with tempfile.NamedTemporaryFile():
        pass  # its names come from a generator made at first use, which must not belong to a part
    system_urandom: Callable[[int], bytes] = os.urandom
    system_randbits: Callable[[int], int] = numpy_entropy.randbits  # type: ignore[attr-defined]
    system_seed = random.Random.seed

    def urandom(size: int, /) -> bytes:
        part = _current()
        return system_urandom(size) if part is None else part.entropy(size)

    def randbits(count: int) -> int:
        part = _current()
        if part is None:
            return system_randbits(count)
        return int.from_bytes(part.entropy((count + 7) // 8), "little") >> (-count % 8)

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        part = _current() if a is None else None
        if part is not None:
            a = int.from_bytes(part.entropy(SEED_BYTES), "little")
        system_seed(self, a, version)

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]
    numpy_entropy.randbits = randbits  # type: ignore[attr-defined]
    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = _shared.seed
