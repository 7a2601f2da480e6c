"""Smooths the positions that it is told."""

from nrp_core.engines.python_json import EngineScript


class Script(EngineScript):
    def initialize(self):
        self.belief = 0.0
        self._registerDataPack("position")
        self._registerDataPack("belief")
        self._setDataPack("belief", {"x": self.belief})

    def runLoop(self, timestep_ns):
        self.belief += 0.2 * (self._getDataPack("position")["x"] - self.belief)
        self._setDataPack("belief", {"x": self.belief})

    def shutdown(self):
        pass
