"""Errors of a service that can't answer now, but may later; HTTP answers 503."""

from perdure.errors.base import PerdureError


class Unavailable(PerdureError):
    """The service can't answer now."""


class StoreUnavailable(Unavailable):
    """The store can't be written: {reason}. Nothing is accepted until it works again."""


class StoreLocked(Unavailable):
    """The store {path} is in use by {holder}. Stop that process first, or give this one another --store. For
    several processes, PERDURE_STORE names a store that they can share, such as postgresql://…."""


class AddressUnavailable(Unavailable):
    """{address} can't be listened on: {reason}. Stop what uses it, or choose another one (--port)."""


class IsolationUnavailable(Unavailable):
    """Owners' code can't run under user ids of PERDURE_RUN_AS: {reason}."""


class EngineCrashed(Unavailable):
    """The process of the engine {engine!r} ended before its answer: {reason}. The run can be resumed from its
    last savepoint; look into its log for the cause."""


class ExternalStateUnavailable(Unavailable):
    """The adapter of the external state failed: {reason}. What was acknowledged is safe; ask what step the
    session is at, then decide."""


class ExternalStateChanged(ExternalStateUnavailable):
    """Another server has changed the instance {instance!r} in the adapter's storage. Repeat the request."""


class ExternalStateLocked(Unavailable):
    """The external state {path} is in use by {holder}. Stop that server first, give this one another folder,
    or start both with externalize_state_completely."""


class ArtifactsUnavailable(Unavailable):
    """The storage of experiments and results can't be used: {reason}. Nothing half-made is seen; repeat the
    request when it works again."""


class ResultsPending(Unavailable):
    """What the run {run!r} wrote isn't stored yet, only {stored} of {total} bytes; ask again in {retry_after}
    seconds."""


class NotComputable(Unavailable):
    """The run {run!r} waits, since this server can't compute it. {missing}"""


class SystemFailing(Unavailable):
    """The server's machine can't do that now: {reason}. Its operator has to make room or repair it; then the
    request may be sent again, with the same key."""


class UploadFailed(Unavailable):
    """What the run {run!r} wrote could not be stored: {reason}. It is kept in {folder}, and is stored when
    the server starts again."""


class ServerClosing(Unavailable):
    """The server is closing. The steps taken so far are durable; repeat the request with its key."""


class Fenced(Unavailable):
    """The run {run!r} was changed or taken over by somebody else: the guard {fence} is stale."""
