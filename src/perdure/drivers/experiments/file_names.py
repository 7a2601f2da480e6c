"""What the two main files of an experiment are called, unless whoever makes a run names others."""

from typing import Final

__all__ = ["CONFIGURATION", "SCRIPT"]

CONFIGURATION: Final = "simulation_config.json"
SCRIPT: Final = "main_script.py"
