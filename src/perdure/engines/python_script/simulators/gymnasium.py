"""Gymnasium environments as simulators; nrp-core calls them OpenAI.

The state of an environment consists of the attributes of its wrappers and of itself, including the bit
generators of its draws. That covers environments in plain Python, such as gymnasium's classic control and toy
text. If state is held elsewhere, for example by a physics library, `NotSnapshotable` names it.
"""

import copy
from typing import Any

import numpy as np

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.simulators.base import load_package
from perdure.engines.python_script.simulators.packing import Packer, unpacked
from perdure.errors import Invalid, MissingExtra, suggest
from perdure.state.codec import State

__all__ = ["Gymnasium"]


class Gymnasium:
    """Runs an environment; implements `Simulator`.

    The step that ends an episode returns its last observation and info. The next step starts a new episode,
    unless `reset` was called.

    Parameters
    ----------
    name
        The environment's name, such as ``"CartPole-v1"``.
    seed
        The seed of its draws.
    render_mode
        How the environment draws pictures; None if it draws none. `restore` doesn't change it.
    """

    def __init__(self, name: str, seed: int, render_mode: str | None = None) -> None:
        gymnasium: Any = load_package("OpenAI")
        try:
            # Without the option for others: not every environment takes it.
            drawn = {} if render_mode is None else {"render_mode": render_mode}
            self._environment: Any = gymnasium.make(name, **drawn)
        except gymnasium.error.Error as error:
            raise Invalid(f"gymnasium can't make {name!r} (WorldFileName): {error}") from error
        except ModuleNotFoundError as error:
            what, package = f"gymnasium's {name!r}", (error.name or "?").partition(".")[0]
            raise MissingExtra(
                f"{what} needs the package {package!r}; install it with: pip install {package}.",
                what=what,
                package=package,
            ) from error
        self._render_mode = render_mode
        self._spaces: Any = gymnasium.spaces
        self._time = 0.0
        self._ended = False  # whether the episode has ended and the next one hasn't begun
        observation, info = self._environment.reset(seed=seed % (1 << 32))
        self._properties: dict[str, Any] = {
            "observation": copy.deepcopy(observation),
            "reward": None,
            "truncated": False,
            "doneFlag": False,
            "trainInfo": copy.deepcopy(info),
        }
        self._packer = Packer(gymnasium, self._layers())

    def run_step(self, action: Any, timestep_ns: int) -> bool:
        """Apply an action, in a new episode if the last one has ended; return whether it ends the episode.

        An environment has a time step of its own; `timestep_ns` only counts for `get_sim_time`.
        """
        space = self._environment.action_space
        if isinstance(space, self._spaces.Box):
            action = np.asarray(action, dtype=space.dtype)
        if self._ended:
            self.reset()
        observation, reward, terminated, truncated, info = self._environment.step(action)
        self._time += timestep_ns / 1e9
        done = self._ended = bool(terminated or truncated)
        self._properties = {
            "observation": copy.deepcopy(observation),
            "reward": float(reward),
            "truncated": bool(truncated),
            "doneFlag": done,
            "trainInfo": copy.deepcopy(info),
        }
        return done

    def reset(self) -> Any:
        """Start a new episode; return its first observation."""
        observation, info = self._environment.reset()
        self._ended = False
        self._properties |= {"observation": copy.deepcopy(observation), "trainInfo": copy.deepcopy(info)}
        return self.get_model_property("observation", "Property")

    def shutdown(self) -> None:
        """Close the environment."""
        self._environment.close()

    def get_model_properties(self, kind: str) -> list[str]:
        """Return the names of the values that a step returns; the only kind is ``"Property"``."""
        self._check(kind)
        return list(self._properties)

    def get_model_property(self, name: str, attribute: str) -> Any:
        """Return one of these values; an array becomes a list."""
        self._check(attribute)
        if name not in self._properties:
            raise Invalid(
                f"There is no property {name!r}; known are {', '.join(self._properties)}."
                f"{suggest(name, self._properties)}"
            )
        value = copy.deepcopy(self._properties[name])
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    def get_model_all_properties(self, kind: str) -> dict[str, Any]:
        """Return all these values by name."""
        return {name: self.get_model_property(name, kind) for name in self._properties}

    def get_sim_time(self) -> float:
        """Return the simulated time, in seconds."""
        return self._time

    def render(self) -> Any:
        """Return the picture that the environment draws of its state, in its render mode."""
        return self._environment.render()

    def scene(self) -> State:
        """Return the whole state: what an environment draws of it is its own affair."""
        return self.snapshot(ObjectGraph())

    def snapshot(self, graph: ObjectGraph) -> State:
        """Return the attributes of every layer, and the result of the last step."""
        seen: dict[int, int] = {}
        return {
            "time": self._time,
            "ended": self._ended,
            "properties": self._packer.packed("the last answer", self._properties, graph, seen),
            "layers": [
                {
                    name: self._packer.packed(f"{type(layer).__name__}.{name}", value, graph, seen)
                    for name, value in vars(layer).items()
                    if name != "env"
                }
                for layer in self._layers()
            ],
        }

    def restore(self, state: Any) -> None:
        """Restore these attributes and the result."""
        self._time = state["time"]
        self._ended = state.get("ended", False)  # former states lack this: an episode began at once
        seen: list[Any] = []
        self._properties = unpacked(state["properties"], None, seen)
        for layer, attributes in zip(self._layers(), state["layers"], strict=True):
            own = vars(layer)
            restored = {name: unpacked(value, own.get(name), seen) for name, value in attributes.items()}
            if self._render_mode is not None and "render_mode" in own:
                restored["render_mode"] = self._render_mode
            if "env" in own and layer is not layer.unwrapped:
                restored["env"] = own["env"]
            own.clear()
            own.update(restored)

    def _layers(self) -> list[Any]:
        """Return the wrappers, outermost first, and the environment itself."""
        layers = [self._environment]
        while layers[-1] is not layers[-1].unwrapped:
            layers.append(layers[-1].env)
        return layers

    def _check(self, kind: str) -> None:
        if kind != "Property":
            raise Invalid(f"An environment has no {kind!r}; its only kind is 'Property'.")
