"""Execution: runs whose work is placed in guarded child processes, and what keeps it there."""
