"""Errors of limits on how much an owner or a server has; HTTP answers 429."""

from perdure.errors.base import PerdureError


class TooMany(PerdureError):
    """There is too much of that already."""


class DocumentsExceeded(TooMany):
    """An owner may have {limit} {what}; there are {count}, and {more} more were asked for. Stop some, or
    raise {setting}."""


class EndedRunsExceeded(TooMany):
    """{owner!r} has {count} runs that have ended, and may not have more than {limit} of them; delete some
    with `perdure runs delete`, or raise PERDURE_MAX_ENDED_RUNS."""


class QuotaExceeded(TooMany):
    """{owner!r} has {quota} runs that haven't ended, and may not have more; stop or delete some, or raise
    PERDURE_MAX_RUNS."""


class ResultBytesExceeded(TooMany):
    """The results of {owner!r} of this kind have {size} bytes, the limit being {limit}; delete some with
    `perdure runs delete`, the largest being {largest}, or raise PERDURE_MAX_RESULT_BYTES."""


class TooManyScenes(TooMany):
    """{limit} scenes are being drawn, and there may not be more; close one, ask again later, or raise
    PERDURE_MAX_SCENES."""


class UserIdsExhausted(TooMany):
    """There is no user id left for {owner!r}: all {count} of PERDURE_RUN_AS have owners; name more."""
