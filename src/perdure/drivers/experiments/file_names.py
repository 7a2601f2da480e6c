"""The default names of the two main files of an experiment."""

from typing import Final

__all__ = ["CONFIGURATION", "SCRIPT"]

CONFIGURATION: Final = "simulation_config.json"
SCRIPT: Final = "main_script.py"
