"""The numeric fingerprint differs between hosts whose arithmetic does, and stops no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdure.numerics import HERE, Numerics, fingerprint

PRINT = "from perdure.numerics import fingerprint; print(fingerprint())"
LAZY = "import sys, perdure.numerics; print('numpy' in sys.modules)"
FEATURES = (
    "import numpy._core._multiarray_umath as numpy\n"
    "print(*(name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]))"
)


def printed(program: str, **environment: str) -> str:
    """Return what a Python process prints that has these variables besides its environment."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def processor_has(*features: str) -> bool:
    info = Path("/proc/cpuinfo")
    flags = info.read_text().partition("flags")[2].partition("\n")[0].split() if info.exists() else []
    return all(feature in flags for feature in features)


def test_it_is_the_same_in_every_process_of_a_host() -> None:
    assert printed(PRINT) == fingerprint()
    assert len(fingerprint()) == 16
    assert set(fingerprint()) <= set("0123456789abcdef")


def test_numpy_is_imported_when_it_is_needed_first() -> None:
    assert printed(LAZY) == "False"


@pytest.mark.skipif(
    not processor_has("avx2", "fma"),
    reason="the C library has one version of its functions for this processor",
)
def test_another_version_of_the_c_librarys_functions_has_another_one() -> None:
    tunables = "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F,-AVX2_Usable,-FMA_Usable"
    assert printed(PRINT, GLIBC_TUNABLES=tunables) != fingerprint()


def test_another_version_of_numpys_functions_has_another_one() -> None:
    features = printed(FEATURES)
    if not features:
        pytest.skip("NumPy has one version of its functions for this processor")
    assert printed(PRINT, NPY_DISABLE_CPU_FEATURES=features) != fingerprint()


def test_a_host_goes_on_with_its_own_runs_and_with_those_that_have_none() -> None:
    here = Numerics("a" * 16)
    assert here.are("")
    assert here.are("a" * 16)
    assert not here.are("b" * 16)
    assert (here.differ(""), here.differ("a" * 16)) == ("", "")


def test_a_host_says_why_it_does_not_go_on_with_another_ones_and_how_it_would() -> None:
    why = Numerics("a" * 16).differ("b" * 16)
    assert f"numeric fingerprint {'b' * 16}" in why
    assert f"this host has {'a' * 16}" in why
    assert "--other-numerics (PERDURE_OTHER_NUMERICS)" in why
    assert Numerics("a" * 16, others=True).differ("b" * 16) == ""


def test_by_default_it_is_the_fingerprint_of_the_process() -> None:
    assert HERE.fingerprint == fingerprint()
    assert HERE.differ("b" * 16)
