"""The environment: takes an action, and tells what is observed."""

from nrp_core.engines.py_sim import PySimEngineScript


class Script(PySimEngineScript):
    def initialize(self):
        self.episodes = 0
        self._registerDataPack("action")
        self._registerDataPack("observation")
        self.observe()

    def runLoop(self, timestep_ns):
        told = self._getDataPack("action")
        if self.sim_manager.run_step(told["value"] if told else 0, timestep_ns):
            self.episodes += 1
            self.sim_manager.reset()
        self.observe()

    def observe(self):
        values = self.sim_manager.get_model_property("observation", "Property")
        self._setDataPack("observation", {"values": values, "episodes": self.episodes})

    def shutdown(self):
        self.sim_manager.shutdown()
