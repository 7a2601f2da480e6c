"""The display of a running experiment: its output lines, and a bar of simulation time on a terminal."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from perdure.cli.output import say
from perdure.terminal import printable

__all__ = ["ExperimentProgress"]


class ExperimentProgress:
    """Shows an experiment: output lines on standard output, everything else on standard error.

    A context manager.

    Parameters
    ----------
    watch
        Whether progress is printed line by line without a terminal.
    """

    def __init__(self, watch: bool) -> None:
        self._terminal = sys.stderr.isatty()
        self._watch = watch and not self._terminal
        self._shown = ""
        self._parts: Mapping[str, Any] = {}
        columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns,
            console=Console(stderr=True),
            transient=True,
            disable=not self._terminal,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "ExperimentProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """Show an output line of the experiment."""
        print(printable(text.expandtabs()), flush=True)  # rich keeps it above the bar

    def say(self, text: str) -> None:
        """Show a message about the run."""
        if self._terminal:
            self._bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            say(text, err=True)

    def show(self, progress: Mapping[str, Any] | None) -> None:
        """Show the progress."""
        if progress is None:
            return
        self._show_parts(progress.get("parts", {}))  # earlier versions didn't report them
        reached, left = progress["simulation_time"], progress["time_left"]
        whole = None if left is None else reached + left
        of = "" if whole is None else f" of {whole:g} s"
        replaying = ", replaying" if progress["replaying"] else ""
        shown = f"{reached:.2f} s{of} simulated, {progress['real_time']:.1f} s in steps{replaying}"
        self._bar.update(self._task, completed=reached, total=whole, description=shown)
        if self._watch and shown != self._shown:
            self.say(shown)
        self._shown = shown

    def _show_parts(self, parts: Mapping[str, Any]) -> None:
        """Say how each engine, and the functions, will resume, when that is known or changes."""
        changed = {part: how for part, how in parts.items() if self._parts.get(part) != how}
        saved = [part for part, how in changed.items() if how["kept"] == "saved"]
        if saved:
            self.say(f"Saved in savepoints: {', '.join(saved)}.")
        for part, how in changed.items():
            if how["kept"] != "saved":
                self.say(f"Replayed from its inputs: {part}. {how['reason']}")
        self._parts = parts
