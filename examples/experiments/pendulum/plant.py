"""The pendulum: applies the torque it is told, and tells where its tip was seen."""

from nrp_core.engines.py_sim import PySimEngineScript


class Script(PySimEngineScript):
    def initialize(self):
        self._registerDataPack("torque")
        self._registerDataPack("pole")
        self.observe()

    def runLoop(self, timestep_ns):
        told = self._getDataPack("torque")
        self.observe()
        self.sim_manager.run_step([told["value"] if told else 0.0], timestep_ns)

    def observe(self):
        tip = self.sim_manager.get_model_property("tip", "site_xpos")
        angle = self.sim_manager.get_model_property("hinge", "joint_qpos")
        speed = self.sim_manager.get_model_property("hinge", "joint_qvel")
        self._setDataPack("pole", {"tip": tip.tolist(), "angle": angle, "speed": speed})

    def shutdown(self):
        self.sim_manager.shutdown()
