"""The pendulum: is swung to and fro as strongly as its motor's warmth allows."""

import math

from nrp_core.engines.py_sim import PySimEngineScript


class Script(PySimEngineScript):
    def initialize(self):
        self.losses = 0.0
        self._registerDataPack("limit")
        self._registerDataPack("motor")
        self._setDataPack("motor", {"angle": 0.0, "losses": self.losses})

    def runLoop(self, timestep_ns):
        limit = self._getDataPack("limit")
        strength = 0.6 if limit is None else limit["torque"]
        torque = strength * math.sin(4.0 * self._time_ns / 1e9)
        self.sim_manager.run_step([torque], timestep_ns)
        self.losses = 40.0 * torque * torque
        angle = self.sim_manager.get_model_property("hinge", "joint_qpos")
        self._setDataPack("motor", {"angle": angle, "losses": self.losses})

    def shutdown(self):
        self.sim_manager.shutdown()
