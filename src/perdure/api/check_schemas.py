"""The schemas of checks of runs and of the store in the native API."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from perdure.api.schemas import Strict
from perdure.drivers.examination import Finding

__all__ = ["CheckRun", "CheckStore", "Report", "report"]


class CheckRun(Strict):
    """How a run is to be checked."""

    repair: bool = Field(default=False, description="Write back what replay gives.")


class CheckStore(Strict):
    """How the store is to be checked."""

    repair: bool = Field(
        default=False, description="Make counts, lists and the queue again where they are wrong."
    )


class Fault(BaseModel):
    """Something that is wrong with what is stored of a run, or could not be checked."""

    place: str = Field(examples=["savepoint 101"])
    problem: str
    repaired: bool
    checked: bool = Field(description="False if it names what could not be checked; nothing is known wrong.")


class Report(BaseModel):
    """What a check of a run found."""

    findings: list[Fault]


def report(findings: Sequence[Finding]) -> Report:
    """Return what a check found."""
    return Report(findings=[Fault.model_validate(it, from_attributes=True) for it in findings])
