"""YAML of plain data, as people write it: mappings and sequences in lines, quoted text where it is needed."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["yaml"]

# Text that YAML reads as itself; what might be a number, a boolean or null is quoted.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z/][A-Za-z0-9_./-]*", re.IGNORECASE)


def yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as a document.

    >>> print(yaml({"ports": ["5000:5000"], "build": {"context": "."}, "restart": "always"}), end="")
    ports:
      - "5000:5000"
    build:
      context: "."
    restart: always
    """
    return "".join(f"{line}\n" for line in _block(value))


def _block(value: Any) -> Iterator[str]:
    """Yield the lines of a mapping or sequence that isn't empty."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{_scalar(key)}:", item)
    else:
        for item in value:
            if _is_nested(item):
                first, *rest = _block(item)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
            else:
                yield f"- {_inline(item)}"


def _entry(key: str, item: Any) -> Iterator[str]:
    if isinstance(item, str) and item.endswith("\n"):
        yield f"{key} |"
        yield from (f"  {line}".rstrip() for line in item.splitlines())
    elif _is_nested(item):
        yield key
        yield from (f"  {line}" for line in _block(item))
    else:
        yield f"{key} {_inline(item)}"


def _is_nested(item: Any) -> bool:
    return isinstance(item, Mapping | Sequence) and not isinstance(item, str) and bool(item)


def _inline(item: Any) -> str:
    if isinstance(item, Mapping):
        return "{}"
    if isinstance(item, Sequence) and not isinstance(item, str):
        return "[]"
    return _scalar(item)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
