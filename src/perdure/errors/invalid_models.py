"""Errors of models: their definition, their run specs, overrides and states."""

from collections.abc import Iterable
from typing import Any

from perdure.errors.invalid import Invalid
from perdure.errors.wording import nearest


class ModelError(Invalid):
    """The model's definition is wrong."""


class UnknownElement(ModelError):
    """{user} uses {name!r}, which the model doesn't define.{suggestion}"""


class DuplicateElement(ModelError):
    """{name!r} is already {kind:a} of this model; give the {other} another name."""


class MissingEquation(ModelError):
    """No equation is given for {names}; set `.equation` of each."""


class CircularDefinition(ModelError):
    """These elements are defined in a circle: {circle}. Break it with a stock or a delay."""


class PastRead(ModelError):
    """The function {function!r} reads the element {element!r} itself; pass the element as an argument, and
    `sd.delay(...)` of it for its past."""


class ImpureFunction(ModelError):
    """The function {function!r} reads {what}, so that a resumed run would go on with other numbers. Pass what
    it needs as arguments, or declare it: `model.function({function!r}, …, impure=True)` logs its answers with
    each step and replays them. Random numbers that need no log come from sd.uniform, sd.normal and others."""


class UnservableModel(ModelError):
    """The model {name!r} can't be served: {problems}"""


class InvalidRunSpecs(Invalid):
    """The run specs of {name!r} are wrong: {reason}."""


class InvalidOverride(Invalid):
    """{where!r} can't be set to {value}: {reason}.{suggestion}"""

    # `where` is the place in a request, if it came with one; else it is the name.

    def __init__(self, message: str | None = None, /, **values: Any) -> None:
        super().__init__(message, **{"where": values.get("name"), **values})

    @classmethod
    def of(
        cls,
        name: object,
        value: object,
        reason: str,
        *,
        part: str | None = None,
        known: Iterable[str] | None = None,
    ) -> "InvalidOverride":
        """Return the error for a value that is refused.

        Parameters
        ----------
        part
            What the name is one of, such as ``constants``; None if it is the name of such a part itself.
        known
            The names there are, of which the one most like the name is suggested.
        """
        values = {"name": name, "value": f"{value!r:.80}", "reason": reason}
        if part is not None:
            values["part"] = part
        if known is not None:
            values["suggestion"] = nearest(str(name), known)
        return cls(**values)


class EvaluationFailed(Invalid):
    """{element!r} can't be evaluated at t={time}: {reason}."""


class InvalidState(Invalid):
    """The state doesn't fit the model {name!r}: {reason}."""
