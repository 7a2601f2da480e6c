"""Walks at random, and is drawn to where the observer believes it to be."""

import random

from nrp_core.engines.python_json import EngineScript


class Script(EngineScript):
    def initialize(self):
        self.position = 0.0
        self._registerDataPack("belief")
        self._registerDataPack("position")
        self._setDataPack("position", {"x": self.position})

    def runLoop(self, timestep_ns):
        belief = self._getDataPack("belief")
        pull = 0.0 if belief is None else belief["x"] - self.position
        self.position += 0.1 * pull + random.gauss(0.0, 0.05)
        self._setDataPack("position", {"x": self.position})

    def shutdown(self):
        pass
