"""``perdure models``: checks and converts model files, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, say, show

__all__ = ["app", "check", "convert"]

app = new_app()


@app.callback()
def models() -> None:
    """Check and convert model files."""


@app.command(epilog="Examples:  perdure models check model.stmx  ·  perdure models check model.json --json")
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The model file: .stmx, .itmx, .xmile, .mdl or .json.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a model file holds, and all in it that can't be served.

    The exit status is 0 if the model can be served, and 1 otherwise.
    """
    from perdure.engines.system_dynamics.checking import check_file

    report = check_file(file)
    if as_json:
        show(report.plain())
    else:
        say(f"{file.name}: {report.name}")
        model = report.model
        if model is not None:
            times = f"{model.starttime:g} to {model.stoptime:g} {model.time_units}".rstrip()
            every = model.timestep(model.dt)
            results = "" if every == model.dt else f", results every {every:g}"
            say(f"{times}, steps of {model.dt:g}{results}, {model.method}")
        for kind, count in report.kinds.items():
            say(f"{count} {kind if count == 1 else f'{kind}s'}")
        for line in report.missing:
            say(f"missing: {line}")
        for line in report.remarks:
            say(f"remark: {line}")
        for line in report.problems:
            say(f"can't be served: {line}")
    if report.problems:
        raise typer.Exit(1)


@app.command(
    epilog="Examples:  perdure models convert model.mdl model.xmile  ·  "
    "perdure models convert sir.py:model sir.json"
)
def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A model file, or module:name or file.py:name of a model.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The file to write: .xmile, .stmx or .json.")
    ],
) -> None:
    """Write a model as XMILE, or as the JSON model of `/execute`.

    A cell of an array becomes a variable of its own. What the target can't say is listed, and nothing is
    written.
    """
    import json

    from perdure.engines.system_dynamics import Model
    from perdure.engines.system_dynamics.json_writing import document_of
    from perdure.errors import Invalid
    from perdure.scenarios.files import load_attribute, model_of
    from perdure.scenarios.model_files import is_model_file, load_model_file

    module, _, name = source.partition(":")
    if is_model_file(source):
        model = load_model_file(Path(source), naming="file")
    else:
        found = model_of(load_attribute(module, name or "model"), source)
        if not isinstance(found, Model):
            raise Invalid(f"{source} is no model of system dynamics.")
        model = found
    match target.suffix.lower():
        case ".json":
            text = json.dumps(document_of(model), indent=1) + "\n"
        case ".xmile" | ".stmx" | ".itmx":
            text = model.to_xmile()
        case other:
            raise Invalid(f"The target ends in .xmile, .stmx or .json, not in {other!r}.")
    target.write_text(text, encoding="utf-8")
    say(f"written: {target}")
