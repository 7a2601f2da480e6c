"""The one error of benchmarks."""

__all__ = ["BenchmarkFailed"]


class BenchmarkFailed(Exception):
    """What was to be measured didn't work."""
