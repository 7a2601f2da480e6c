"""Every error that Perdure raises, in a module for each kind.

PerdureError
├── Invalid                     what the caller gave is wrong                       (HTTP 422)
│   ├── ModelError              a model's definition is wrong
│   │   ├── UnknownElement
│   │   ├── DuplicateElement
│   │   ├── MissingEquation
│   │   ├── CircularDefinition
│   │   ├── PastRead
│   │   ├── ImpureFunction      a function reads a clock, a file or the like
│   │   └── UnservableModel     a model's file holds what can't be served
│   ├── AsgiOnly                what is for Flask or WSGI was tried on a BptkServer
│   ├── InvalidRunSpecs
│   ├── InvalidOverride
│   ├── InvalidScenario
│   │   └── InvalidModelFile    a model's file is missing, or is none
│   ├── InvalidTimeout
│   ├── InvalidConfiguration
│   ├── InvalidDataPack
│   ├── ScriptFailed            a user's script or function raised
│   ├── EvaluationFailed        the model could not be evaluated at a step
│   ├── InvalidState
│   ├── UnknownEntity
│   ├── InvalidTask
│   ├── InvalidTaskInput
│   ├── NetworkError            a binding network, or a constraint on it, is wrong
│   │   ├── EmptyProblem
│   │   ├── EmptyMonomerName
│   │   ├── InvalidBindingSiteName
│   │   ├── DuplicateBindingSiteName
│   │   ├── DuplicateMonomerName
│   │   ├── InvalidCount
│   │   ├── NetworkTooLarge
│   │   ├── InvalidConstraint
│   │   ├── ConstraintArgumentCount
│   │   ├── NonexistentBindingSite
│   │   ├── NonexistentMonomer
│   │   ├── AmbiguousMonomer
│   │   ├── TogetherImpossible
│   │   ├── NotFreeImpossible
│   │   ├── PairedImpossible
│   │   ├── AnyPairedImpossible
│   │   ├── MinPolymersExceedEntropy
│   │   ├── EarlyTermination
│   │   └── NotWritable
│   ├── LimitExceeded
│   ├── InvalidName
│   ├── InvalidArchive
│   ├── TokensMissing
│   ├── UnknownStore            no installed package has stores of that scheme
│   ├── StoreUnusable           the package that has them is broken
│   ├── DialectUnusable         the package that has it is broken, or its routes are another's
│   ├── StoreNotShared
│   ├── SettingsMissing
│   ├── ArtifactsNotShared
│   └── KeyReused
├── NotFound                    nothing has that name                               (HTTP 404)
│   ├── StoreNotFound
│   ├── RunNotFound
│   ├── InstanceNotFound
│   ├── ScenarioNotFound
│   │   └── ManagerUnusable     its definition in a file is wrong
│   ├── OutputNotFound
│   ├── TaskNotFound
│   ├── StepNotFound
│   ├── SavepointNotFound
│   ├── SceneNotFound
│   ├── ExperimentNotFound
│   ├── ArtifactNotFound
│   ├── ConfigurationNotFound
│   └── NoSavepoint
├── Forbidden                   the server's operator doesn't allow it              (HTTP 403)
│   └── KindNotAllowed
├── Refused                     it can't be done in the present state               (HTTP 409)
│   ├── PositionConflict
│   ├── VersionConflict
│   ├── RunExists
│   ├── RunFinished
│   ├── BackupRefused
│   ├── WrongStore
│   ├── WrongArtifacts          they are another store's
│   ├── LeaseHeld
│   ├── NotExecuted
│   ├── WrongKind
│   ├── TaskUnfinished
│   ├── SlotsTaken
│   ├── InstanceLocked
│   ├── NoSession
│   ├── EngineFinished
│   ├── TriggerRefused
│   │   └── TriggerOverruled
│   ├── ModelChanged
│   ├── OtherNumerics
│   ├── ModelUnchanged
│   ├── HashSeedChanged
│   ├── SavepointNameTaken
│   ├── UpgradeRefused
│   ├── ExternalStateRefused
│   ├── CopyRefused
│   ├── StoreClosed
│   ├── StoreInUse
│   ├── StoreIsCopy
│   ├── ExperimentExists
│   ├── FileLost
│   ├── FileChanged             the file isn't the one the request names            (HTTP 412)
│   ├── SceneUnavailable
│   ├── MissingExtra
│   └── NotSnapshotable
├── TooMany                     there is too much of it already                     (HTTP 429)
│   ├── DocumentsExceeded
│   ├── EndedRunsExceeded
│   ├── QuotaExceeded
│   ├── ResultBytesExceeded
│   ├── TooManyScenes
│   └── UserIdsExhausted
├── Unavailable                 the service can't answer now, but may later         (HTTP 503)
│   ├── StoreUnavailable
│   ├── StoreLocked
│   ├── ServerClosing
│   ├── AddressUnavailable
│   ├── IsolationUnavailable
│   ├── EngineCrashed
│   ├── ExternalStateUnavailable
│   │   └── ExternalStateChanged
│   ├── ExternalStateLocked
│   ├── ArtifactsUnavailable
│   ├── ResultsPending
│   ├── NotComputable
│   ├── SystemFailing
│   ├── UploadFailed
│   └── Fenced
└── Damaged                     what was stored can't be trusted                    (HTTP 500)
    ├── CorruptBlob
    ├── AcknowledgedLost
    ├── NotAStore
    ├── NewerSchema
    ├── ReplayMismatch
    └── CertificateFailed

A class's docstring is its default message: the values it is raised with are filled in, and are kept in
`values`. `code` is what the HTTP API and the command line call it. `docs/errors.md` says what to do for each.
"""

from perdure.errors.base import (
    PerdureError,
)
from perdure.errors.damaged import (
    AcknowledgedLost,
    CertificateFailed,
    CorruptBlob,
    Damaged,
    NewerSchema,
    NotAStore,
    ReplayMismatch,
)
from perdure.errors.forbidden import (
    Forbidden,
    KindNotAllowed,
)
from perdure.errors.invalid import (
    ArtifactsNotShared,
    AsgiOnly,
    DialectUnusable,
    Invalid,
    InvalidArchive,
    InvalidConfiguration,
    InvalidDataPack,
    InvalidModelFile,
    InvalidName,
    InvalidScenario,
    InvalidTask,
    InvalidTaskInput,
    InvalidTimeout,
    KeyReused,
    LimitExceeded,
    ScriptFailed,
    SettingsMissing,
    StoreNotShared,
    StoreUnusable,
    TokensMissing,
    UnknownEntity,
    UnknownStore,
    check_limit,
)
from perdure.errors.invalid_models import (
    CircularDefinition,
    DuplicateElement,
    EvaluationFailed,
    ImpureFunction,
    InvalidOverride,
    InvalidRunSpecs,
    InvalidState,
    MissingEquation,
    ModelError,
    PastRead,
    UnknownElement,
    UnservableModel,
)
from perdure.errors.invalid_networks import (
    AmbiguousMonomer,
    AnyPairedImpossible,
    ConstraintArgumentCount,
    DuplicateBindingSiteName,
    DuplicateMonomerName,
    EarlyTermination,
    EmptyMonomerName,
    EmptyProblem,
    InvalidBindingSiteName,
    InvalidConstraint,
    InvalidCount,
    MinPolymersExceedEntropy,
    NetworkError,
    NetworkTooLarge,
    NonexistentBindingSite,
    NonexistentMonomer,
    NotFreeImpossible,
    NotWritable,
    PairedImpossible,
    TogetherImpossible,
)
from perdure.errors.not_found import (
    ArtifactNotFound,
    ConfigurationNotFound,
    ExperimentNotFound,
    InstanceNotFound,
    ManagerUnusable,
    NoSavepoint,
    NotFound,
    OutputNotFound,
    RunNotFound,
    SavepointNotFound,
    ScenarioNotFound,
    SceneNotFound,
    StepNotFound,
    StoreNotFound,
    TaskNotFound,
)
from perdure.errors.refused import (
    BackupRefused,
    CopyRefused,
    EngineFinished,
    ExperimentExists,
    ExternalStateRefused,
    FileChanged,
    FileLost,
    HashSeedChanged,
    InstanceLocked,
    LeaseHeld,
    MissingExtra,
    ModelChanged,
    ModelUnchanged,
    NoSession,
    NotExecuted,
    NotSnapshotable,
    OtherNumerics,
    PositionConflict,
    Refused,
    RunExists,
    RunFinished,
    SavepointNameTaken,
    SceneUnavailable,
    SlotsTaken,
    StoreClosed,
    StoreInUse,
    StoreIsCopy,
    TaskUnfinished,
    TriggerOverruled,
    TriggerRefused,
    UpgradeRefused,
    VersionConflict,
    WrongArtifacts,
    WrongKind,
    WrongStore,
)
from perdure.errors.too_many import (
    DocumentsExceeded,
    EndedRunsExceeded,
    QuotaExceeded,
    ResultBytesExceeded,
    TooMany,
    TooManyScenes,
    UserIdsExhausted,
)
from perdure.errors.unavailable import (
    AddressUnavailable,
    ArtifactsUnavailable,
    EngineCrashed,
    ExternalStateChanged,
    ExternalStateLocked,
    ExternalStateUnavailable,
    Fenced,
    IsolationUnavailable,
    NotComputable,
    ResultsPending,
    ServerClosing,
    StoreLocked,
    StoreUnavailable,
    SystemFailing,
    Unavailable,
    UploadFailed,
)
from perdure.errors.wording import (
    message_of,
    nearest,
    suggest,
    with_article,
    writable,
)

__all__ = [
    "AcknowledgedLost", "AddressUnavailable", "AmbiguousMonomer", "AnyPairedImpossible",
    "ArtifactNotFound", "ArtifactsNotShared", "ArtifactsUnavailable", "AsgiOnly", "BackupRefused",
    "CertificateFailed",
    "CircularDefinition", "ConfigurationNotFound", "ConstraintArgumentCount", "CopyRefused",
    "CorruptBlob", "Damaged", "DialectUnusable",
    "DocumentsExceeded", "DuplicateBindingSiteName", "DuplicateElement", "DuplicateMonomerName",
    "EarlyTermination", "EmptyMonomerName", "EmptyProblem", "EndedRunsExceeded", "EngineCrashed",
    "EngineFinished", "EvaluationFailed", "ExperimentExists", "ExperimentNotFound",
    "ExternalStateChanged", "ExternalStateLocked",
    "ExternalStateRefused", "ExternalStateUnavailable", "Fenced", "FileChanged", "FileLost", "Forbidden",
    "HashSeedChanged", "ImpureFunction", "InstanceLocked", "InstanceNotFound", "Invalid",
    "InvalidArchive", "InvalidBindingSiteName", "InvalidConfiguration", "InvalidConstraint",
    "InvalidCount", "InvalidDataPack", "InvalidModelFile", "InvalidName", "InvalidOverride",
    "InvalidRunSpecs",
    "InvalidScenario", "InvalidState", "InvalidTask", "InvalidTaskInput", "InvalidTimeout",
    "IsolationUnavailable", "KeyReused", "KindNotAllowed", "LeaseHeld", "LimitExceeded",
    "ManagerUnusable", "MinPolymersExceedEntropy", "MissingEquation", "MissingExtra", "ModelChanged",
    "ModelError", "ModelUnchanged", "NetworkError", "NetworkTooLarge", "NewerSchema", "NoSavepoint",
    "NoSession", "NonexistentBindingSite", "NonexistentMonomer", "NotAStore", "NotComputable",
    "NotExecuted", "NotFound", "NotFreeImpossible", "NotSnapshotable", "NotWritable", "OtherNumerics",
    "OutputNotFound",
    "PairedImpossible", "PastRead", "PerdureError", "PositionConflict", "QuotaExceeded", "Refused",
    "ReplayMismatch", "ResultBytesExceeded", "ResultsPending", "RunExists", "RunFinished", "RunNotFound",
    "SavepointNameTaken", "SavepointNotFound", "ScenarioNotFound", "SceneNotFound", "SceneUnavailable",
    "ScriptFailed", "ServerClosing", "SettingsMissing", "SlotsTaken", "StepNotFound", "StoreClosed",
    "StoreInUse", "StoreIsCopy", "StoreLocked", "StoreNotFound", "StoreNotShared",
    "StoreUnavailable",
    "StoreUnusable", "SystemFailing", "TaskNotFound", "TaskUnfinished", "TogetherImpossible",
    "TokensMissing", "TooMany", "TooManyScenes", "TriggerOverruled", "TriggerRefused", "Unavailable",
    "UnknownElement", "UnknownEntity", "UnknownStore", "UnservableModel",
    "UpgradeRefused", "UploadFailed",
    "UserIdsExhausted", "VersionConflict", "WrongArtifacts", "WrongKind", "WrongStore", "check_limit",
    "message_of", "nearest", "suggest", "with_article", "writable",
]  # fmt: skip

for _name in __all__:
    # Fingerprints of models and pickled errors hold these names; they don't depend on which module has them.
    globals()[_name].__module__ = __name__
