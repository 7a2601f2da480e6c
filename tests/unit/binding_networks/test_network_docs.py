"""docs/binding-networks.md lists every error with its message and every option of the command."""

import inspect
import re

import typer
from tests.support.server import ROOT

from perdure import errors
from perdure.cli.solve import app
from perdure.solvers.binding_networks.network import Keyword

PAGE = (ROOT / "docs" / "binding-networks.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    part = re.split(r"\n#+ ", PAGE[PAGE.index(heading) + len(heading) :])[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_error_is_documented_with_its_message() -> None:
    documented = {name.strip("`"): message.strip("`") for name, message in rows("## Errors")}
    actual = {}
    for name in errors.__all__:
        kind = getattr(errors, name)
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.NetworkError)
            and kind is not errors.NetworkError
        ):
            template = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
            actual[name] = re.sub(r"\{(\w+)(?:!r)?\}", r"<\1>", template)
    assert documented == actual


def test_every_constraint_is_documented() -> None:
    assert [row[0].strip("`").split()[0] for row in rows("### Constraints")] == list(Keyword)


def test_every_option_of_the_command_is_documented() -> None:
    solve = typer.main.get_command(app)
    options = {name for each in solve.params for name in each.opts if name.startswith("-")}
    table = PAGE[PAGE.index("| option |") : PAGE.index("Two configurations are distinct")]
    documented = set(
        re.findall(r"(?<=`)--?[a-z-]+", "\n".join(row.split("|")[1] for row in table.splitlines()[2:] if row))
    )
    assert documented == options
