"""Scenes of experiments for tests: an environment whose pictures tell its state, and pictures as pixels."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.support.services import missing

from perdure.drivers.experiments.scene_renderers import off_screen

GREY = """
import gymnasium
import numpy as np


class Grey(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(2)
        self.observation_space = gymnasium.spaces.Box(0.0, 1e9, (1,), np.float32)
        self.count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.full(1, self.count, np.float32), 0.0, False, False, {}

    def render(self):
        return np.full((40, 60, 3), self.count % 256, np.uint8)


gymnasium.register("Grey-v0", Grey)
"""
"""An environment of a module of the folder, which draws as grey as it has taken steps."""

PLANT = """
from nrp_core.engines.py_sim import PySimEngineScript


class Script(PySimEngineScript):
    def initialize(self):
        self._registerDataPack("seen")

    def runLoop(self, timestep_ns):
        self.sim_manager.run_step(0, timestep_ns)
        self._setDataPack("seen", {"value": self.sim_manager.get_model_property("observation", "Property")})
"""


def grey_experiment(
    script: str, environment: str = GREY, every: float = 0.1, **keys: Any
) -> Mapping[str, bytes]:
    """Return the files of an experiment with one such environment, with steps of 0.01 s."""
    engine = {
        "EngineName": "box",
        "EngineType": "py_sim",
        "Simulator": "OpenAI",
        "WorldFileName": "grey:Grey-v0",
        "PythonFileName": "plant.py",
        "EngineTimestep": 0.01,
        **keys,
    }
    config = {"EngineConfigs": [engine], "Savepoint": {"every": every, "keep": 1000}}
    return {
        "simulation_config.json": json.dumps(config).encode(),
        "main_script.py": script.encode(),
        "plant.py": PLANT.encode(),
        "grey.py": environment.encode(),
    }


def pixels_of(png: bytes) -> Any:
    """Return the pixels of a PNG file that has no filters, with every checksum checked."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


@pytest.fixture
def off_screen_library() -> None:
    """Skip a test that draws scenes of MuJoCo if this host has no library for it; in CI, fail it."""
    if off_screen() is None:
        missing("OpenGL without a screen", "libegl1 libgl1-mesa-dri")
