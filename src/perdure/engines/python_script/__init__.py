"""Python scripts as engines: nrp-core's `python_json` and `py_sim` scripts, stopped and resumed exactly."""

from perdure.engines.python_script.engine import PySimEngine, PythonJsonEngine

__all__ = ["PySimEngine", "PythonJsonEngine"]
