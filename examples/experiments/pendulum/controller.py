"""Pumps energy into the pendulum until it is nearly up, then holds it there."""

import math

from nrp_core.engines.python_json import EngineScript

INERTIA = 0.06
WEIGHT = 1.2


class Script(EngineScript):
    def initialize(self):
        self.swings = 0
        self.last_speed = 0.0
        self._registerDataPack("pole")
        self._registerDataPack("torque")
        self._setDataPack("torque", {"value": 0.3})

    def runLoop(self, timestep_ns):
        pole = self._getDataPack("pole")
        angle, speed = pole["angle"], pole["speed"]
        self.swings += speed * self.last_speed < 0
        self.last_speed = speed
        lean = math.remainder(angle - math.pi, 2 * math.pi)
        if abs(lean) < 0.4:
            torque = -4.0 * lean - 0.5 * speed
        else:
            missing = WEIGHT * (1.0 + math.cos(angle)) - 0.5 * INERTIA * speed * speed
            torque = math.copysign(0.3, speed * missing)
        self._setDataPack("torque", {"value": torque, "swings": self.swings})

    def shutdown(self):
        pass
