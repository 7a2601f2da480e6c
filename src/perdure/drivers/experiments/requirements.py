"""The requirements of experiments: the engines and packages that their runs need, and in which versions."""

from collections.abc import Iterable

from msgspec.structs import replace

from perdure.drivers.computed_by import ComputedBy, installed, python_version
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.engines.kinds import engine_kinds
from perdure.numerics import HERE, Numerics

__all__ = ["computed_by", "lacks", "needs"]

_OF_SCRIPTS = ("numpy",)  # whose generators every script has


def needs(spec: ExperimentSpec) -> str:
    """Return what a run needs to begin, as far as this host has it: what it lacks itself fails the run."""
    packages = dict.fromkeys(installed(spec.packages), "")
    return ComputedBy(engines=spec.engines, packages=packages).to_text()


def computed_by(spec: ExperimentSpec) -> ComputedBy:
    """Return what a run is computed by in this process, now, besides the experiment's files."""
    return ComputedBy(
        engines=spec.engines,
        packages=installed([*spec.packages, *_OF_SCRIPTS]),
        python=python_version(),
    )


def lacks(text: str, numerics: Numerics = HERE) -> str:
    """Return in words what this process lacks to compute a run that has these needs; empty if nothing.

    Parameters
    ----------
    numerics
        The arithmetic of this process.
    """
    needed = ComputedBy.from_text(text)
    here = installed(needed.packages)
    missing = [
        *_quoted("engine", (kind for kind in needed.engines if kind not in engine_kinds())),
        *_quoted("package", (name for name in needed.packages if name not in here)),
    ]
    if missing:
        return f"It needs the {' and the '.join(missing)}. Install that on this server, or stop the run."
    differs = needed.differs(replace(needed, packages=here, python=python_version()))
    return differs or numerics.differ(needed.numerics)


def _quoted(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what} {name!r}" for name in names]
