"""What a Mesa model answers: its data collector's newest values, counts of agents, and its own numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from perdure.engines.json_data import copied
from perdure.errors import InvalidDataPack

__all__ = ["outputs_of"]

_SIMPLE = (bool, int, float, str, np.number, np.bool_)


def outputs_of(model: Any, name: str) -> dict[str, Any]:
    """Return the outputs of a model as they are now.

    Where names are the same, a model reporter takes precedence over an attribute, and an attribute over a
    count. What isn't JSON, such as a graph, is left out.

    Parameters
    ----------
    model
        The model.
    name
        The engine's name.
    """
    found: dict[str, Any] = {"agents": len(model.agents)}
    for kind, agents in model.agents_by_type.items():
        found[kind.__name__] = len(agents)
    public = ((attribute, value) for attribute, value in vars(model).items() if attribute[:1] != "_")
    found.update({attribute: value for attribute, value in public if isinstance(value, _SIMPLE)})
    found.update(_collected(model))
    outputs = {}
    for port, value in found.items():
        try:
            outputs[port] = copied(value, port, name)
        except InvalidDataPack:
            continue
    return outputs


def _collected(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the newest value of each model reporter; None before the first collection."""
    from mesa import DataCollector

    for collector in vars(model).values():
        if isinstance(collector, DataCollector):
            for reporter, values in collector.model_vars.items():
                yield reporter, values[-1] if values else None
