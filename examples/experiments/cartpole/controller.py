"""Pushes the cart under the pole; two times in five it pushes at random."""

import random

from nrp_core.engines.python_json import EngineScript


class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("observation")
        self._registerDataPack("action")
        self._setDataPack("action", {"value": 0})

    def runLoop(self, timestep_ns):
        position, speed, angle, turning = self._getDataPack("observation")["values"]
        wanted = angle + 0.2 * turning + 0.02 * position + 0.05 * speed > 0
        if random.random() < 0.4:
            wanted = random.random() < 0.5
        self._setDataPack("action", {"value": int(wanted)})

    def shutdown(self):
        pass
