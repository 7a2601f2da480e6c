"""The documentation of the dialect lists the routes and arguments that there are."""

import inspect
import re
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

from perdure.dialects.bptk import expiry, instance_sessions
from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "bptk.md").read_text(encoding="utf-8")


def test_every_route_is_documented_with_its_methods() -> None:
    table = PAGE.partition("## Routes")[2].partition("Each takes a slash")[0]
    documented = set(re.findall(r"`(GET|POST|PUT) (/[\w/-]+)`", table))
    served = {(method, f"/{name}") for name, methods in FIXED.items() for method in methods}
    served |= {(method, f"/ID/{name}") for name, methods in OF_INSTANCE.items() for method in methods}
    assert documented == served


def handlers_with(call: str) -> set[str]:
    """Return the routes whose handlers make a call."""
    served = {**FIXED, **OF_INSTANCE}
    return {
        name for name, methods in served.items() for one in methods.values() if call in inspect.getsource(one)
    }


def test_the_routes_that_take_a_key_or_an_expected_step_are_documented() -> None:
    for title, verb, call in (
        ("Exactly once", "take an", "_key("),
        ("Expected step", "take the", "expected_step("),
    ):
        sentence = PAGE.partition(f"**{title}.**")[2].partition(verb)[0]
        assert set(re.findall(r"[a-z]+-[a-z]+", sentence)) == handlers_with(call)


def test_how_often_an_adapter_is_asked_for_its_list_is_documented() -> None:
    assert expiry.LIST_SECONDS == 300.0
    assert expiry.LOOK_SHARE == 100.0
    for page in (PAGE, (ROOT / "docs" / "external-state.md").read_text(encoding="utf-8")):
        assert "five minutes" in page


def test_how_many_whole_runs_are_computed_at_once_is_documented() -> None:
    assert instance_sessions.BULK_AT_ONCE == 2
    assert "two such" in PAGE
    assert "Two of them" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_the_plot_in_the_page_is_drawn() -> None:
    matplotlib.use("Agg")
    code = PAGE.partition("## Plots")[2].partition("```python\n")[2].partition("```")[0]
    exec(code, {})
    axes = plt.gca()
    legend = axes.get_legend()
    assert legend is not None
    assert axes.get_title() == "Growth"
    assert [text.get_text() for text in legend.get_texts()] == ["10 %", "20 %"]
    plt.close("all")


def test_the_servers_arguments_are_those_documented() -> None:
    from perdure.bptk import BptkServer

    arguments = re.findall(r"`BptkServer\((import_name.*?)\)`", PAGE, re.DOTALL)
    assert [" ".join(found.split()) for found in arguments] == [
        ", ".join(
            name if parameter.default is parameter.empty else f"{name}={parameter.default}"
            for name, parameter in inspect.signature(BptkServer).parameters.items()
        )
    ]
