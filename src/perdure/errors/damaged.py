"""Errors of stored data that can't be trusted; HTTP answers 500."""

from perdure.errors.base import PerdureError


class Damaged(PerdureError):
    """What was stored can't be trusted."""


class CorruptBlob(Damaged):
    """A stored blob is corrupt: {reason}."""


class AcknowledgedLost(Damaged):
    """The store {path} has lost what it acknowledged: {missing}. It was left as it is. Put its files back as
    they were, or restore a newer copy. To go on without what is missing, start it once with
    `perdure serve --accept-loss`."""


class NotAStore(Damaged):
    """{path} is no store of Perdure: {reason}. Move it away, or give another --store."""


class NewerSchema(Damaged):
    """{what} was written by a newer Perdure (schema {found}; this one knows up to {known}); use that one."""


class ReplayMismatch(Damaged):
    """Replaying step {step} of the run {run!r} gave other numbers than those acknowledged at {place}. The run
    is left as it is; serve the model and the Python it was made with."""


class CertificateFailed(Damaged):
    """A configuration that was found is not what it should be: {reason}. It is not given out; report it with
    the network."""
