"""The environment of children: an allow-list, so that no address or password of the server reaches a script.

It imports only the standard library, since `perdure serve` starts with it.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

__all__ = ["ALLOWED", "allowed"]

ALLOWED = (
    # Locations, and the formats of text and time.
    *("PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "PYTHON*"),
    # An interpreter that was started with these doesn't start without them.
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    # Code paths and threads of numerical libraries, which decide the bits of results.
    *("OMP_*", "GOMP_*", "KMP_*", "OPENBLAS_*", "GOTO_NUM_THREADS", "BLIS_*", "MKL_*", "VECLIB_*"),
    *("NPY_*", "NUMEXPR_*", "NUMBA_*", "GLIBC_TUNABLES"),
    # Rendering of MuJoCo and others.
    *("MUJOCO_GL", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM", "EGL_PLATFORM", "LIBGL_*"),
    *("GALLIUM_DRIVER", "CUDA_VISIBLE_DEVICES"),
)
"""The names of variables that a child's environment has, as patterns of `fnmatch`."""


def allowed(environment: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables of an environment that a child may see.

    Parameters
    ----------
    environment
        The server's environment.
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
