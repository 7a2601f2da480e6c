"""The settings of a command: its options, which take precedence over the environment."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.errors import Invalid
from perdure.stores.location import store_url

if TYPE_CHECKING:
    from perdure.settings import Settings

__all__ = ["OtherNumerics", "read_settings"]

OtherNumerics = Annotated[
    bool,
    typer.Option(
        "--other-numerics",
        help="Go on with runs that a host with another numeric fingerprint has computed, though the last "
        "digits of their numbers will be others; the runs say so.",
    ),
]


def read_settings(**options: Any) -> "Settings":
    """Return the settings of the environment, overridden by the given options.

    The store is always a URL, even if it was named by a path.
    """
    from pydantic import ValidationError

    from perdure.settings import Settings
    from perdure.validation import find_problems, in_words

    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = find_problems(error.errors(include_url=False), Settings.model_json_schema())[0]
        name = "PERDURE_" + "_".join(map(str, first.place)).upper()
        raise Invalid(f"{in_words(name, first)}.") from error
    return settings.model_copy(update={"store": store_url(settings.store)})
