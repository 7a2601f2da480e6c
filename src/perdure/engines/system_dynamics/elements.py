"""Elements: the stocks, flows, biflows, converters and constants of a model.

An element knows its model, its name and its equation. What the equation means is stated by `lowering`; its
value over time is computed by `simulation`.
"""

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from perdure.engines.numbers import finite
from perdure.engines.system_dynamics.expression import AnyModel, Expression, Operand, as_expression
from perdure.engines.system_dynamics.plots import PlotStyle, draw, frame_of
from perdure.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["RESERVED", "Biflow", "Constant", "Converter", "Element", "Flow", "Kind", "Stock"]

RESERVED = "@"
"""What the names of hidden variables start with; no name of an element does."""

Kind: TypeAlias = Literal["stock", "flow", "biflow", "converter", "constant"]


class Element(Expression):
    """A named part of a model; made by the model's methods `stock`, `flow`, `biflow`, `converter`,
    `constant`.

    Attributes
    ----------
    model
        The model it belongs to.
    name
        Its name, unique in the model.
    kind
        ``"stock"``, ``"flow"``, ``"biflow"``, ``"converter"`` or ``"constant"``.
    """

    __slots__ = ("_equation", "_initial_value", "model", "name")
    kind: Kind

    def __init__(self, model: AnyModel, name: str) -> None:
        self.model = model
        self.name = name
        self._equation: Operand | None = None
        self._initial_value: Operand | None = None

    @property
    def initial_value(self) -> Operand:
        """A stock's value at the start: a number, an element or any expression, evaluated at the start time.

        Other elements start with the value of their equation. As in BPTK-Py, they accept an initial value,
        but it has no effect; a log line says so.
        """
        return 0.0 if self._initial_value is None else self._initial_value

    @initial_value.setter
    def initial_value(self, value: Operand) -> None:
        if isinstance(value, bool):
            raise ModelError(f"The initial value of {self.name!r} is a bool; give it a number.")
        as_expression(value, f"the initial value of {self.name!r}")
        if self.kind != "stock":
            import structlog  # takes long, and the process of an engine has no other use for it

            log = structlog.get_logger(__name__)
            log.warning("initial_value_without_effect", element=self.name, kind=self.kind)
        self._initial_value = value
        self.model.changed()

    @property
    def equation(self) -> Operand | None:
        """The equation as it was set: a number, an element or an expression; None removes it.

        A stock's equation is its net flow, in units of the stock per unit of time.
        """
        return self._equation

    @equation.setter
    def equation(self, equation: Operand | None) -> None:
        if equation is not None:
            as_expression(equation, f"the equation of {self.name!r}")
        self._equation = equation
        self.model.changed()

    @property
    def function_string(self) -> str:
        """The equation as text, for display only."""
        return f"lambda model, t: {self.model.program().text(self.name)}"

    def __bool__(self) -> bool:
        """Return True, so that ``stocks.get(name) or flows.get(name)`` finds an element."""
        return True

    @property
    def overridable(self) -> bool:
        """Whether a scenario or a client may set it: a constant, or a converter without a formula."""
        return False

    def __call__(self, t: float) -> float:
        """Return the element's value at `t`, computed from the start of the run to `t`.

        Raises
        ------
        PastRead
            Inside a user function: there the past of an element can't be read.
        EvaluationFailed
            If `t` is before the start, or the model can't be evaluated.
        """
        return self.model.evaluate_equation(self.name, t)

    def plot(
        self,
        starttime: float | None = None,
        stoptime: float | None = None,
        dt: float | None = None,
        return_df: bool = False,
        format: str = "plot",
        matplotlib_rc_settings: Mapping[str, Any] | None = None,
    ) -> "Axes | pd.DataFrame | None":
        """Run the model and draw the element over time.

        Parameters
        ----------
        starttime, stoptime, dt
            The times to draw, in the model's unit; by default the model's. Between two grid points, the value
            of the nearest one is drawn.
        return_df
            Return the DataFrame and draw nothing; as with the format ``"df"``.
        format
            ``"plot"`` draws with pyplot and returns None, ``"axes"`` returns axes on a new figure.
        matplotlib_rc_settings
            Further settings of matplotlib, by its names.

        Raises
        ------
        MissingExtra
            If pandas is not installed, or matplotlib where something is drawn.
        EvaluationFailed
            If `starttime` is before the model's, or the model can't be evaluated.
        """
        frame = frame_of({self.name: self.model.window(self.name, starttime, stoptime, dt)})
        if return_df or format == "df":
            return frame
        style = PlotStyle().with_given({"matplotlib_rc_settings": matplotlib_rc_settings})
        return draw(frame, style, format=format, title=self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"


class Stock(Element):
    """A level: it starts at its initial value and integrates its net flow over time."""

    __slots__ = ()
    kind: Kind = "stock"

    @property
    def defined(self) -> bool:
        """Whether an equation or an initial value was given."""
        return self._equation is not None or self._initial_value is not None


class Flow(Element):
    """A rate that never falls below zero: ``max(0, equation)``."""

    __slots__ = ()
    kind: Kind = "flow"


class Biflow(Element):
    """A rate that may have either sign."""

    __slots__ = ()
    kind: Kind = "biflow"


class Converter(Element):
    """A value computed from others at the same time; a bare number may be overridden like a constant."""

    __slots__ = ()
    kind: Kind = "converter"

    @property
    def overridable(self) -> bool:
        return self._equation is None or isinstance(self._equation, Real)


class Constant(Element):
    """A finite number that a scenario or a client may override."""

    __slots__ = ()
    kind: Kind = "constant"

    @property
    def overridable(self) -> bool:
        return True

    @property
    def equation(self) -> Operand | None:
        """The constant's value."""
        return self._equation

    @equation.setter
    def equation(self, equation: Operand | None) -> None:
        if equation is not None and finite(equation) is None:
            raise ModelError(f"The constant {self.name!r} must be a finite number, not {equation!r:.80}.")
        self._equation = equation
        self.model.changed()
