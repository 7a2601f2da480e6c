"""Experiments: scripts over co-simulated engines, paused, stopped and resumed to the bit."""
