"""The shape of what computes a run, of a task or an experiment, in the native API."""

from typing import Any

from msgspec.structs import asdict
from pydantic import BaseModel, Field

from perdure.drivers.computed_by import ComputedBy
from perdure.run import Execution

__all__ = ["COMPUTED_BY", "EARLIER_NUMERICS", "MISSING", "NUMERICS", "ComputedByRecord", "computed_fields"]

COMPUTED_BY = "What computes it, or has computed it last; null before it has begun."
NUMERICS = "The numeric fingerprint of the host that computes it; null if that isn't known."
EARLIER_NUMERICS = "Those of hosts that computed it before, and round some functions otherwise."
MISSING = "What every server and worker lacks to compute it, in words, while none does; null if nothing."


class ComputedByRecord(BaseModel):
    """What computes a run, in its version."""

    version: str | None = Field(description="What the author of its task calls it; null if that isn't known.")
    sha256: str = Field(
        description="The hash of its task's files or module, or of all the experiment's files."
    )
    engines: list[str] = Field(description="The kinds of its engines that other packages bring.")
    packages: dict[str, str] = Field(description="Installed packages that numbers depend on: their versions.")
    python: str = Field(description="Python's version, without the last part.")
    numerics: str | None = Field(description=NUMERICS)
    earlier_numerics: list[str] = Field(description=EARLIER_NUMERICS)


def computed_fields(execution: Execution, missing: str, sha256: str) -> dict[str, Any]:
    """Return the fields of a run that say what computes it, and what is missing for that.

    What has a hash of its own in the run's spec, `sha256`, is computed by that wherever it is taken up.
    """
    computed = None
    if execution.computed_by:
        found = asdict(ComputedBy.from_text(execution.computed_by))
        computed = {
            **found,
            "version": found["version"] or None,
            "sha256": found["sha256"] or sha256,
            "numerics": found["numerics"] or None,
        }
    return {"computed_by": computed, "missing": missing or None}
