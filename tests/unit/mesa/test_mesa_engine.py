"""Mesa's models as engines: the law at each step, what may be set, what is answered and what is refused."""

import random
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mesa.experimental import devs

from perdure.engines.mesa import MesaEngine
from perdure.errors import Invalid, InvalidState, NotSnapshotable, ScriptFailed
from perdure.state.codec import decode, encode
from perdure.testing.engines import EngineConformance

MODELS = Path(__file__).parents[2] / "fixtures" / "agents"
EXAMPLES = "mesa.examples"


def config(model: str, folder: Path | None = MODELS, **settings: Any) -> dict[str, Any]:
    named = {} if folder is None else {"folder": str(folder)}
    return {"model": model, "timestep": 1.0, "seed": 5, **named, **settings}


@contextmanager
def begun(settings: dict[str, Any], **inputs: Any) -> Iterator[MesaEngine]:
    engine = MesaEngine()
    with closing(engine):
        engine.initialize(settings)
        engine.step(inputs)
        yield engine


def written(folder: Path, body: str, imports: str = "") -> dict[str, Any]:
    """Return the config of a model whose constructor has this body."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    text = f"import mesa\n{imports}\n\nclass Kept(mesa.Model):\n    def __init__(self, seed=None):\n"
    (folder / "kept.py").write_text(f"{text}        super().__init__(seed=seed)\n{lines}\n")
    return config("kept:Kept", folder)


@pytest.mark.parametrize(
    ("model", "arguments", "steps"),
    [
        (f"{EXAMPLES}.basic.schelling.model:Schelling", {"width": 5, "height": 5}, 5),
        (
            f"{EXAMPLES}.advanced.wolf_sheep.model:WolfSheep",
            {"width": 5, "height": 5, "initial_sheep": 12, "initial_wolves": 4},
            6,
        ),
    ],
    ids=["schelling", "wolf-sheep"],
)
def test_the_law_of_engines_holds_for_mesas_examples(
    model: str, arguments: dict[str, Any], steps: int
) -> None:
    settings = config(model, None, arguments=arguments)
    EngineConformance(MesaEngine, settings, [{}] * steps, [{"unknown": 1}]).check()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("segregation:Segregation", [{"density": 0.6}, {}, {"wanted": 0.5}, {}, {}]),
        ("pasture:Pasture", [{"wolves": 3}, {}, {"birth_rate": 0.3}, {}, {}]),
        ("attic:Attic", [{}] * 6),
    ],
    ids=["a grid of the older kind", "a predator-prey model", "something of each kind"],
)
def test_the_law_of_engines_holds_for_models_of_ones_own(model: str, inputs: list[dict[str, Any]]) -> None:
    EngineConformance(MesaEngine, config(model), inputs, [{"unknown": 1}]).check()


def test_savepoints_do_not_change_a_run() -> None:
    def answers(saved: bool) -> list[Any]:
        with begun(config("pasture:Pasture")) as engine:
            found = []
            for _ in range(12):
                if saved:
                    engine.snapshot()
                found.append(engine.step({}))
            return found

    assert answers(saved=True) == answers(saved=False)


def test_an_engine_that_was_stepped_can_be_restored_too() -> None:
    settings = config("attic:Attic")
    with begun(settings) as engine:
        engine.step({})
        state = decode(encode(engine.snapshot()))
        expected = [engine.step({}) for _ in range(3)]
    with begun(settings) as other:
        for _ in range(2):
            other.restore(state)
            assert [other.step({}) for _ in range(3)] == expected


def test_events_in_flight_are_restored_with_their_order() -> None:
    settings = config(
        f"{EXAMPLES}.advanced.wolf_sheep.model:WolfSheep",
        None,
        arguments={"width": 4, "height": 4, "initial_sheep": 3, "initial_wolves": 1},
    )
    with begun(settings) as engine:
        state = decode(encode(engine.snapshot()))
        grown = [engine.step({})["Grass"] for _ in range(30)]
    with closing(MesaEngine()) as again:
        again.initialize(settings)
        again.restore(state)
        assert [again.step({})["Grass"] for _ in range(30)] == grown
    assert len(set(grown)) > 3


def test_inputs_are_arguments_at_first_and_attributes_later() -> None:
    with begun(config("segregation:Segregation", arguments={"size": 5}), density=1.0) as engine:
        assert engine.step({"wanted": 0.0})["moves"] == 0
        assert engine.step({})["households"] == 25
        with pytest.raises(Invalid, match=r"no attribute 'want'\. Did you mean 'wanted'\?"):
            engine.validate({"want": 1.0})
        with pytest.raises(Invalid, match="no attribute '_seed'"):
            engine.validate({"_seed": 1.0})
    fresh = MesaEngine()
    with closing(fresh):
        fresh.initialize(config("segregation:Segregation"))
        with pytest.raises(Invalid, match=r"no argument 'densty' to begin with\. Did you mean 'density'\?"):
            fresh.validate({"densty": 1.0})


def test_it_answers_reporters_counts_and_the_models_own_numbers() -> None:
    with begun(config("pasture:Pasture", arguments={"sheep": 6, "wolves": 2})) as engine:
        first = engine.step({})
        assert first["agents"] == first["Sheep"] + first["Wolf"]
        assert first["born"] >= 8
        assert first["birth_rate"] == 0.1
        assert first["steps"] == 1
        assert first["running"] is True
        assert "grid" not in first


def test_before_the_first_collection_a_reporter_has_no_value() -> None:
    with closing(MesaEngine()) as engine:
        engine.initialize(config("pasture:Pasture"))
        assert engine.step({})["born"] is None


def test_the_seed_is_the_runs_unless_the_arguments_have_one() -> None:
    def answer(**settings: Any) -> Any:
        with begun(config("pasture:Pasture", **settings)) as engine:
            return engine.step({})["grass"]

    assert answer() == answer() != answer(seed=6)
    assert answer(arguments={"seed": 9}) == answer(arguments={"seed": 9}, seed=6)


def test_a_model_that_has_stopped_is_finished() -> None:
    with begun(config("segregation:Segregation", arguments={"wanted": 0.0})) as engine:
        assert not engine.finished
        engine.step({})
        assert engine.finished
        state = engine.snapshot()
    with closing(MesaEngine()) as again:
        again.initialize(config("segregation:Segregation", arguments={"wanted": 0.0}))
        again.restore(state)
        assert again.finished


@pytest.mark.parametrize(
    ("body", "imports", "says"),
    [
        ("self.log = io.StringIO()", "import io", r"of model\.log can't be taken: _io\.StringIO"),
        ("self.items = (n for n in range(3))", "", r"of model\.items can't be taken: it is an iterator"),
        (
            "self.a = [{'b': iter([1])}]",
            "",
            r"of model\.a\[0\]\['b'\] can't be taken: builtins\.list_iterator",
        ),
        ("self.all = {mesa.Agent(self)}", "", r"of model\.all can't be taken: the order of a set of objects"),
        (
            "mesa.Agent(self).lock = Lock()",
            "from threading import Lock",
            r"\.lock can't be taken: _thread\.lock",
        ),
        ("self.array = memoryview(b'a')", "", r"of model\.array can't be taken: builtins\.memoryview"),
        ("kept(1)", "import functools\n@functools.lru_cache\ndef kept(n): return n", "its cache has a limit"),
    ],
)
def test_what_cannot_be_saved_is_named(tmp_path: Path, body: str, imports: str, says: str) -> None:
    with begun(written(tmp_path, body, imports)) as engine, pytest.raises(NotSnapshotable, match=says):
        engine.snapshot()


def test_a_function_made_in_a_step_is_named(tmp_path: Path) -> None:
    settings = written(tmp_path, "self.rule = None")
    with (tmp_path / "kept.py").open("a") as file:
        file.write("    def step(self):\n        self.rule = lambda: 1\n")
    with begun(settings) as engine:
        engine.snapshot()
        engine.step({})
        with pytest.raises(NotSnapshotable, match=r"of model\.rule .*<lambda> was made after the model"):
            engine.snapshot()


class Lacking:
    """A finder of modules that makes Mesa's package of simulators one that isn't there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == devs.__name__:
            raise ModuleNotFoundError(name)


@pytest.mark.parametrize("lacking", ["the module", "the class", "its counter"])
def test_versions_of_mesa_that_number_no_events_are_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: str
) -> None:
    if lacking == "the module":
        monkeypatch.delitem(sys.modules, devs.__name__)
        monkeypatch.setattr(sys, "meta_path", [Lacking(), *sys.meta_path])
    elif lacking == "the class":
        monkeypatch.delattr(devs, "SimulationEvent")
    else:
        monkeypatch.delattr(devs.SimulationEvent, "_ids")
    settings = written(tmp_path, "self.reached = 0")
    with (tmp_path / "kept.py").open("a") as file:
        file.write("    def step(self):\n        self.reached += 1\n")
    with begun(settings) as engine:
        engine.step({})
        state = engine.snapshot()
    with closing(MesaEngine()) as engine:
        engine.initialize(settings)
        engine.restore(state)
        assert engine.step({})["reached"] == 2


def test_a_state_of_other_code_is_refused(tmp_path: Path) -> None:
    settings = written(tmp_path, "self.rule = lambda: 1")
    with begun(settings) as engine:
        state = engine.snapshot()
    settings = written(tmp_path, "self.rule = None")
    with closing(MesaEngine()) as engine:
        engine.initialize(settings)
        with pytest.raises(InvalidState, match="doesn't fit the model that was built anew"):
            engine.restore(state)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "segregation"}, "not 'module:class'"),
        ({"model": "segregaton:Segregation"}, "no module 'segregaton' in the folder"),
        ({"model": "segregation:Household"}, "no class that is derived from mesa.Model"),
        (
            {"model": "segregation:Segregation", "argument": {}},
            "no setting 'argument'. Did you mean 'arguments'",
        ),
        ({"model": "segregation:Segregation", "arguments": {"sze": 1}}, "no argument 'sze'"),
        ({"model": "segregation:Segregation", "arguments": 3}, "`arguments` is 3, not a mapping"),
    ],
)
def test_a_wrong_config_is_refused(settings: dict[str, Any], says: str) -> None:
    with closing(MesaEngine()) as engine, pytest.raises(Invalid, match=says):
        engine.initialize(config(**settings))


def test_a_module_of_no_folder_is_named() -> None:
    with pytest.raises(Invalid, match="no module 'nowhere'; name the folder"):
        MesaEngine.identify({"model": "nowhere:Model"})


def test_an_error_of_the_model_has_its_line(tmp_path: Path) -> None:
    with (
        closing(MesaEngine()) as engine,
        pytest.raises(ScriptFailed, match=r"when the model was made, at kept\.py, line 7.*ZeroDivisionError"),
    ):
        engine.initialize(written(tmp_path, "1 / 0"))
        engine.step({})


def test_the_identity_covers_files_and_versions(tmp_path: Path) -> None:
    settings = written(tmp_path, "pass")
    del settings["timestep"], settings["seed"]
    first: Any = MesaEngine.identify(settings)
    assert first["package"].startswith("mesa 3.")
    (tmp_path / "kept.py").write_text("# changed")
    assert MesaEngine.identify(settings) != first


@pytest.mark.parametrize("body", ["self.own\nself.draw", "self.draw\nself.own"])
def test_methods_of_the_global_generator_draw_from_it_after_a_restore(tmp_path: Path, body: str) -> None:
    body = body.replace("self.own", "self.own = random.Random(3)").replace(
        "self.draw", "self.draw = random.expovariate"
    )
    settings = written(tmp_path, body, "import random")
    with begun(settings) as engine:
        engine._model.own.random()
        state = decode(encode(engine.snapshot()))
        expected = engine._model.own.random()
    with begun(settings) as engine:
        engine.restore(state)
        assert engine._model.draw == random.expovariate
        assert engine._model.own is not random._inst and engine._model.own.random() == expected
