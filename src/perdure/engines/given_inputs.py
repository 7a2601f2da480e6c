"""Given inputs: the settings of a client, checked, as inputs of an engine."""

from collections.abc import Collection, Mapping
from typing import Any

from perdure.engines.json_data import copied
from perdure.engines.numbers import finite
from perdure.errors import InvalidOverride

__all__ = ["given_inputs"]

_SETTABLE = ("constants", "inputs")
"""The kinds of values that can be set: inputs that are numbers may be set as either."""


def given_inputs(model: str, settings: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Check settings, and return them as inputs of the engine.

    Parameters
    ----------
    model
        The model's name.
    settings
        ``constants``, name to finite number, and ``inputs``, name to data; both optional.
    known
        The names of the model's inputs.

    Raises
    ------
    InvalidOverride
        If there are other settings, the model has no such input, an input is set twice, or a constant isn't a
        finite number.
    InvalidDataPack
        If an input isn't JSON.
    """
    given: dict[str, Any] = {}
    for kind, values in settings.items():
        if kind not in _SETTABLE:
            reason = f"a step takes {' and '.join(_SETTABLE)}"
            raise InvalidOverride.of(kind, values, reason, known=_SETTABLE)
        if not isinstance(values, Mapping):
            raise InvalidOverride.of(kind, values, "it must be a mapping of names to values")
        for name, value in values.items():
            if name not in known:
                reason = "the model has no such input"
                raise InvalidOverride.of(name, value, reason, part=kind, known=known)
            if name in given:
                raise InvalidOverride.of(name, value, "it is set twice", part=kind)
            if kind == "inputs":
                given[name] = copied(value, name, model)
            elif (number := finite(value)) is None:
                raise InvalidOverride.of(name, value, "a constant is a finite number", part=kind)
            else:
                given[name] = number
    return given
