"""The environment of children: an allow-list, so that no address or password of the server reaches a script.

It imports nothing but the standard library, since `perdure serve` begins with it.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

__all__ = ["ALLOWED", "allowed"]

ALLOWED = (
    # Where things are, and how text and time are written.
    *("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "PYTHON*"),
    # Without these an interpreter that was started by their help doesn't start again.
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    # Which code of numerical libraries runs, and on how many threads: it decides the bits of results.
    *("OMP_*", "GOMP_*", "KMP_*", "OPENBLAS_*", "GOTO_NUM_THREADS", "BLIS_*", "MKL_*", "VECLIB_*"),
    *("NPY_*", "NUMEXPR_*", "NUMBA_*", "GLIBC_TUNABLES"),
    # What MuJoCo and others draw with.
    *("MUJOCO_GL", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM", "EGL_PLATFORM", "LIBGL_*"),
    *("GALLIUM_DRIVER", "CUDA_VISIBLE_DEVICES"),
)
"""The names of variables that a child's environment has, as patterns of `fnmatch`."""


def allowed(environment: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables of an environment that a child may see.

    Parameters
    ----------
    environment
        The server's.
    named
        Names that are allowed besides `ALLOWED`.

    Examples
    --------
    >>> allowed({"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "LICENSE": "y"}, ["LICENSE"])
    {'PATH': '/bin', 'LC_ALL': 'C', 'LICENSE': 'y'}
    """
    names = frozenset(named)
    return {
        name: value
        for name, value in environment.items()
        if name in names or any(fnmatchcase(name, pattern) for pattern in ALLOWED)
    }
