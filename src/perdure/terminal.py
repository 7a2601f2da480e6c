"""Text in a terminal."""

import unicodedata

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return a text on one line, with everything escaped that a terminal would obey or hide.

    >>> print(printable("calm\\x1b[31m red\\u202e\\n"))
    calm\\x1b[31m red\\u202e\\n
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or unicodedata.category(each) == "Zs" else _escape(each) for each in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
