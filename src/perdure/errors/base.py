"""The base of every error: its message, its values and its code."""

import inspect
import re
from string import Formatter
from typing import Any

from perdure.errors.wording import did_you_mean, with_article


class PerdureError(Exception):
    """Something went wrong in Perdure."""

    code = "perdure_error"

    def __init__(self, message: str | None = None, /, **values: Any) -> None:
        self.values = values
        template = inspect.cleandoc(type(self).__doc__ or "") if message is None else message
        super().__init__(_filled(template, values) if message is None else message)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.values)


def _filled(template: str, values: dict[str, Any]) -> str:
    """Fill values into a template; a full stop after one that ends a sentence itself is left out.

    ``{suggestion}`` becomes a question if there is one, ``{noun:a}`` gets its article.
    """
    formatter = Formatter()
    parts = [""]
    for text, field, spec, conversion in formatter.parse(template):
        parts.append(text.removeprefix(".") if parts[-1].endswith((".", "?", "!")) else text)
        if field == "suggestion":
            parts.append(did_you_mean(values.get(field)))
        elif field is not None:
            value, _ = formatter.get_field(field, (), values)
            value = with_article(value) if spec == "a" else formatter.convert_field(value, conversion)
            parts.append(formatter.format_field(value, "" if spec == "a" else spec or ""))
    return " ".join("".join(parts).split())


def _rebuild(kind: type[PerdureError], message: str, values: dict[str, Any]) -> PerdureError:
    return kind(message, **values)
