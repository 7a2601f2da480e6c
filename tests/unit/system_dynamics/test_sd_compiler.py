"""Size, depth and hostile names: what the compiler must bear."""

import sys
import time
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.engines.system_dynamics.compiling.compiler import Compiled
from perdure.errors import CircularDefinition, EvaluationFailed, ModelError


def last(model: Model, name: str, **config: Any) -> float:
    return simulate(model, {"outputs": [name], **config})[1][name][-1]


def chain(length: int) -> Model:
    model = Model(0.0, 2.0, 1.0, "chain")
    model.stock("start").equation = 1.0
    # The last first, so that definition order is no help.
    elements = [model.converter(f"link {i}") for i in reversed(range(length))][::-1]
    previous: Any = model.stock("start")
    for element in elements:
        element.equation = previous + 1.0
        previous = element
    return model


def test_a_chain_of_5000_converters_compiles_and_runs() -> None:
    model = chain(5000)
    assert last(model, "link 4999") == 5002.0
    assert last(model, "link 4999", method="rk4") == 5002.0
    assert len(model.fingerprint()) == 32


def test_a_circle_of_5000_converters_is_found() -> None:
    model = chain(5000)
    model.converter("link 0").equation = model.converter("link 4999")
    with pytest.raises(CircularDefinition) as caught:
        simulate(model, {})
    assert len(caught.value.values["names"]) == 5000


@pytest.mark.parametrize(
    "shape", ["left", "right", "balanced", "if", "and", "function", "power", "nested if"]
)
def test_expressions_of_3000_terms_compile(shape: str) -> None:
    model = Model(0.0, 1.0, 1.0)
    one = model.converter("one")
    one.equation = 1.0 + 0.0 * sd.time()
    expression: Any = one
    match shape:
        case "left":
            expression = sum([one] * 3000)
        case "right":
            for _ in range(2999):
                expression = one + expression
        case "balanced":
            terms: list[Any] = [one] * 3000
            while len(terms) > 1:
                terms = [sum(terms[i : i + 2]) for i in range(0, len(terms), 2)]
            (expression,) = terms
        case "if":
            expression = sd.If(one > 0, sum([one] * 3000), 1.0 / (one - one))
        case "nested if":
            for i in range(2999):
                expression = sd.If(one > i + 1, 1.0 / (one - one), expression + one)
        case "and":
            for _ in range(2999):
                expression = sd.And(expression, one > 0) + one
            expression = expression + 2998
        case "function":
            for _ in range(2999):
                expression = sd.max(sd.floor(expression), 0.5) + one
        case "power":
            expression = sum([one**one] * 3000)
    model.converter("y").equation = expression
    model.stock("level").equation = expression
    model.stock("other").equation = model.stock("level") * 0.0 + expression
    for method in {}, {"method": "rk4"}:  # each compiles the model once more, which takes most of the time
        values = simulate(model, {"outputs": ["y", "level", "other"], **method})[1]
        assert {name: run[-1] for name, run in values.items()} == dict.fromkeys(values, 3000.0)
        assert set(values) == {"y", "level", "other"}
    assert sys.getrecursionlimit() == 1000


def test_deep_branches_are_not_evaluated_unless_chosen() -> None:
    model = Model(0.0, 1.0, 1.0)
    zero = model.converter("zero")
    zero.equation = 0.0
    deep = sum([1.0 / zero] * 200)
    for expression, expected in (
        (sd.If(zero == 0, 7.0, deep), 7.0),
        (sd.If(zero > 0, deep, 8.0), 8.0),
        (sd.And(zero > 0, deep > 0), 0.0),
        (sd.Or(zero == 0, deep > 0), 1.0),
    ):
        model.converter("y").equation = expression
        assert last(model, "y") == expected


def test_what_is_nested_beyond_python_is_refused_clearly() -> None:
    model = Model(0.0, 1.0, 1.0)
    expression: Any = sd.time()
    for _ in range(25_000):
        expression = sd.If(sd.time() > 5, 1.0, expression + 1.0)
    model.converter("y").equation = expression
    with pytest.raises(EvaluationFailed, match=r"'y' .* its conditions are nested too deeply; put parts"):
        simulate(model, {})


def test_an_equation_that_doubles_without_end_is_refused_clearly() -> None:
    model = Model(0.0, 1.0, 1.0)
    expression: Any = sd.time()
    for _ in range(40):
        expression = expression + expression
    model.converter("y").equation = expression
    with pytest.raises(ModelError, match="more than 1,000,000 operations; put parts"):
        simulate(model, {})


HOSTILE = [
    "__import__('os').system('x')",
    "a\nraise SystemExit",
    '"""',
    "v0",
    "n",
    "t",
    "dt",
    "\\",
    "{n}",
    "ключ",
    "λ" * 300,
    " ",
]


def test_hostile_names_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr("os.system", called.append)
    model = Model(0.0, 2.0, 1.0, HOSTILE[0])
    previous: Any = 1.0
    for name in HOSTILE:
        model.converter(name).equation = previous + sd.uniform(0.0, 0.0)
        previous = model.converter(name) + 1.0
    model.points[HOSTILE[0]] = [[0.0, 0.0], [1000.0, 1000.0]]
    fn = model.function(HOSTILE[1], lambda view, t, x: x)
    model.stock(HOSTILE[0] + "!").equation = fn(sd.lookup(previous, HOSTILE[0]))
    model.converter("late").equation = sd.delay(
        model, sd.smooth(model, model.converter(HOSTILE[1]), 1.0, 0.0), 1.0
    )
    engine = SystemDynamicsEngine(model)
    engine.initialize({"outputs": list(model.elements), "stream": HOSTILE[0]})
    while not engine.finished:
        answer = engine.step({})
    assert answer[HOSTILE[-1]] == len(HOSTILE)
    assert answer[HOSTILE[0] + "!"] == 2.0 * (len(HOSTILE) + 1)
    assert called == []


def test_compiled_text_holds_no_name_of_the_model() -> None:
    model = Model(0.0, 1.0, 1.0)
    model.constant("secret constant").equation = 123456.0
    model.stock("secret stock").equation = model.constant("secret constant") * 2
    engine = SystemDynamicsEngine(model)
    engine.initialize({})
    engine.step({})
    (compiled,) = model.program().compiled.values()
    assert isinstance(compiled, Compiled)
    code = compiled.factory("step").__code__
    texts = repr(
        [code.co_consts, code.co_names, [c.co_consts for c in code.co_consts if hasattr(c, "co_consts")]]
    )
    assert "secret" not in texts
    assert "123456" not in texts
    assert compiled.factory("step").__globals__["__builtins__"] == {}


def test_many_runs_share_one_compilation() -> None:
    model = chain(300)
    simulate(model, {"outputs": ["start"]})
    program = model.program()
    (compiled,) = program.compiled.values()
    for seed in range(3):
        simulate(model, {"outputs": ["start"], "seed": seed, "stoptime": 1.0, "dt": 0.5})
    assert model.program() is program
    assert list(program.compiled.values()) == [compiled]


def test_compilations_do_not_pile_up() -> None:
    model = chain(70)
    for name in model.elements:
        simulate(model, {"outputs": [name]})
    assert len(model.program().compiled) <= 64


def test_steps_cost_the_same_however_late() -> None:
    model = chain(50)
    engine = SystemDynamicsEngine(model)
    engine.initialize({"stoptime": 4000.0, "outputs": ["link 49"]})

    def cost(steps: int) -> float:
        start = time.process_time()
        for _ in range(steps):
            engine.step({})
        return time.process_time() - start

    cost(100)
    early = min(cost(200) for _ in range(3))
    for _ in range(2500):
        engine.step({})
    assert min(cost(200) for _ in range(3)) < 5 * early
