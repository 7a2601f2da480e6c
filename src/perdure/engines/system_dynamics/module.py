"""Modules: reusable parts of a model; the names of their elements begin with the module's path."""

from collections.abc import Sequence

from perdure.engines.system_dynamics.elements import Biflow, Constant, Converter, Flow, Stock
from perdure.engines.system_dynamics.model import Model
from perdure.errors import ModelError

__all__ = ["Module"]


class Module:
    """A part of a model; subclasses create its elements and equations.

    By convention, a subclass creates the elements that other modules use in ``__init__``, and sets the
    equations in `initialize`, which the program calls when all modules exist. Two modules with the same path
    share their elements.

    Parameters
    ----------
    model
        The model that the elements belong to.
    name
        The module's name, unique among the modules of its parent.
    parent
        The module that contains this one; None if it lies in the model directly.

    Examples
    --------
    >>> from perdure.engines.system_dynamics import Model, Module
    >>> class Tank(Module):
    ...     def __init__(self, model, name, parent=None):
    ...         super().__init__(model, name, parent)
    ...         self.inflow = self.converter("inflow")
    ...         self.outflow = self.flow("outflow")
    ...     def initialize(self):
    ...         level = self.stock("level")
    ...         level.initial_value = 8.0
    ...         level.equation = self.inflow - self.outflow
    ...         self.outflow.equation = level * 0.5
    >>> model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="cascade")
    >>> upper, lower = Tank(model, "upper"), Tank(model, "lower")
    >>> upper.initialize(), lower.initialize()
    (None, None)
    >>> upper.inflow.equation = 0.0
    >>> lower.inflow.equation = upper.outflow
    >>> model.evaluate_equation("lower.level", 1.0)
    8.0
    """

    def __init__(self, model: Model, name: str, parent: "Module | None" = None) -> None:
        if not isinstance(name, str) or not name:
            raise ModelError(f"A module's name is a non-empty string, not {name!r:.80}.")
        self.model = model
        self.name = name
        self.parent = parent

    def fqn(self, name: str) -> str:
        """Return the full name of an element of this module: the path of modules, a dot, and `name`."""
        path = self.name if self.parent is None else self.parent.fqn(self.name)
        return f"{path}.{name}"

    @property
    def points(self) -> dict[str, Sequence[Sequence[float]]]:
        """The graphical functions of the model, which all its modules share."""
        return self.model.points

    def initialize(self) -> None:
        """Set the equations; subclasses override it and initialize the modules they contain."""

    def stock(self, name: str) -> Stock:
        """Return the model's stock `fqn(name)`, made if it doesn't exist."""
        return self.model.stock(self.fqn(name))

    def flow(self, name: str) -> Flow:
        """Return the model's flow `fqn(name)`, made if it doesn't exist."""
        return self.model.flow(self.fqn(name))

    def biflow(self, name: str) -> Biflow:
        """Return the model's biflow `fqn(name)`, made if it doesn't exist."""
        return self.model.biflow(self.fqn(name))

    def converter(self, name: str) -> Converter:
        """Return the model's converter `fqn(name)`, made if it doesn't exist."""
        return self.model.converter(self.fqn(name))

    def constant(self, name: str) -> Constant:
        """Return the model's constant `fqn(name)`, made if it doesn't exist."""
        return self.model.constant(self.fqn(name))
