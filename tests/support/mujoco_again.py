"""Drives MuJoCo models; as a program it goes on in a process of its own with the states of a folder."""

import hashlib
import sys
from pathlib import Path
from typing import Any

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.engines.python_script.simulators import Simulator, make_simulator
from perdure.state.codec import decode, encode

__all__ = ["driven", "made"]

TIMESTEP_NS = 10_000_000


def made(folder: Path, model: str) -> Simulator:
    world = folder / "world.xml"
    world.write_text(model)
    return make_simulator("Mujoco", world.name, folder, 0)


def driven(simulator: Any, first: int, last: int) -> list[str]:
    """Take steps, controlled by where the tip was seen in the step before; return a digest of each state."""
    digests = []
    for step in range(first, last):
        tip = simulator.get_model_property("tip", "site_xpos")
        push = 3.0 * (step % 7 == 0) - tip[0]
        simulator.run_step([push] * len(simulator.get_model_all_properties("ctrl")), TIMESTEP_NS)
        digests.append(hashlib.sha256(encode(simulator.snapshot(ObjectGraph()))).hexdigest())
    return digests


def main(folder: Path, first: int, last: int) -> None:
    for model in sorted(folder.glob("*.xml")):
        simulator: Any = make_simulator("Mujoco", model.name, folder, 0)
        print(model.stem, flush=True)
        simulator.restore(decode(model.with_suffix(".state").read_bytes()))
        print(driven(simulator, first, last)[-1], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
