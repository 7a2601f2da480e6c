"""Run state: one consistent cut over all stateful parts of a run, on a schedule."""
