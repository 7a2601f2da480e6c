"""Modules: elements named with a path, wired to each other, and used like any other element."""

from typing import Any

import pytest

import perdure.bptk
from perdure.bptk import Model, Module, bptk
from perdure.errors import ModelError


class Inner(Module):
    def __init__(self, model: Model, name: str, parent: Module | None = None) -> None:
        super().__init__(model, name, parent)
        self.out = self.converter("out")

    def initialize(self) -> None:
        gain = self.constant("gain")
        gain.equation = 3.0
        self.out.equation = gain * 2.0


class Outer(Module):
    def __init__(self, model: Model, name: str, parent: Module | None = None) -> None:
        super().__init__(model, name, parent)
        self.level = self.stock("level")
        self.inner = Inner(model, "inner", self)

    def initialize(self) -> None:
        self.inner.initialize()
        flow = self.flow("f")
        flow.equation = self.inner.out
        self.level.initial_value = 1.0
        self.level.equation = flow


class Link(Module):
    def __init__(self, model: Model, name: str, parent: Module | None = None) -> None:
        super().__init__(model, name, parent)
        self.inp, self.out, self.st = self.converter("in"), self.flow("out"), self.stock("st")

    def initialize(self) -> None:
        self.st.initial_value = 4.0
        self.out.equation = self.st * 0.5
        self.st.equation = self.inp - self.out


def simulated(model: Model, names: list[str]) -> dict[str, list[float]]:
    values = model.simulate(names)
    return {name: [float(x) for x in values[name]] for name in names}


def test_nested_modules_name_their_elements_by_path_in_results_and_scenarios() -> None:
    model = Model(0.0, 2.0, 1.0, "mod")
    outer = Outer(model, "outer")
    outer.initialize()
    assert sorted(model.elements) == ["outer.f", "outer.inner.gain", "outer.inner.out", "outer.level"]
    assert outer.inner.fqn("z") == "outer.inner.z"
    assert model.stock("outer.level") is outer.level
    assert outer.points is model.points
    names = ["outer.level", "outer.inner.out"]
    assert simulated(model, names) == {"outer.level": [1.0, 7.0, 13.0], "outer.inner.out": [6.0, 6.0, 6.0]}
    made = bptk()
    made.register_model(model)
    made.register_scenarios({"hi": {"constants": {"outer.inner.gain": 5.0}}}, "smMod")
    frame: Any = made.run_scenarios(scenarios=["hi"], scenario_managers=["smMod"], equations=names)
    made.destroy()
    assert list(frame.columns) == names
    assert frame.to_numpy().tolist() == [[1.0, 10.0], [11.0, 10.0], [21.0, 10.0]]


def test_modules_are_wired_by_each_others_elements() -> None:
    model = Model(0.0, 3.0, 1.0, "m")
    first, second = Link(model, "a"), Link(model, "b")
    first.initialize()
    second.initialize()
    first.inp.equation = 1.0
    second.inp.equation = first.out
    assert simulated(model, ["a.st", "b.st", "b.in"]) == {
        "a.st": [4.0, 3.0, 2.5, 2.25],
        "b.st": [4.0, 4.0, 3.5, 3.0],
        "b.in": [2.0, 1.5, 1.25, 1.125],
    }


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
