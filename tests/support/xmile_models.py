"""XMILE documents of the tests, and what runs of them give."""

from collections.abc import Sequence
from pathlib import Path

from perdure.engines.system_dynamics import Model, simulate

FRAME = """<?xml version="1.0" encoding="utf-8"?>
<xmile version="1.0" xmlns="http://docs.oasis-open.org/xmile/ns/XMILE/v1.0">
<header><vendor>x</vendor><name>t</name><product version="1" lang="en">x</product></header>
<sim_specs method="{method}" time_units="Months">
<start>{start}</start><stop>{stop}</stop><dt>{dt}</dt></sim_specs>
{before}
<model><variables>
{variables}
</variables></model>
{after}
</xmile>
"""


def model_of(
    folder: Path,
    variables: str,
    *,
    before: str = "",
    after: str = "",
    start: float = 1.0,
    stop: float = 5.0,
    dt: float = 1.0,
    method: str = "Euler",
) -> Model:
    """Return the model of a document with these variables; `before` and `after` stand around its model."""
    path = folder / "model.xmile"
    path.write_text(
        FRAME.format(
            variables=variables, before=before, after=after, start=start, stop=stop, dt=dt, method=method
        )
    )
    return Model.from_xmile(path)


def columns_of(model: Model, names: Sequence[str]) -> dict[str, list[float]]:
    """Return the values of elements over a whole run."""
    return simulate(model, {"outputs": list(names)})[1]


def aux(name: str, equation: str, more: str = "") -> str:
    """Return an auxiliary."""
    return f'<aux name="{name}"><eqn>{equation}</eqn>{more}</aux>'


def flow(name: str, equation: str = "", more: str = "") -> str:
    """Return a flow; a structure gives its value if it has no equation."""
    return f'<flow name="{name}">{f"<eqn>{equation}</eqn>" if equation else ""}{more}</flow>'


def stock(name: str, initial: str, *, into: str = "", out: str = "", more: str = "") -> str:
    """Return a stock; `into` and `out` are names of flows with commas between them."""
    flows = "".join(f"<inflow>{each}</inflow>" for each in into.split(",") if each)
    flows += "".join(f"<outflow>{each}</outflow>" for each in out.split(",") if each)
    return f'<stock name="{name}"><eqn>{initial}</eqn>{flows}{more}</stock>'
