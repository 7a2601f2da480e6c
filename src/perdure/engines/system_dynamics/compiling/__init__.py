"""Compiling: from the elements of a model to Python functions over floats."""
