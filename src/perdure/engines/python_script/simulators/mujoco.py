"""MuJoCo as a simulator.

The state is `mjSTATE_INTEGRATION`, and everything in mjData that outlasts a step: the arrays of fixed size,
because a script that reads a site's position before the next step sees the position computed in the last one;
the scalars, such as the number of awake bodies; and the warnings, because MuJoCo warns once. The fields are
found in mjData itself. The state leaves out addresses and the memory layout, which belong to each mjData, and
the arena, which each step refills.
"""

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.simulators.base import load_package
from perdure.errors import Invalid, InvalidState, suggest, with_article
from perdure.state.codec import State

__all__ = ["Mujoco"]

TOLERANCE = 1e-6  # share of a time step, for time steps rounded to decimals

_ADDRESS = np.dtype(np.uintp)  # the type of addresses in arrays, such as those of plugins' data
_MEMORY = frozenset(
    ("narena", "nbuffer", "nplugin", "pstack", "pbase", "parena", "threadpool", "threadlock", "signature")
)
_WARNINGS = ("number", "lastinfo")


class Mujoco:
    """Runs a MuJoCo model; implements `Simulator`.

    Parameters
    ----------
    path
        The model, as MJCF.
    """

    def __init__(self, path: Path) -> None:
        self._mujoco: Any = load_package("Mujoco")
        if not path.is_file():
            raise Invalid(f"There is no model file {path.name!r} (WorldFileName).")
        try:
            self._model: Any = self._mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            raise Invalid(f"MuJoCo can't load {path.name!r}: {error}") from error
        self._data: Any = self._mujoco.MjData(self._model)
        self._fixed = self._fixed_arrays()
        self._scalars = self._own_scalars()
        self._named: dict[str, Sequence[str]] = {}
        self._kinds = {
            kind.name.removeprefix("mjOBJ_").lower(): kind
            for kind in self._mujoco.mjtObj.__members__.values()
        }
        self.reset()

    def run_step(self, action: Any, timestep_ns: int) -> None:
        """Set the actuators' controls and take as many steps of the model's as fit into the time step."""
        steps = timestep_ns / 1e9 / self._model.opt.timestep
        count = round(steps)
        if count < 1 or abs(steps - count) > TOLERANCE:
            raise Invalid(
                f"The engine's time step of {timestep_ns / 1e9:g} s is no multiple of the model's, "
                f"{self._model.opt.timestep:g} s; change EngineTimestep or the model's <option timestep>."
            )
        control = np.asarray(action, dtype=np.float64)
        if control.shape != self._data.ctrl.shape:
            raise Invalid(
                f"The action has the shape {control.shape}, but the model has {self._model.nu} actuators: "
                f"{self.get_model_properties('actuator')}."
            )
        self._data.ctrl[:] = control
        for _ in range(count):
            self._mujoco.mj_step(self._model, self._data)

    def reset(self) -> None:
        """Return to the model's start, with positions computed."""
        self._mujoco.mj_resetData(self._model, self._data)
        self._mujoco.mj_forward(self._model, self._data)

    def shutdown(self) -> None:
        """Do nothing: it holds nothing but memory."""

    def get_model_properties(self, kind: str) -> list[str]:
        """Return the names of all things of a kind: ``"site"``, ``"body"``, ``"joint"``, ``"sensor"``, …"""
        return list(self._names(kind))

    def get_model_property(self, name: str, attribute: str) -> Any:
        """Return a value of mjData for one thing.

        Parameters
        ----------
        name
            Of the thing.
        attribute
            Its kind, an underscore and the field, as in ``"site_xpos"``, ``"joint_qvel"``,
            ``"body_xquat"``, ``"sensor_data"``.

        Returns
        -------
        ndarray or float
            A number for a joint of one degree of freedom, else a copy of the array.
        """
        kind, _, field = attribute.partition("_")
        names = self.get_model_properties(kind)
        if name not in names:
            raise Invalid(f"The model has no {kind} {name!r}; it has {names}.{suggest(name, names)}")
        try:
            value = getattr(getattr(self._data, kind)(name), field)
        except AttributeError as error:
            raise Invalid(f"MuJoCo knows no {attribute!r} of {with_article(kind)}.") from error
        array = np.array(value)
        return float(array[0]) if kind == "joint" and array.size == 1 else array

    def get_model_all_properties(self, kind: str) -> Any:
        """Return a copy of an array of fixed size of mjData, such as ``"site_xpos"`` or ``"qpos"``."""
        if kind not in self._fixed:
            raise Invalid(f"{kind!r} is no array of mjData of a fixed size.{suggest(kind, self._fixed)}")
        return getattr(self._data, kind).copy()

    def get_sim_time(self) -> float:
        """Return mjData's time, in seconds."""
        return float(self._data.time)

    def scene(self) -> State:
        """Return the integration state, of which `MujocoPictures` computes all positions."""
        return {"integration": self._integration()}

    def snapshot(self, graph: ObjectGraph) -> State:
        """Return the integration state, the arrays, the scalars and the warnings."""
        arrays: dict[str, State] = {name: getattr(self._data, name).copy() for name in self._fixed}
        scalars: dict[str, State] = {name: getattr(self._data, name) for name in self._scalars}
        warnings: dict[str, State] = {name: getattr(self._data.warning, name).copy() for name in _WARNINGS}
        state: dict[str, State] = {
            "integration": self._integration(),
            "arrays": arrays,
            "scalars": scalars,
            "warnings": warnings,
        }
        return state

    def restore(self, state: Any) -> None:
        """Restore a state."""
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        # Earlier versions saved addresses, and neither scalars nor warnings.
        arrays = {name: array for name, array in state["arrays"].items() if array.dtype != _ADDRESS}
        shapes = {name: getattr(self._data, name).shape for name in self._fixed}
        if (
            state["integration"].shape != (self._mujoco.mj_stateSize(self._model, kind),)
            or {name: array.shape for name, array in arrays.items()} != shapes
            or not {*self._scalars}.issuperset(state.get("scalars", ()))
        ):
            raise InvalidState(
                "The state doesn't fit the model: it was saved with another one, or another MuJoCo."
            )
        self._mujoco.mj_resetData(self._model, self._data)
        self._mujoco.mj_setState(self._model, self._data, state["integration"], kind)
        for name, array in arrays.items():
            getattr(self._data, name)[:] = array
        for name, value in state.get("scalars", {}).items():
            setattr(self._data, name, value)
        for name, array in state.get("warnings", {}).items():
            getattr(self._data.warning, name)[:] = array

    def _integration(self) -> Any:
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        integration = np.empty(self._mujoco.mj_stateSize(self._model, kind))
        self._mujoco.mj_getState(self._model, self._data, integration, kind)
        return integration

    def _names(self, kind: str) -> Sequence[str]:
        """Return the names of all things of a kind that have one; a model keeps them."""
        if kind in self._named:
            return self._named[kind]
        if kind not in self._kinds or not hasattr(self._model, self._count(kind)):
            known = [known for known in self._kinds if hasattr(self._model, self._count(known))]
            raise Invalid(f"A model of MuJoCo's has no {kind!r}; it has {known}.{suggest(kind, known)}")
        count = getattr(self._model, self._count(kind))
        names = (self._mujoco.mj_id2name(self._model, self._kinds[kind], i) for i in range(count))
        return self._named.setdefault(kind, [name for name in names if name])

    @staticmethod
    def _count(kind: str) -> str:
        """Return the name of mjModel's field for the number of things of a kind."""
        return {"joint": "njnt", "camera": "ncam", "actuator": "nu", "equality": "neq"}.get(kind, f"n{kind}")

    def _fixed_arrays(self) -> tuple[str, ...]:
        """Return the names of mjData's own arrays, without those in its arena, which each step makes anew."""
        scratch = self._mujoco.MjData(self._model)
        fixed = []
        for name, array in _attributes(scratch, np.ndarray).items():
            if array.size and array.dtype != _ADDRESS:
                before = array.copy()
                array[:] = ~before if before.dtype == bool else before + 1
                if getattr(scratch, name).tobytes() != before.tobytes():
                    fixed.append(name)
                    getattr(scratch, name)[:] = before
        return tuple(fixed)

    def _own_scalars(self) -> tuple[str, ...]:
        """Return the names of mjData's scalars, without the lengths of arrays in the arena."""
        scratch = self._mujoco.MjData(self._model)
        passing = [name for name in _attributes(scratch, Sized) if name not in self._fixed]
        lengths = [len(getattr(scratch, name)) for name in passing]
        own = []
        for name, value in _attributes(scratch, bool | int | float).items():
            if name not in _MEMORY:
                if type(value) is int:
                    setattr(scratch, name, value + 1)
                if [len(getattr(scratch, name)) for name in passing] == lengths:
                    own.append(name)
                setattr(scratch, name, value)
        return tuple(own)


def _attributes(data: Any, kind: Any) -> dict[str, Any]:
    found = {name: getattr(data, name) for name in dir(data) if not name.startswith("_")}
    return {name: value for name, value in found.items() if isinstance(value, kind)}
