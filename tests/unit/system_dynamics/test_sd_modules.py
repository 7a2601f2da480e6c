"""Modules: elements named with a path, wired to each other, and used like any other element."""

import pytest

import perdure.bptk
from perdure.bptk import Model, Module
from perdure.errors import ModelError


def test_every_kind_of_element_is_made_once_under_its_full_name() -> None:
    model = Model(0.0, 1.0, 1.0, "m")
    part = Module(model, "part")
    for kind in ("stock", "flow", "biflow", "converter", "constant"):
        element = getattr(part, kind)(kind)
        assert (element.name, element.kind) == (f"part.{kind}", kind)
        assert getattr(part, kind)(kind) is getattr(Module(model, "part"), kind)(kind) is element


def test_a_module_without_a_name_is_refused() -> None:
    with pytest.raises(ModelError, match="non-empty"):
        Module(Model(0.0, 1.0, 1.0, "m"), "")


def test_the_class_has_bptks_name() -> None:
    assert perdure.bptk.Module is Module
