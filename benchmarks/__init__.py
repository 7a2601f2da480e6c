"""Benchmarks: what Perdure costs, each figure beside its budget; run with ``python -m benchmarks``.

Ratios are made of figures measured in the same run. Nothing here asserts on time: the tests don't run it.
"""
