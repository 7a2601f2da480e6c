"""Python scripts as engines: nrp-core's `python_json` and `py_sim` scripts, stopped and resumed exactly."""

from perdure.engines.python_script.engine import PySimEngine, PythonJsonEngine
from perdure.engines.python_script.script import EngineScript, PySimEngineScript

__all__ = ["EngineScript", "PySimEngine", "PySimEngineScript", "PythonJsonEngine"]
