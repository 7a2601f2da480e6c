"""Simulators of `py_sim` scripts: their port, and its implementations."""

from perdure.engines.python_script.simulators.base import SIMULATORS, Simulator, load_package
from perdure.engines.python_script.simulators.making import make_simulator

__all__ = ["SIMULATORS", "Simulator", "load_package", "make_simulator"]
