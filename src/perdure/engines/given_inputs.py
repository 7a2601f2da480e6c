"""Given inputs: the settings of a client, checked, as inputs of an engine."""

from collections.abc import Collection, Mapping
from typing import Any

from perdure.engines.json_data import copied
from perdure.engines.numbers import finite
from perdure.errors import InvalidOverride, nearest

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
            reason, suggestion = f"a step takes {' and '.join(_SETTABLE)}", nearest(str(kind), _SETTABLE)
            raise InvalidOverride(name=kind, value=f"{values!r:.80}", reason=reason, suggestion=suggestion)
        if not isinstance(values, Mapping):
            raise InvalidOverride(
                name=kind, value=f"{values!r:.80}", reason="it must be a mapping of names to values"
            )
        for name, value in values.items():
            shown = f"{value!r:.80}"
            if name not in known:
                reason, suggestion = "the model has no such input", nearest(str(name), known)
                raise InvalidOverride(name=name, part=kind, value=shown, reason=reason, suggestion=suggestion)
            if name in given:
                raise InvalidOverride(name=name, part=kind, value=shown, reason="it is set twice")
            if kind == "inputs":
                given[name] = copied(value, name, model)
            elif (number := finite(value)) is None:
                raise InvalidOverride(
                    name=name, part=kind, value=shown, reason="a constant is a finite number"
                )
            else:
                given[name] = number
    return given
