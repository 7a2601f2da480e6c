"""The documentation of the dialect lists the routes and arguments that there are."""

import re
from pathlib import Path

from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bptk.md").read_text(encoding="utf-8")


def test_every_route_is_documented_with_its_methods() -> None:
    table = PAGE.partition("## Routes")[2].partition("Each takes a slash")[0]
    documented = set(re.findall(r"`(GET|POST|PUT) (/[\w/-]+)`", table))
    served = {(method, f"/{name}") for name, methods in FIXED.items() for method in methods}
    served |= {(method, f"/ID/{name}") for name, methods in OF_INSTANCE.items() for method in methods}
    assert documented == served


def test_the_servers_arguments_are_those_documented() -> None:
    from inspect import signature

    from perdure.bptk import BptkServer

    arguments = re.findall(r"`BptkServer\((import_name.*?)\)`", PAGE, re.DOTALL)
    assert [" ".join(found.split()) for found in arguments] == [
        ", ".join(
            name if parameter.default is parameter.empty else f"{name}={parameter.default}"
            for name, parameter in signature(BptkServer).parameters.items()
        )
    ]
