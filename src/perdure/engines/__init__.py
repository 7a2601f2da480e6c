"""Engines: simulators that advance in steps and whose whole state is data."""
