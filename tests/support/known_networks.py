"""The binding networks with known answers, and dense random ones."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.network import Network

__all__ = ["dense", "known", "network_of"]

FILE = Path(__file__).parents[1] / "fixtures" / "tbn" / "instances.json"


@cache
def known() -> dict[str, dict[str, Any]]:
    """Return what is known, by the networks' names."""
    return {each["name"]: each for each in json.loads(FILE.read_text())}


def network_of(name: str) -> Network:
    """Return a network with known answers."""
    return parse_network(known()[name]["monomers"], known()[name]["constraints"])


def dense(monomers: int, seed: int) -> Network:
    """Return a random network in which many fit many others: two to four sites each, of few domains."""
    draw = random.Random(seed)
    domains = [f"d{number}" for number in range(monomers // 6)]
    return parse_network(
        " ".join(draw.choice(domains) + draw.choice(("", "*")) for _ in range(draw.randint(2, 4)))
        for _ in range(monomers)
    )
