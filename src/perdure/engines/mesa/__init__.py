"""Mesa's models as engines."""

from perdure.engines.mesa.engine import MesaEngine

__all__ = ["MesaEngine"]
