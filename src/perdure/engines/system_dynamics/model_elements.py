"""The elements and points of a model: what a modeller defines, independent of how it runs."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from perdure.engines.system_dynamics.elements import (
    RESERVED,
    Biflow,
    Constant,
    Converter,
    Element,
    Flow,
    Stock,
)
from perdure.engines.system_dynamics.expression import AnyModel, EquationTexts
from perdure.engines.system_dynamics.points import Points, checked_points, filled
from perdure.engines.system_dynamics.spellings import spelling_of
from perdure.engines.system_dynamics.user_functions import refuse_past_read
from perdure.errors import DuplicateElement, ModelError, UnknownElement, nearest

__all__ = ["ModelElements"]

AnyElement = TypeVar("AnyElement", bound=Element)


class ModelElements:
    """The elements of a model by name, and its points.

    With `any_spelling`, as models from files have it, a name may be written in any of its spellings.

    Its methods without a body are those of `AnyModel` that need a run; `Model` has them. It is no ABC, so
    that a subclass of `Model` can have a metaclass of its own.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: dict[str, Sequence[Sequence[float]]] = {}
        self.any_spelling = False
        self._spelling: Callable[[str], str] | None = None
        self._origin = object()  # shared with copies, whose equations are those of the first model
        self._elements: dict[str, Element] = {}

    # Defining -----------------------------------------------------------------------------------------------

    def stock(self, name: str) -> Stock:
        """Return the stock `name`, made if it doesn't exist; as with all kinds, a name has one kind only."""
        return self.element_of(Stock, name)

    def flow(self, name: str) -> Flow:
        """Return the flow `name`, made if it doesn't exist; it is never negative."""
        return self.element_of(Flow, name)

    def biflow(self, name: str) -> Biflow:
        """Return the biflow `name`, made if it doesn't exist; it may have either sign."""
        return self.element_of(Biflow, name)

    def converter(self, name: str) -> Converter:
        """Return the converter `name`, made if it doesn't exist."""
        return self.element_of(Converter, name)

    def constant(self, name: str) -> Constant:
        """Return the constant `name`, made if it doesn't exist."""
        return self.element_of(Constant, name)

    def element_of(self, kind: type[AnyElement], name: str) -> AnyElement:
        """Return the element `name` of a kind, made if it doesn't exist."""
        if not isinstance(name, str) or not name or name.startswith(RESERVED):
            raise ModelError(
                f"An element's name is a non-empty string without {RESERVED} at its start, not {name!r:.80}."
            )
        refuse_past_read(name)
        element = self._elements.get(name)
        if element is None:
            model: AnyModel = self
            element = self._elements[name] = kind(model, name)
            self._spelling = None
            self.changed()
        if not isinstance(element, kind):
            raise DuplicateElement(name=name, kind=element.kind, other=kind.kind)
        return element

    # Reading ------------------------------------------------------------------------------------------------

    @property
    def elements(self) -> Mapping[str, Element]:
        """All elements by name, in the order they were made."""
        return MappingProxyType(self._elements)

    @property
    def stocks(self) -> dict[str, Stock]:
        """The stocks by name."""
        return self._of(Stock)

    @property
    def flows(self) -> dict[str, Flow]:
        """The flows by name."""
        return self._of(Flow)

    @property
    def biflows(self) -> dict[str, Biflow]:
        """The biflows by name."""
        return self._of(Biflow)

    @property
    def converters(self) -> dict[str, Converter]:
        """The converters by name."""
        return self._of(Converter)

    @property
    def constants(self) -> dict[str, Constant]:
        """The constants by name."""
        return self._of(Constant)

    @property
    def outputs(self) -> list[str]:
        """The names of the elements that have a value: all but arrays as a whole."""
        return [name for name, element in self._elements.items() if element.has_value]

    @property
    def overridable(self) -> list[str]:
        """The names of the elements that a scenario or a client may set."""
        return [name for name, element in self._elements.items() if element.overridable]

    def spelled(self, name: str) -> str:
        """Return the model's own name for a spelling of it, and other names as they are.

        A name that the model has as it is comes before one that it only spells otherwise.
        """
        if not self.any_spelling or name in self._elements or name in self.points:
            return name
        if self._spelling is None:
            self._spelling = spelling_of((*self._elements, *self.points))
        return self._spelling(name)

    def known(self, name: object, user: str) -> str:
        """Return the name of an element with a value, as the model has it; otherwise raise an error on behalf
        of `user`.

        Raises
        ------
        UnknownElement
            If there is no such element.
        ModelError
            If it is an array.
        """
        if isinstance(name, str) and (name := self.spelled(name)) in self._elements:
            if self._elements[name].has_value:
                return name
            cells = self._elements[name].cell_names()
            raise ModelError(f"{user} names the array {name!r}, which has no value of its own; name {cells}.")
        raise UnknownElement(user=user, name=name, suggestion=nearest(str(name), self._elements))

    def tables(self) -> dict[str, Points]:
        """Return the points by name, checked and sorted by x, without those that are empty.

        Raises
        ------
        ModelError
            If some aren't points.
        """
        return {name: checked_points(points, name) for name, points in filled(self.points).items()}

    def lookup_points(self, name: str) -> Points:
        """Return the model's points `name`, sorted by x; raise `UnknownElement` if there are none."""
        if name not in self.points:
            raise UnknownElement(user="A plot", name=name, suggestion=nearest(name, self.points))
        return checked_points(self.points[name], name)

    def copy_of(self, other: "ModelElements") -> bool:
        """Return whether one of the two is a copy of the other, so that their equations can be shared."""
        return self._origin is other._origin

    # What `Model` has ---------------------------------------------------------------------------------------

    @abstractmethod
    def changed(self) -> None:
        """Forget what was compiled; elements call it when an equation is set."""

    @abstractmethod
    def program(self) -> EquationTexts:
        """Return the model's intermediate form."""

    @abstractmethod
    def evaluate_equation(self, name: str, t: float) -> float:
        """Return the value of the element `name` at `t`."""

    @abstractmethod
    def windows(
        self,
        names: Sequence[str],
        starttime: float | None = None,
        stoptime: float | None = None,
        dt: float | None = None,
    ) -> list[dict[float, float]]:
        """Return time → value of each element."""

    def _of(self, kind: type[AnyElement]) -> dict[str, AnyElement]:
        return {name: element for name, element in self._elements.items() if isinstance(element, kind)}
