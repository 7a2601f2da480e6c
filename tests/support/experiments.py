"""Folders with scripts, for tests of engines and experiments."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from perdure.drivers.experiments.configuration import read
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.engines.kinds import engine_kinds

PENDULUM = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <body name="pole">
      <joint name="hinge" type="hinge" axis="0 1 0" damping="0.01"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0 0 -0.5"/>
      <site name="tip" pos="0 0 -0.5"/>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge"/></actuator>
</mujoco>
"""

HEAD = "from nrp_core.engines.python_json import EngineScript\n"


def write(folder: Path, **files: str) -> Path:
    """Write files; a double underscore in a keyword is the dot before its ending."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(dedent(text))
    return folder


def script_config(folder: Path, **settings: Any) -> dict[str, Any]:
    """Return an engine's config for `script.py` of a folder."""
    return {
        "folder": str(folder),
        "script": "script.py",
        "name": "a",
        "timestep": 0.01,
        "seed": 3,
        **settings,
    }


def started(
    folder: Path, config: dict[str, Any], seed: int = 1, entities: Mapping[str, Any] | None = None
) -> CoSimulation:
    """Return an initialised co-simulation of a configuration's data, at the entities if there are some."""
    made = CoSimulation(read(config, engine_kinds(), folder=folder), folder, seed)
    made.initialize(entities)
    if entities is not None:
        made.restore(entities)
    return made


def script_engine(name: str, timestep: float = 0.01, **keys: Any) -> dict[str, Any]:
    """Return the configuration of a `python_json` engine whose file has its name."""
    return {
        "EngineName": name,
        "EngineType": "python_json",
        "PythonFileName": f"{name}.py",
        "EngineTimestep": timestep,
        **keys,
    }


def replayed(cosimulation: CoSimulation) -> dict[str, str]:
    """Return what the last snapshot could not take, and why."""
    return {id: reason for id, reason in cosimulation.kept.items() if reason is not None}
