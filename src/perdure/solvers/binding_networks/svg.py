"""Elements of SVG as text, with names escaped."""

import re
import unicodedata
from xml.sax.saxutils import escape, quoteattr

__all__ = ["element", "legible", "shortened", "text", "text_width"]

# Characters that XML 1.0 can't hold, not even escaped.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(tag: str, *content: str, **attributes: str | float) -> str:
    """Return an element; content is markup, attributes are escaped, and their ``_`` become ``-``."""
    written = "".join(
        f" {name.replace('_', '-')}={quoteattr(_value(value))}" for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(content)}</{tag}>" if content else f"<{tag}{written}/>"


def text(
    content: str,
    x: float,
    y: float,
    *,
    size: float,
    fill: str,
    anchor: str = "middle",
    weight: str = "normal",
) -> str:
    """Return a text element with markup as its content."""
    return element(
        "text", content, x=x, y=y, font_size=size, fill=fill, text_anchor=anchor, font_weight=weight
    )


def legible(words: str) -> str:
    """Return text as markup."""
    return escape(FORBIDDEN.sub("\ufffd", words))


def shortened(words: str, longest: int) -> str:
    """Return text shortened to `longest` characters; a star at its end is kept."""
    if len(words) <= longest:
        return words
    star = "*" if words.endswith("*") else ""
    return f"{words[: longest - 1 - len(star)]}…{star}"


def text_width(words: str, size: float) -> float:
    """Return the approximate width of a line of text."""
    return sum(1.0 if unicodedata.east_asian_width(each) in "WF" else 0.62 for each in words) * size


def _value(value: str | float) -> str:
    return FORBIDDEN.sub("\ufffd", value) if isinstance(value, str) else f"{value:.6g}"
