"""Whole runs: an engine from its start to its stop, step by step."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from perdure.engines.base import Engine

__all__ = ["whole_run"]


def whole_run(engine: Engine, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[Any]]]:
    """Run an engine that isn't initialised yet, and close it; return the times, and each output's values."""
    times: list[float] = []
    values: dict[str, list[Any]] = {name: [] for name in config["outputs"]}
    with closing(engine):
        engine.initialize(config)
        while not engine.finished:
            for name, value in engine.step({}).items():
                values[name].append(value)
            times.append(engine.time)
    return times, values
