"""User functions: the modeller's Python functions that equations call.

A function receives a view of the model, the time and its arguments, all floats. It can't read an element,
because a run keeps no past: values of elements, present or past, must be arguments.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NoReturn

from perdure.engines.system_dynamics.attributes import readable
from perdure.engines.system_dynamics.expression import Expression
from perdure.engines.system_dynamics.points import Points
from perdure.errors import PastRead, PerdureError

__all__ = ["FunctionFailed", "ModelView", "refuse_past_read", "wrapped"]

_active: ContextVar[str | None] = ContextVar("active user function", default=None)


class FunctionFailed(Exception):
    """A user function raised; the simulation adds the element and the time."""


class ModelView:
    """What a user function sees of its model.

    Attributes
    ----------
    starttime, stoptime, dt
        The run specs of the run.
    name
        The model's name.
    points
        The points in force, by name; each a tuple of (x, y). They can't be changed.

    Other attributes are those that the model's author set on it; lists are tuples.
    """

    __slots__ = ("_attributes", "_points", "dt", "name", "starttime", "stoptime")

    def __init__(
        self,
        name: str,
        starttime: float,
        stoptime: float,
        dt: float,
        points: Mapping[str, Points],
        attributes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.starttime = starttime
        self.stoptime = stoptime
        self.dt = dt
        self._points = MappingProxyType(points)
        self._attributes = {key: readable(value, self) for key, value in attributes.items()}

    @property
    def points(self) -> Mapping[str, Points]:
        """The points in force."""
        return self._points

    def _refuse(self, name: str, *_: object) -> NoReturn:
        raise PastRead(function=_active.get() or "?", element=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._attributes:
            raise AttributeError(f"'Model' object has no attribute {name!r}")
        return self._attributes[name]

    stock = flow = biflow = converter = constant = equation = evaluate_equation = memoize = _refuse


def refuse_past_read(element: str) -> None:
    """Raise `PastRead` if a user function is running: it can't read `element`."""
    function = _active.get()
    if function is not None:
        raise PastRead(function=function, element=element)


def wrapped(name: str, function: Callable[..., Any], view: ModelView) -> Callable[..., float]:
    """Return `function` as compiled equations call it: with the time and arguments, returning a float."""

    def call(t: float, *arguments: float) -> float:
        token = _active.set(name)
        try:
            result = function(view, t, *arguments)
            if isinstance(result, Expression):
                raise PastRead(function=name, element=getattr(result, "name", "an expression"))
            return float(result)
        except PerdureError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"the function {name!r} raised {type(error).__name__}: {error}"
            raise FunctionFailed(reason) from error
        finally:
            _active.reset(token)

    return call
