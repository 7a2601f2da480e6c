"""Solvers: computations that report progress and end in an answer."""
