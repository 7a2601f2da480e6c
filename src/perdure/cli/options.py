"""The settings of a command: those of the environment, and its options before them."""

from typing import Any

from pydantic import ValidationError

from perdure.errors import Invalid
from perdure.settings import Settings

__all__ = ["read_settings"]


def read_settings(**options: Any) -> Settings:
    """Return the settings of the environment, with the options that were given before them."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"The setting {name} (PERDURE_{name.upper()}) is wrong: {first['msg']}.") from error
