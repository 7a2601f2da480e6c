"""Walkers on a line: an engine, and a model that `perdure serve` takes."""

import math
import random
from collections.abc import Mapping
from typing import Any, ClassVar

from perdure.errors import Invalid
from perdure.extend import State

__all__ = ["RandomWalk", "model"]


class RandomWalk:
    """Lets walkers go; implements Perdure's engine port.

    Its inputs are ``wind``, the mean of a walker's way in a unit of time, and ``names``, a list of the
    walkers' names; its outputs ``mean``, ``spread``, and ``places``, which are by name.
    """

    isolated: ClassVar[bool] = True  # it is to end alone if it crashes

    def __init__(self) -> None:
        self.time = 0.0
        self.finished = False
        self._timestep = 1.0
        self._random = random.Random()
        self._begun = False
        self._wind = 0.0
        self._places: dict[str, float] = {}

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Put as many walkers as ``config["walkers"]`` at the origin."""
        self._timestep = config["timestep"]
        self._random.seed(config["seed"])
        self._places = {f"walker {number}": 0.0 for number in range(config["walkers"])}

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Refuse a wind that isn't a number, and names that aren't a list of them."""
        wind, names = inputs.get("wind", 0.0), inputs.get("names", list(self._places))
        if not isinstance(wind, int | float):
            raise Invalid(f"The wind is a number, not {wind!r}.")
        if not isinstance(names, list) or len(names) != len(self._places):
            raise Invalid(f"There are {len(self._places)} walkers, so as many names are needed.")

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let each walker go for a time step; the first step returns where they begin."""
        self.validate(inputs)
        self._wind = inputs.get("wind", self._wind)
        if "names" in inputs:
            self._places = dict(zip(inputs["names"], self._places.values(), strict=True))
        if self._begun:
            for name, place in self._places.items():
                way = self._random.gauss(self._wind * self._timestep, math.sqrt(self._timestep))
                self._places[name] = place + way
            self.time += self._timestep
        self._begun = True
        places = list(self._places.values())
        mean = math.fsum(places) / len(places)
        spread = math.sqrt(math.fsum((place - mean) ** 2 for place in places) / len(places))
        return {"mean": mean, "spread": spread, "places": dict(self._places)}

    def snapshot(self) -> State:
        """Return all of it."""
        version, numbers, following = self._random.getstate()
        return {
            "time": self.time,
            "begun": self._begun,
            "wind": self._wind,
            "places": dict(self._places),
            "random": [version, list(numbers), following],
        }

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned."""
        self.time, self._begun, self._wind = state["time"], state["begun"], state["wind"]
        self._places = dict(state["places"])
        version, numbers, following = state["random"]
        self._random.setstate((version, tuple(numbers), following))

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def model() -> Any:
    """Return the model that is served."""
    from perdure.extend import EngineModel

    return EngineModel(
        name="walk",
        engine="random_walk",
        config={"walkers": 5},
        inputs={"wind": 0.0, "names": None},
        outputs=["mean", "spread", "places"],
        stoptime=40.0,
        dt=0.5,
    )
