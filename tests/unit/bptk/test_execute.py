"""A JSON model becomes the model that it describes, or is refused; nothing of it is ever run as code."""

from typing import Any

import pytest

from perdure.dialects.bptk.execute import execute
from perdure.dialects.bptk.mistakes import BptkError
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.sources.json_model import _OF_MODEL, _PLAIN, MAX_DEPTH, MAX_NODES
from perdure.errors import LimitExceeded, PerdureError
from perdure.settings import Settings

Node = dict[str, Any]


def lit(value: Any) -> Node:
    return {"type": "literal", "value": value}


def ref(name: Any) -> Node:
    return {"type": "ref", "name": name}


def call(function: Any, *arguments: Node) -> Node:
    return {"type": "call", "function": function, "args": list(arguments)}


def binary(op: Any, left: Node, right: Node) -> Node:
    return {"type": "binary_op", "op": op, "left": left, "right": right}


def document(equation: Any, **entities: Any) -> dict[str, Any]:
    """Return a model with a converter x of an equation, a stock that counts from 1, and points."""
    return {
        "name": "small",
        "specs": {"starttime": 0.0, "stoptime": 3.0, "dt": 1.0},
        "entities": {
            "stocks": [{"name": "count", "initial_value": lit(1.0), "equation": ref("one")}],
            "constants": [{"name": "one", "equation": lit(1.0)}],
            "converters": [{"name": "x", "equation": equation}],
            **entities,
        },
        "graphical_functions": {"curve": {"points": [[0, 0], [4, 8]]}},
    }


def values(equation: Any, **scenario: Any) -> list[float]:
    """Return what a converter of an equation comes to at the times 0 to 3."""
    body = {"model": document(equation), "equations": ["x"], "scenarios": {"only": scenario}}
    return list(execute(body, Settings())["only"]["x"].values())


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        (binary("add", ref("count"), lit(1)), [2, 3, 4, 5]),
        (binary("-", ref("count"), lit(1)), [0, 1, 2, 3]),
        (binary("mul", ref("count"), lit(2)), [2, 4, 6, 8]),
        (binary("div", ref("count"), lit(2)), [0.5, 1, 1.5, 2]),
        (binary("mod", ref("count"), lit(2)), [1, 0, 1, 0]),
        (binary("pow", ref("count"), lit(2)), [1, 4, 9, 16]),
        (binary("gt", ref("count"), lit(2)), [0, 0, 1, 1]),
        (binary("<=", ref("count"), lit(2)), [1, 1, 0, 0]),
        (binary("eq", ref("count"), lit(2)), [0, 1, 0, 0]),
        (binary("neq", ref("count"), lit(2)), [1, 0, 1, 1]),
        (
            binary("and", binary("gte", ref("count"), lit(2)), binary("lt", ref("count"), lit(4))),
            [0, 1, 1, 0],
        ),
        (binary("or", binary("==", ref("count"), lit(1)), binary("==", ref("count"), lit(4))), [1, 0, 0, 1]),
        ({"type": "unary_op", "op": "neg", "operand": ref("count")}, [-1, -2, -3, -4]),
        ({"type": "unary_op", "op": "not", "operand": binary("gt", ref("count"), lit(2))}, [1, 1, 0, 0]),
        ({"type": "if", "condition": binary("gt", ref("count"), lit(2)), "then": lit(7)}, [0, 0, 7, 7]),
        (call("lookup", ref("count"), lit("curve")), [2, 4, 6, 8]),
        (call("delay", ref("count"), lit(1.0), lit(9.0)), [9, 1, 2, 3]),
        (call("step", lit(5.0), lit(1.0)), [0, 0, 5, 5]),
        (call("pulse", lit(5.0), lit(1.0), lit(0.0)), [0, 5, 0, 0]),
        (call("time"), [0, 1, 2, 3]),
        (call("stoptime"), [3, 3, 3, 3]),
        (call("max", ref("count"), lit(2)), [2, 2, 3, 4]),
        (call("round", lit(1.26), lit(1)), [1.3, 1.3, 1.3, 1.3]),
    ],
)
def test_nodes_mean_what_they_say(equation: Node, expected: list[float]) -> None:
    assert values(equation) == expected


@pytest.mark.parametrize("name", sorted({**_PLAIN, **_OF_MODEL}))
def test_every_function_can_be_called_with_as_many_arguments_as_it_takes(name: str) -> None:
    _, least, most = {**_PLAIN, **_OF_MODEL}[name]
    for count in (least, most):
        assert len(values(call(name, *[lit(1.0)] * count))) == 4
    for count in {least - 1, most + 1} - {-1}:
        with pytest.raises(PerdureError, match="arguments"):
            values(call(name, *[lit(1.0)] * count))


def test_scenarios_set_constants_points_and_run_specs() -> None:
    assert values(binary("mul", ref("one"), lit(2)), constants={"one": 3}) == [6, 6, 6, 6]
    assert values(call("lookup", ref("count"), lit("curve")), points={"curve": [[0, 1], [1, 1]]}) == [
        1,
        1,
        1,
        1,
    ]
    assert values(call("time"), runspecs={"starttime": 1, "stoptime": 2, "dt": 0.5}) == [1, 1.5, 2]


@pytest.mark.parametrize(
    "equation",
    [
        None,
        5,
        "x",
        [],
        {},
        {"type": "x"},
        {"type": ["x"]},
        {"type": "py_callback", "name": "f", "args": []},
        {"type": "unary_op", "op": "x", "operand": lit(1)},
        lit("1"),
        lit(True),
        lit(None),
        lit(10**400),
        ref("nothing"),
        ref(5),
        ref(["count"]),
        ref("x"),
        binary("xor", lit(1), lit(1)),
        binary({}, lit(1), lit(1)),
        binary("add", lit(1), None),
        call("system", lit(1)),
        call("__import__", lit(1)),
        call([], lit(1)),
        {"type": "call", "function": "abs", "args": 5},
        call("lookup", ref("count"), lit("nothing")),
        call("lookup", ref("count"), lit([])),
        call("lookup", ref("count")),
    ],
)
def test_other_nodes_are_refused(equation: Any) -> None:
    with pytest.raises(PerdureError):
        values(equation)


@pytest.mark.parametrize(
    "model",
    [
        None,
        [],
        {},
        {"specs": {"starttime": 0, "stoptime": 1, "dt": 1}},
        {**document(lit(1)), "specs": {"starttime": 0, "stoptime": 1}},
        {**document(lit(1)), "specs": {"starttime": "0", "stoptime": 1, "dt": 1}},
        {**document(lit(1)), "graphical_functions": {"curve": {"points": [[0]]}}},
        {**document(lit(1)), "graphical_functions": [1]},
        document(lit(1), flows=5),
        document(lit(1), flows=[5]),
        document(lit(1), flows=[{"name": "x", "equation": lit(1)}]),
        document(lit(1), flows=[{"name": 5, "equation": lit(1)}]),
        document(lit(1), flows=[{"name": "@step", "equation": lit(1)}]),
        document(lit(1), flows=[{"name": "", "equation": lit(1)}]),
    ],
)
def test_other_models_are_refused(model: Any) -> None:
    with pytest.raises(PerdureError):
        execute({"model": model, "equations": ["x"]}, Settings())


@pytest.mark.parametrize(
    "scenarios", [5, {"a": 5}, {"a": {"constants": 5}}, {"a": {"points": []}, "b": {"runspecs": "x"}}]
)
def test_other_scenarios_are_refused(scenarios: Any) -> None:
    body = {"model": document(lit(1)), "equations": ["x"], "scenarios": scenarios}
    with pytest.raises(BptkError):
        execute(body, Settings())


@pytest.mark.parametrize(
    "scenario",
    [
        {"constants": {"one": "1"}},
        {"constants": {"one": None}},
        {"constants": {"nothing": 1}},
        {"constants": {"x": 1}},
        {"constants": {"count": 1}},
        {"points": {"curve": 5}},
        {"points": {"nothing": [[0, 1]]}},
        {"runspecs": {"dt": 0}},
        {"runspecs": {"dt": "x"}},
        {"runspecs": {"stoptime": -1}},
    ],
)
def test_wrong_values_are_refused(scenario: Any) -> None:
    with pytest.raises(PerdureError):
        values(binary("add", ref("one"), lit(1)), **scenario)


def test_names_are_only_names() -> None:
    name = "x'); __import__('os').abort() #\n"
    model = document(lit(1), converters=[{"name": name, "equation": binary("add", ref("count"), lit(1))}])
    assert list(execute({"model": model, "equations": [name]}, Settings())["default"][name].values()) == [
        2,
        3,
        4,
        5,
    ]


def test_size_and_depth_are_limited() -> None:
    deep = lit(1.0)
    for _ in range(MAX_DEPTH + 1):
        deep = {"type": "unary_op", "op": "neg", "operand": deep}
    with pytest.raises(PerdureError, match="deep"):
        Model.from_json(document(deep))
    assert values(deep["operand"])[0] in (1.0, -1.0)
    many = [{"name": f"y{n}", "equation": binary("add", lit(1), lit(1))} for n in range(MAX_NODES // 3)]
    with pytest.raises(PerdureError, match="nodes"):
        Model.from_json(document(lit(1), flows=many))


def test_steps_values_and_scenarios_are_limited() -> None:
    body = {"model": document(call("time")), "equations": ["x"]}
    for runspecs in ({"dt": 1e-9}, {"stoptime": 2e6}):
        with pytest.raises(PerdureError):
            execute({**body, "scenarios": {"a": {"runspecs": runspecs}}}, Settings())
    many: dict[str, Any] = {str(number): {} for number in range(1_001)}
    with pytest.raises(PerdureError, match="scenarios"):
        execute({**body, "scenarios": many}, Settings())


def test_the_work_of_all_scenarios_is_limited() -> None:
    body = {"model": document(binary("add", lit(1.0), call("time"))), "equations": ["count"]}
    model = Model.from_json(body["model"])
    nodes = sum(len(definition.code) for definition in model.program().definitions.values())
    scenarios = {"a": {}, "b": {"runspecs": {"stoptime": 1003.0}}}
    steps = 3 + 1003
    limits = Settings(max_operations_per_request=nodes * steps)
    assert execute({**body, "scenarios": scenarios}, limits).keys() == scenarios.keys()
    fewer = Settings(max_operations_per_request=nodes * steps - 1)
    with pytest.raises(LimitExceeded, match="PERDURE_MAX_OPERATIONS_PER_REQUEST") as refused:
        execute({**body, "scenarios": scenarios}, fewer)
    assert refused.value.values["value"] == nodes * steps
    assert nodes == 4  # a name in the stock's equation; a number, a name and an operation in the other's


def test_wrong_run_specs_are_called_by_the_clients_name() -> None:
    body = {"model": document(lit(1)), "equations": ["x"]}
    scenarios = {"fine": {}, "my scenario": {"runspecs": {"dt": -1}}}
    with pytest.raises(PerdureError, match="The run specs of 'my scenario' are wrong"):
        execute({**body, "scenarios": scenarios}, Settings())
