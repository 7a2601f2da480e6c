"""How every command and group of commands is set up."""

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["Group", "new_app"]


class Group(TyperGroup):
    """A group of commands, whose own ``--help`` is a plain False where it isn't given.

    Typer imports pydantic for any other value, and None is its default.
    """

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def new_app(summary: str | None = None) -> typer.Typer:
    """Return an app for one command or, with a summary of them, for a group of commands.

    Help and mistakes are plain text: what draws boxes around them takes longer to import than all else that
    they need.
    """
    return typer.Typer(
        cls=Group,
        help=summary,
        no_args_is_help=summary is not None,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
