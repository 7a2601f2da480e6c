"""Execution: works on runs in guarded child processes."""
