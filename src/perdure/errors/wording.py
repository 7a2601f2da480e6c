"""The words of messages: names that are alike, articles, and texts that can always be written."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 200  # characters of a name that a similar one is looked for


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like another, if one is like it.

    >>> nearest("custmers", ["customers", "revenue"])
    'customers'
    """
    if len(name) > LONGEST_NAME:
        return None
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of the known names, or an empty string.

    >>> suggest("custmers", ["customers", "revenue"])
    " Did you mean 'customers'?"
    """
    return did_you_mean(nearest(name, known))


def did_you_mean(name: str | None) -> str:
    return "" if name is None else f" Did you mean {name!r}?"


def with_article(noun: str) -> str:
    """Return a noun with the indefinite article.

    >>> with_article("experiment"), with_article("task")
    ('an experiment', 'a task')
    """
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def message_of(error: BaseException) -> str:
    """Return what an error says, whatever it is and whether or not it can say it."""
    try:
        return writable(str(error))
    except BaseException as failed:
        return f"its message can't be shown, since its __str__ raised {type(failed).__name__}"


def writable(text: str) -> str:
    """Return a text that can be written in UTF-8; lone surrogates are escaped."""
    return text.encode(errors="backslashreplace").decode()
