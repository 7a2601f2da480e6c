"""Elements: the stocks, flows, biflows, converters and constants of a model.

An element knows its model, its name and its equation. What the equation means is stated by `lowering`; its
value over time is computed by `simulation`.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from perdure.engines.numbers import finite
from perdure.engines.system_dynamics.array_values import matrix, named_matrix, named_vector, vector
from perdure.engines.system_dynamics.arrays import Spread
from perdure.engines.system_dynamics.expression import AnyModel, Operand, Variable, as_expression
from perdure.engines.system_dynamics.plots import PlotStyle, draw, frame_of
from perdure.engines.system_dynamics.shapes import SCALAR, Index, Shape, label_of
from perdure.errors import ModelError
from perdure.late_logger import LateLogger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["RESERVED", "Biflow", "Constant", "Converter", "Element", "Flow", "Kind", "Stock"]

RESERVED = "@"
"""What the names of hidden variables start with; no name of an element does."""

log = LateLogger(__name__)

Kind: TypeAlias = Literal["stock", "flow", "biflow", "converter", "constant"]


class Element(Variable):
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
    shape
        The axes of an array; none for a single value.
    units, documentation
        What a file says of it; neither changes a run.
    """

    __slots__ = (
        "_array_equation", "_equation", "_initial_value", "_set_up", "documentation", "model", "name",
        "shape", "units",
    )  # fmt: skip
    kind: Kind

    def __init__(self, model: AnyModel, name: str) -> None:
        self.model = model
        self.name = name
        self._equation: Operand | None = None
        self._initial_value: Operand | None = None
        self.shape: Shape = SCALAR
        self._array_equation: Operand | None = None
        self._set_up = False  # as an array, rather than by the equation
        self.units = ""
        self.documentation = ""

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
        where = f"the initial value of {self.name!r}"
        if Spread(as_expression(value, where), where).shape.axes:
            raise ModelError(f"{where[0].upper()}{where[1:]} is an array; give each cell its own.")
        if self.kind != "stock" or self.arrayed:
            log.warning("initial_value_without_effect", element=self.name, kind=self.kind)
        self._initial_value = value
        self.model.changed()

    @property
    def equation(self) -> Operand | None:
        """The equation as it was set: a number, an element or an expression; None removes it.

        A stock's equation is its net flow, in units of the stock per unit of time. An expression over arrays
        makes the element an array of that shape, each cell with its own equation.
        """
        return self._array_equation if self._equation is None else self._equation

    @equation.setter
    def equation(self, equation: Operand | None) -> None:
        where = f"the equation of {self.name!r}"
        spread = None if equation is None else Spread(as_expression(equation, where), where)
        if spread is not None and spread.shape.axes:
            self._equation, self._array_equation = None, equation
            self._take_shape(spread.shape)
            for index in self.shape.indices():
                self.cell(index).equation = spread.at(spread.expression, index)
            return
        if spread is not None and self._set_up:
            raise self._one_value()
        self._equation = equation
        self.model.changed()

    @property
    def function_string(self) -> str:
        """The equation as text, for display only."""
        return f"lambda model, t: {self.model.program().text(self.name)}"

    # Arrays -----------------------------------------------------------------------------------------------

    @property
    def arrayed(self) -> bool:
        """Whether it is an array."""
        return bool(self.shape.axes)

    @property
    def named_arrayed(self) -> bool:
        """Whether it is an array whose cells have names."""
        return self.shape.named

    @property
    def defined_alone(self) -> bool:
        """Whether it is a single value: no array, or one that was given such an equation afterwards."""
        return not self.arrayed or self._equation is not None

    @property
    def has_value(self) -> bool:
        """Whether it can be asked for a value."""
        return self.defined_alone

    def setup_vector(
        self, size: int, default_value: Operand | Sequence[Operand] = 0.0, set_stack_equation: bool = False
    ) -> None:
        """Make the element an array of `size` cells, ``x[0]`` and so on.

        Parameters
        ----------
        size
            The number of cells; more cells than before are added, fewer leave the others.
        default_value
            The value of all cells, or a list with that of each; those of a stock are initial values.
        set_stack_equation
            Whether the values are a stock's net flows instead.

        Raises
        ------
        ModelError
            If the sizes don't fit.
        """
        self._set_cells(*vector(self.name, size, default_value), set_stack_equation)

    def setup_matrix(
        self,
        size: Sequence[int],
        default_value: Operand | Sequence[Sequence[Operand]] = 0.0,
        set_stack_equation: bool = False,
    ) -> None:
        """Make the element an array of rows and columns, with the cells ``x[0][0]``, ``x[0][1]`` and so on.

        Parameters
        ----------
        size
            The numbers of rows and columns.
        default_value, set_stack_equation
            As in `setup_vector`; the values are a list of rows.

        Raises
        ------
        ModelError
            If the sizes don't fit.
        """
        self._set_cells(*matrix(self.name, size, default_value), set_stack_equation)

    def setup_named_vector(self, names: Mapping[str | int, float], set_stack_equation: bool = False) -> None:
        """Make the element an array with a cell for each name, ``x["a"]``, and these numbers as in
        `setup_vector`.

        Raises
        ------
        ModelError
            If it isn't a mapping of names to numbers.
        """
        self._set_cells(*named_vector(self.name, names), set_stack_equation)

    def setup_named_matrix(
        self, names: Mapping[str | int, Mapping[str | int, float]], set_stack_equation: bool = False
    ) -> None:
        """Make the element an array with named rows and columns, ``x["a"]["b"]``, and these numbers as in
        `setup_vector`.

        Raises
        ------
        ModelError
            If it isn't a mapping of names to mappings with the same names in each.
        """
        self._set_cells(*named_matrix(self.name, names), set_stack_equation)

    def cell(self, index: Index) -> Self:
        """Return the cell at an index of the array; that of a matrix with one label is a row."""
        name = self.name + "".join(f"[{label}]" for label in index)
        cell: Self = self.model.element_of(type(self), name)
        return cell

    def cell_names(self) -> str:
        """Return the first cells' names, for messages."""
        names = [self.cell(index).name for index in islice(self.shape.indices(), 4)]
        return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")

    def __getitem__(self, index: str | int) -> Self:
        """Return a cell of an array by its number or name; of a matrix, the row.

        Raises
        ------
        ModelError
            If it isn't an array, or has no such cell.
        """
        if not self.arrayed:
            raise ModelError(f"{self.name!r} isn't an array, so it has no cell [{index!r:.40}].")
        label = label_of(index, self.name)
        if label not in self.shape.axes[0]:
            raise ModelError(
                f"The array {self.name!r} has no cell [{label:.40}]; it has {self.cell_names()}."
            )
        return self.cell((label,))

    def __setitem__(self, index: str | int, equation: Operand) -> None:
        """Set the equation of a cell, or of a row."""
        self[index].equation = equation

    def _set_cells(self, shape: Shape, values: Sequence[Operand], rates: bool) -> None:
        self._take_shape(shape, set_up=True)
        self._equation = None
        for index, value in zip(shape.indices(), values, strict=True):
            cell = self.cell(index)
            if self.kind == "stock" and not rates:
                cell.initial_value = value
            else:
                cell.equation = value

    def _take_shape(self, shape: Shape, *, set_up: bool = False) -> None:
        """Become an array of this shape, or check that it is one; `set_up` may add cells."""
        if self.arrayed and set_up and self.shape.like(shape):
            shape = self.shape.joined(shape)
        elif self.arrayed and not self.shape.fits(shape):
            raise ModelError(
                f"{self.name!r} is an array of the shape {self.shape}, so it can't have the shape {shape}."
            )
        elif self.arrayed:
            shape = self.shape
        self.shape, self._set_up = shape, self._set_up or set_up
        if len(shape.axes) > 1:
            for label in shape.axes[0]:
                self.cell((label,))._take_shape(shape.row(), set_up=set_up)
        for index in shape.indices():
            self.cell(index)
        self.model.changed()

    def _one_value(self) -> ModelError:
        return ModelError(
            f"{self.name!r} was set up as an array, so its equation can't be a single value; set those of "
            f"{self.cell_names()}."
        )

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
        """Run the model and draw the element over time; of an array all cells.

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
        names = {self.name: self.name}
        if self.arrayed:
            # As in BPTK-Py, the columns are the indices alone.
            names = {", ".join(index): self.cell(index).name for index in self.shape.indices()}
        values = self.model.windows(list(names.values()), starttime, stoptime, dt)
        frame = frame_of(dict(zip(names, values, strict=True)))
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

    __slots__ = ("_non_negative",)
    kind: Kind = "stock"

    def __init__(self, model: AnyModel, name: str) -> None:
        super().__init__(model, name)
        self._non_negative = False

    @property
    def non_negative(self) -> bool:
        """Whether the stock stays at zero where its net flow would take it below; of an array, each cell."""
        return self._non_negative

    @non_negative.setter
    def non_negative(self, non_negative: bool) -> None:
        self._non_negative = bool(non_negative)
        for index in self.shape.indices() if self.arrayed else ():
            self.cell(index).non_negative = non_negative
        self.model.changed()

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
        return not self.arrayed and (self._equation is None or isinstance(self._equation, Real))


class Constant(Element):
    """A finite number that a scenario or a client may override."""

    __slots__ = ()
    kind: Kind = "constant"

    @property
    def overridable(self) -> bool:
        return not self.arrayed

    @property
    def has_value(self) -> bool:
        """Whether it can be asked for a value. As in BPTK-Py, an array of constants as a whole is 0.0."""
        return True

    @property
    def equation(self) -> Operand | None:
        """The constant's value."""
        return self._equation

    @equation.setter
    def equation(self, equation: Operand | None) -> None:
        if equation is not None and finite(equation) is None:
            raise ModelError(f"The constant {self.name!r} must be a finite number, not {equation!r:.80}.")
        if self.arrayed:
            raise self._one_value()
        self._equation = equation
        self.model.changed()
