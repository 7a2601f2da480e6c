"""Stores: where runs, their step logs and their savepoints are kept."""
