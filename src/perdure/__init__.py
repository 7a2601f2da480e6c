"""Perdure runs simulations that outlive their server."""

__version__ = "0.1.0"
