"""Modules import only what is below them."""

from graphlib import TopologicalSorter

import grimp


def test_no_module_is_imported_by_what_it_imports() -> None:
    """Imports within functions and for types count, and so do those of a package by its own modules."""
    graph = grimp.build_graph("perdure", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "perdure.engines.system_dynamics.model" in imports
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle
