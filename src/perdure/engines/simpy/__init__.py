"""SimPy's models as engines."""

from perdure.engines.simpy.engine import SimPyEngine

__all__ = ["SimPyEngine"]
