"""The writes of a store: what each does is defined here once, for every database."""

from perdure.stores.commands.base import (
    Answers,
    Command,
    Committed,
    Decision,
    Moment,
    Notice,
    Query,
    Retention,
    Write,
)
from perdure.stores.commands.blobs import UNNAMED_SECONDS, Blob, ForgetBlobs, SweepBlobs, UseBlobs
from perdure.stores.commands.claims import Claim, Settle
from perdure.stores.commands.counts import Recount
from perdure.stores.commands.creation import Created, CreateRun, Fork, ForkRuns
from perdure.stores.commands.documents import (
    AddDocuments,
    DeleteDocument,
    Document,
    ForgetDocument,
    OwnerLimit,
    PutDocument,
    Touch,
    Use,
)
from perdure.stores.commands.executions import (
    CutLines,
    Finish,
    Lease,
    MarkStored,
    Release,
    Renew,
    Report,
    SetDesiredState,
)
from perdure.stores.commands.found import Guard, Leased, Unleased
from perdure.stores.commands.runs import ChangeRun, DeleteRun
from perdure.stores.commands.savepoints import EncodedSavepoint, MarkSavepoint, PutSavepoint, encoded
from perdure.stores.commands.steps import Append, Appended, RepairStep

__all__ = [
    "UNNAMED_SECONDS",
    "AddDocuments",
    "Answers",
    "Append",
    "Appended",
    "Blob",
    "ChangeRun",
    "Claim",
    "Command",
    "Committed",
    "CreateRun",
    "Created",
    "CutLines",
    "Decision",
    "DeleteDocument",
    "DeleteRun",
    "Document",
    "EncodedSavepoint",
    "Finish",
    "ForgetBlobs",
    "ForgetDocument",
    "Fork",
    "ForkRuns",
    "Guard",
    "Lease",
    "Leased",
    "MarkSavepoint",
    "MarkStored",
    "Moment",
    "Notice",
    "OwnerLimit",
    "PutDocument",
    "PutSavepoint",
    "Query",
    "Recount",
    "Release",
    "Renew",
    "RepairStep",
    "Report",
    "Retention",
    "SetDesiredState",
    "Settle",
    "SweepBlobs",
    "Touch",
    "Unleased",
    "Use",
    "UseBlobs",
    "Write",
    "encoded",
]
