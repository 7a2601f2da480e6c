"""Making the simulator that a configuration names."""

from pathlib import Path

from perdure.engines.python_script.simulators.base import Simulator, unknown_simulator
from perdure.engines.python_script.simulators.gymnasium import Gymnasium
from perdure.engines.python_script.simulators.mujoco import Mujoco

__all__ = ["make_simulator"]


def make_simulator(kind: str, world: str, folder: Path, seed: int) -> Simulator:
    """Make the simulator that a configuration names.

    Parameters
    ----------
    kind
        ``"Mujoco"`` or ``"OpenAI"``, nrp-core's names.
    world
        MuJoCo's model file within the folder, or the name of a gymnasium environment.
    seed
        The seed of the environment's draws.

    Raises
    ------
    MissingExtra
        If the package that it needs isn't installed.
    """
    match kind:
        case "Mujoco":
            return Mujoco(folder / world)
        case "OpenAI":
            return Gymnasium(world, seed)
    raise unknown_simulator(kind)
