"""A solution as JSON is what StableConfigs answers, and more."""

import json

import msgspec
import pytest
from tests.support.networks import bond

from perdure.solvers.binding_networks.answer import completed, in_detail, tokens_of
from perdure.solvers.binding_networks.configuration import Configuration, Polymer
from perdure.solvers.binding_networks.grammar import parse_network, parse_tokens
from perdure.solvers.binding_networks.solution import Solution, Status

NETWORK = parse_network(["a b", "a* b**:x >mon1", "a", "b#"], ["FREE mon1", "NOTFREE mon1"])
STABLE = Configuration((Polymer((0, 1), (bond(0, 0, 1, 0), bond(0, 1, 1, 1))), Polymer((2,)), Polymer((3,))))
SOLUTION = Solution(
    network=NETWORK,
    status=Status.OPTIMAL,
    configurations=(STABLE,),
    lower=3,
    upper=3,
    entropy=4,
    exhausted=True,
    total=1,
    bound_source="duality",
)


def test_the_answer_has_the_documented_fields_and_no_others() -> None:
    assert json.loads(json.dumps(completed(SOLUTION))) == {
        "status": "COMPLETE",
        "configs": [
            {
                "polymers": [[["a", "b"], ["a*", "b*:x", ">mon1"]], [["a"]], [["b"]]],
                "polymers_count": 3,
            }
        ],
        "count": 1,
        "entropy": 4,
    }


def test_the_detailed_answer_has_bounds_and_bonds() -> None:
    detailed = json.loads(json.dumps(in_detail(SOLUTION)))
    configs = detailed.pop("configs")
    assert configs[0].pop("bonds") == [[[[0, 0], [1, 0]], [[0, 1], [1, 1]]], [], []]
    assert configs == completed(SOLUTION)["configs"]
    assert detailed == {
        "status": "COMPLETE",
        "count": 1,
        "entropy": 4,
        "optimum": 3,
        "lower": 3,
        "upper": 3,
        "bound_source": "duality",
        "total": 1,
        "exhausted": True,
        "conflict": [],
    }


def test_places_of_bonds_are_counted_within_the_polymer() -> None:
    network = parse_network(["x", "a", "y", "z a*"])
    polymers = (Polymer((0,)), Polymer((2,)), Polymer((1, 3), (bond(1, 0, 3, 1),)))
    solution = msgspec.structs.replace(SOLUTION, network=network, configurations=(Configuration(polymers),))
    assert in_detail(solution)["configs"][0]["bonds"] == [[], [], [[[0, 0], [1, 1]]]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"status": Status.BOUNDED, "upper": 5},
            {"status": "TimedOut", "optimum": None, "lower": 3, "upper": 5, "count": 1},
        ),
        (
            {"status": Status.UNSATISFIABLE, "configurations": (), "conflict": (1, 0)},
            {
                "status": "COMPLETE",
                "optimum": None,
                "count": 0,
                "configs": [],
                "conflict": [["NOTFREE", "mon1"], ["FREE", "mon1"]],
            },
        ),
    ],
)
def test_what_is_not_proved_or_not_possible_is_reported(
    changes: dict[str, object], expected: dict[str, object]
) -> None:
    answer = in_detail(msgspec.structs.replace(SOLUTION, **changes))
    assert {name: answer[name] for name in expected} == expected


def test_the_echo_is_read_as_the_same_monomers() -> None:
    tokens = [tokens_of(monomer) for monomer in NETWORK.monomers]
    assert parse_tokens(tokens).monomers == NETWORK.monomers
