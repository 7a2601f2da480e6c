"""Averages: smoothed and delayed values, trends and forecasts as chains of hidden stocks.

A chain of order n has n stages of a time T/n each. `smooth_of` averages its input, `delay_of` moves it as a
material that is neither lost nor made when the time changes; with a constant time both have the same values.

Source: XMILE 1.0, section 3.5.4; Sterman, Business Dynamics (2000), chapters 11 and 16.
"""

from typing import Protocol

from perdure.engines.system_dynamics.expression import Expression, Hidden, Number, Operation, Reference

__all__ = ["delay_of", "forecast_of", "smooth_of", "trend_of"]


class Hiding(Protocol):
    """What makes hidden variables; a context of an equation does."""

    def hidden_name(self, what: str) -> str:
        """Return a name for a hidden part."""
        ...

    def variable(self, what: str, expression: Expression) -> Expression:
        """Return an expression as a hidden variable."""
        ...


def smooth_of(
    hiding: Hiding, value: Expression, time: Expression, order: int, initial: Expression | None
) -> Expression:
    """Return the exponential average of order `order`; it starts at `initial`, by default at the value."""
    value, time = hiding.variable("input", value), hiding.variable("time", time)
    stage, start = value, value if initial is None else initial
    for _ in range(order):
        name = hiding.hidden_name("smooth")
        stage = Hidden(name, "stock", (stage - Reference(name)) / _share(time, order), start)
    return stage


def delay_of(
    hiding: Hiding, value: Expression, time: Expression, order: int, initial: Expression | None
) -> Expression:
    """Return the outflow of a material delay of order `order`; it starts at `initial` or at the value."""
    value, time = hiding.variable("input", value), hiding.variable("time", time)
    flow, start = value, value if initial is None else initial
    for _ in range(order):
        name, share = hiding.hidden_name("delay stage"), _share(time, order)
        level = Hidden(name, "stock", flow - Reference(name) / share, start * share)
        flow = level / share
    return flow


def trend_of(hiding: Hiding, value: Expression, time: Expression, initial: Expression) -> Expression:
    """Return the fractional rate of change of a value, by its average over `time`; it starts at `initial`.

    While the average is zero, so is the trend.
    """
    value, time = hiding.variable("input", value), hiding.variable("time", time)
    name = hiding.hidden_name("trend")
    average = Hidden(name, "stock", (value - Reference(name)) / time, value / (1.0 + initial * time))
    return Operation("divided", (value - average, average * time, Number(0.0)))


def forecast_of(
    hiding: Hiding, value: Expression, time: Expression, horizon: Expression, initial: Expression
) -> Expression:
    """Return the value that the trend over `time` leads to after `horizon`."""
    value = hiding.variable("input", value)
    return value * (1.0 + trend_of(hiding, value, time, initial) * horizon)


def _share(time: Expression, order: int) -> Expression:
    return time if order == 1 else time / Number(float(order))
