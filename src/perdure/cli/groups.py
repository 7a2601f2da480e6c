"""The common setup of all commands and groups of commands."""

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["Group", "new_app"]


class Group(TyperGroup):
    """A group of commands. Its own ``--help`` is False by default.

    Typer imports pydantic for any other default, and uses None otherwise.
    """

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def new_app(summary: str | None = None) -> typer.Typer:
    """Return an app for one command or, with a summary, for a group of commands.

    Help and errors are plain text: the library that draws boxes around them takes longer to import than
    everything else.
    """
    return typer.Typer(
        cls=Group,
        help=summary,
        no_args_is_help=summary is not None,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
