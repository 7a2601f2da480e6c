"""``perdure experiment run``: the command and its options; `local_experiment` does the work."""

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli import run_options
from perdure.drivers.experiments.file_names import CONFIGURATION, SCRIPT
from perdure.drivers.seeds import LARGEST_SEED

__all__ = ["EXAMPLES", "Config", "Script", "Seed", "run_experiment"]

EXAMPLES = (
    "Examples:  perdure experiment run examples/experiments/pendulum  ·  "
    "perdure experiment run pendulum --script other_script.py  ·  perdure experiment run pendulum --watch"
)

Config = Annotated[
    str, typer.Option(metavar="FILE", help="The simulation configuration, a path within the experiment.")
]
Script = Annotated[str, typer.Option(metavar="FILE", help="The main script, a path within the experiment.")]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, max=LARGEST_SEED, help="Seed of all random draws; by default random.", show_default=False
    ),
]


def run_experiment(
    folder: Annotated[Path, typer.Argument(help="The experiment's folder.", show_default=False)],
    config: Config = CONFIGURATION,
    script: Script = SCRIPT,
    seed: Seed = None,
    name: run_options.Name = None,
    tag: run_options.Tags = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print a line of progress a second without a terminal.")
    ] = False,
) -> None:
    """Run the experiment in a folder to its end; no server is needed.

    If an earlier call with the same files and options was interrupted or killed, the run resumes from its
    last savepoint. Everything is kept in the folder's .perdure. The exit status is 0 if the experiment
    completed, 1 if it failed, 130 if it was interrupted.
    """
    from perdure.cli.local_experiment import run_folder

    if status := run_folder(folder, config, script, seed, watch, name, tag or None):
        raise typer.Exit(status)
