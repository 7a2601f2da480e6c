"""Objects: the state of a graph of Python's objects as plain data, recorded and rebuilt.

Models of agents and of Mesa keep their state in objects. `recording` takes such a graph apart, `rebuilding`
makes it again; what both refer to, because it is there without them, is the engine's (`base`).
"""
