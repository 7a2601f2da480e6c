"""Drivers: who turns the crank of a run. A session's is turned by its client."""
