"""Constants: equations of a scenario file that are worked out at once, as ``"2+3"``."""

from perdure.engines.system_dynamics.sources.budget import Budget
from perdure.engines.system_dynamics.sources.builtins import XMILE
from perdure.engines.system_dynamics.sources.dimensions import Dimensions
from perdure.engines.system_dynamics.sources.equations import Context
from perdure.engines.system_dynamics.sources.limits import MAX_LENGTH
from perdure.engines.system_dynamics.sources.macros import MacroCalls
from perdure.engines.system_dynamics.sources.positions import Position
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.scopes import Scope
from perdure.engines.system_dynamics.sources.specs import worked_out
from perdure.engines.system_dynamics.sources.xmile.equations import equation_of
from perdure.errors import ModelError

__all__ = ["constant_of"]


def constant_of(text: str) -> float:
    """Return the value of an equation of numbers, in XMILE's notation; nothing is evaluated as code.

    >>> constant_of("2+3")
    5.0

    Raises
    ------
    ModelError
        If it is no such equation.
    """
    context = Context(
        owner="@constant",
        scope=Scope(),
        position=Position(Dimensions((), Problems())),
        functions=XMILE,
        macros=MacroCalls((), lambda count: None),
        budget=Budget(MAX_LENGTH),
    )
    try:
        node = equation_of(text)
        if node is None:
            raise Unservable("it is empty")
        return worked_out(context.value(node), {})
    except Unservable as refused:
        raise ModelError(f"{text!r:.80} is no number and no equation of numbers: {refused}.") from None
