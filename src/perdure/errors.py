"""Every error that Perdure raises.

PerdureError
├── Invalid                     what the caller gave is wrong                       (HTTP 422)
│   ├── ModelError              a model's definition is wrong
│   │   ├── UnknownElement
│   │   ├── DuplicateElement
│   │   ├── MissingEquation
│   │   ├── CircularDefinition
│   │   ├── PastRead
│   │   └── ImpureFunction      a function reads a clock, a file or the like
│   ├── AsgiOnly                what is for Flask or WSGI was tried on a BptkServer
│   ├── Unsupported             agents, arrays and XMILE, which come later
│   ├── InvalidRunSpecs
│   ├── InvalidOverride
│   ├── InvalidScenario
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
│   ├── SettingsMissing
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
│   ├── ExperimentNotFound
│   ├── ArtifactNotFound
│   └── NoSavepoint
├── Forbidden                   whoever runs the server doesn't allow it            (HTTP 403)
│   └── KindNotAllowed
├── Refused                     it can't be done in the present state               (HTTP 409)
│   ├── PositionConflict
│   ├── VersionConflict
│   ├── RunExists
│   ├── RunFinished
│   ├── BackupRefused
│   ├── WrongStore
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
│   ├── ModelUnchanged
│   ├── HashSeedChanged
│   ├── SavepointNameTaken
│   ├── UpgradeRefused
│   ├── ExternalStateRefused
│   ├── ExperimentExists
│   ├── FileLost
│   ├── FileChanged             the file isn't the one the request names            (HTTP 412)
│   ├── MissingExtra
│   └── NotSnapshotable
├── TooMany                     there is too much of it already                     (HTTP 429)
│   ├── DocumentsExceeded
│   ├── EndedRunsExceeded
│   ├── QuotaExceeded
│   ├── ResultBytesExceeded
│   └── UserIdsExhausted
├── Unavailable                 the service can't answer now, but may later         (HTTP 503)
│   ├── StoreUnavailable
│   ├── StoreLocked
│   ├── ServerClosing
│   ├── AddressUnavailable
│   ├── IsolationUnavailable
│   ├── EngineCrashed
│   ├── ExternalStateUnavailable
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

import inspect
import re
from collections.abc import Iterable
from difflib import get_close_matches
from string import Formatter
from typing import Any

__all__ = ["message_of", "nearest", "suggest", "with_article", "writable"]

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
    return _did_you_mean(nearest(name, known))


def with_article(noun: str) -> str:
    """Return a noun with the indefinite article.

    >>> with_article("experiment"), with_article("task")
    ('an experiment', 'a task')
    """
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _did_you_mean(name: str | None) -> str:
    return "" if name is None else f" Did you mean {name!r}?"


def message_of(error: BaseException) -> str:
    """Return what an error says, whatever it is and whether or not it can say it."""
    try:
        return writable(str(error))
    except BaseException as failed:
        return f"its message can't be shown, since its __str__ raised {type(failed).__name__}"


def writable(text: str) -> str:
    """Return a text that can be written in UTF-8; lone surrogates are escaped."""
    return text.encode(errors="backslashreplace").decode()


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
            parts.append(_did_you_mean(values.get(field)))
        elif field is not None:
            value, _ = formatter.get_field(field, (), values)
            value = with_article(value) if spec == "a" else formatter.convert_field(value, conversion)
            parts.append(formatter.format_field(value, "" if spec == "a" else spec or ""))
    return " ".join("".join(parts).split())


def _rebuild(kind: type[PerdureError], message: str, values: dict[str, Any]) -> PerdureError:
    return kind(message, **values)


# What the caller gave is wrong ------------------------------------------------------------------------------


class Invalid(PerdureError):
    """The request is not valid."""


class ModelError(Invalid):
    """The model's definition is wrong."""


class UnknownElement(ModelError):
    """{user} uses {name!r}, which the model doesn't define.{suggestion}"""


class DuplicateElement(ModelError):
    """{name!r} is already {kind:a} of this model; give the {other} another name."""


class MissingEquation(ModelError):
    """No equation is given for {names}; set `.equation` of each."""


class CircularDefinition(ModelError):
    """These elements are defined in a circle: {circle}. Break it with a stock or a delay."""


class PastRead(ModelError):
    """The function {function!r} reads the element {element!r} itself; pass the element as an argument, and
    `sd.delay(...)` of it for its past."""


class ImpureFunction(ModelError):
    """The function {function!r} reads {what}, so that a resumed run would go on with other numbers. Pass what
    it needs as arguments, or declare it: `model.function({function!r}, …, impure=True)` logs its answers with
    each step and replays them. Random numbers that need no log come from sd.uniform, sd.normal and others."""


class AsgiOnly(Invalid, AttributeError):
    """{reason}: a BptkServer is an ASGI application, not one of Flask or WSGI. {advice}"""


class Unsupported(Invalid, AttributeError):
    """{what}: {feature} are not supported yet; models of stocks, flows, biflows, converters and constants
    are."""


class InvalidRunSpecs(Invalid):
    """The run specs of {name!r} are wrong: {reason}."""


class InvalidOverride(Invalid):
    """{where!r} can't be set to {value}: {reason}.{suggestion}"""

    # `where` is the place in a request, if it came with one; else it is the name.

    def __init__(self, message: str | None = None, /, **values: Any) -> None:
        super().__init__(message, **{"where": values.get("name"), **values})


class InvalidScenario(Invalid):
    """The scenario definition is wrong: {reason}."""


class InvalidTimeout(Invalid):
    """The timeout is wrong: {reason}."""


class InvalidConfiguration(Invalid):
    """{file} can't be run: {summary}."""


class InvalidDataPack(Invalid):
    """The data pack {name!r} of the engine {engine!r} is refused: {reason}."""


class ScriptFailed(Invalid):
    """{what} failed {doing}{at}: {kind}: {reason}."""

    # `values` has the place as `file`, `line` and its `text`, too, empty and 0 for an error that came by no
    # line of the folder; `traceback` has all these lines.


class EvaluationFailed(Invalid):
    """{element!r} can't be evaluated at t={time}: {reason}."""


class UnknownEntity(Invalid):
    """The run state knows no entity {entity!r}; it has to join first."""


class InvalidState(Invalid):
    """The state doesn't fit the model {name!r}: {reason}."""


class NetworkError(Invalid):
    """The binding network is wrong.

    The messages of StableConfigs are its own, letter by letter, and quote the line as it was written, spaces
    and all. Of an error in a line, `values` has the line as `line`, the `part` it is in (monomers or
    constraints), its number there as `line_number`, and the `column` of what is wrong, both from 1.
    """

    def __init__(self, message: str | None = None, /, **values: Any) -> None:
        if message is None:
            template, _, _ = inspect.cleandoc(type(self).__doc__ or "").partition("\n\n")
            message = " ".join(template.split()).format_map(values)
        super().__init__(message, **values)


class EmptyProblem(NetworkError):
    """Input contains no monomers."""


class EmptyMonomerName(NetworkError):
    """Empty Monomer name. '{line}'. Note that any whitespace after the monomer name keyword is ignored."""


class InvalidBindingSiteName(NetworkError):
    """Invalid BindingSite name. '{line}'"""


class DuplicateBindingSiteName(NetworkError):
    """Duplicate BindingSite name. '{line}'"""


class DuplicateMonomerName(NetworkError):
    """Duplicate Monomer name. '{line}'"""


class InvalidCount(NetworkError):
    """The count can't be read: {reason}. '{line}'"""


class NetworkTooLarge(NetworkError):
    """The network has more than {limit} sites, copies counted; lower its counts."""


class InvalidConstraint(NetworkError):
    """Invalid Constraint '{keyword}'. '{line}'"""


class ConstraintArgumentCount(NetworkError):
    """Constraint '{keyword}' takes {expected} arguments, got {actual}. '{line}'"""


class NonexistentBindingSite(NetworkError):
    """BindingSite '{name}' does not exist. '{line}'"""


class NonexistentMonomer(NetworkError):
    """Monomer '{name}' does not exist. '{line}'"""


class AmbiguousMonomer(NetworkError):
    """Monomer '{name}' is one of {count} copies of that name; write the one that is meant on its own line,
    with its own name. '{line}'"""


class TogetherImpossible(NetworkError):
    """Monomer [{first}] and Monomer [{second}] cannot be together in any valid configuration."""


class NotFreeImpossible(NetworkError):
    """Monomer [{name}] cannot be together with any other Monomer in any valid configuration."""


class PairedImpossible(NetworkError):
    """Binding Site [{first}] and Binding Site [{second}] are not complementary."""


class AnyPairedImpossible(NetworkError):
    """Binding Site [{name}] does not have any complementary binding sites in the system."""


class MinPolymersExceedEntropy(NetworkError):
    """Minimum Polymers [{min_polymers}] exceeds the max entropy of TBN system. No Results can be computed.
    Choose a lower value."""


class EarlyTermination(NetworkError):
    """Early Termination at count [{count}] min polymers [{min_polymers}]."""


class NotWritable(NetworkError):
    """The {what} {name!r} can't be written in the syntax of {syntax}: {reason}."""


class InvalidTask(Invalid):
    """The task {task!r} can't be used: {reason}."""


class InvalidTaskInput(Invalid):
    """The input of the task {task!r} is wrong: {reason}."""


class LimitExceeded(Invalid):
    """{what} may be at most {limit}, not {value}; {setting} raises it."""


class InvalidName(Invalid):
    """{name!r} can't be {what}: {reason}."""


class InvalidArchive(Invalid):
    """The zip can't become an experiment: {reason}. Nothing of it was taken."""


class TokensMissing(Invalid):
    """Without tokens the server listens on this machine only, not on {host!r}. Set PERDURE_TOKENS=owner:token
    first, or leave the host as it is."""


class UnknownStore(Invalid):
    """No installed package has stores of {scheme}://. Installed: {installed}. Install the package that has
    them, or register their class in the entry-point group perdure.stores (docs/stores.md)."""


class StoreUnusable(Invalid):
    """The stores of {scheme}:// can't be used: {reason}. They are those of the package {package}."""


class SettingsMissing(Invalid):
    """The store isn't kept in a file, so nothing can be kept beside it. Set {settings}."""


class KeyReused(Invalid):
    """The idempotency key {key!r} was used with another request; use a new key for a new request."""


# Nothing has that name --------------------------------------------------------------------------------------


class NotFound(PerdureError):
    """Nothing has that name."""


class StoreNotFound(NotFound):
    """There is no store at {store}; name one with --store, or start `perdure serve`."""


class RunNotFound(NotFound):
    """No run has the id {run!r}; list the runs to see those that exist."""


class InstanceNotFound(NotFound):
    """expecting a valid instance id to be given"""


class ScenarioNotFound(NotFound):
    """There is no {what} {name!r}.{suggestion}"""


class ManagerUnusable(ScenarioNotFound):
    """The scenario manager {name!r} can't be served: {reason}"""


class OutputNotFound(NotFound):
    """No selected scenario has an element {name!r}.{suggestion}"""


class TaskNotFound(NotFound):
    """No task is called {task!r}; list the tasks to see those that are served.{suggestion}"""


class StepNotFound(NotFound):
    """The run {run!r} has no step {step}; it has {position}."""


class SavepointNotFound(NotFound):
    """The run {run!r} has no savepoint {savepoint!r}; list its savepoints to see those that exist."""


class ExperimentNotFound(NotFound):
    """There is no experiment {experiment!r}; list the experiments to see those that exist."""


class ArtifactNotFound(NotFound):
    """There is no file {path!r} in {what}; list its files to see those that exist."""


class NoSavepoint(NotFound):
    """The run {run!r} has no intact savepoint to restore from."""


# Whoever runs the server doesn't allow it -------------------------------------------------------------------


class Forbidden(PerdureError):
    """Whoever runs this server doesn't allow that."""


class KindNotAllowed(Forbidden):
    """This server runs no {kind}s: {setting} is false. Ask whoever runs it, or use another server."""


# It can't be done in the present state ----------------------------------------------------------------------


class Refused(PerdureError):
    """That can't be done in the present state."""


class PositionConflict(Refused):
    """Step {expected} was expected next, but the run {run!r} has {position} steps; read it, then decide."""


class VersionConflict(Refused):
    """The record {name!r} was changed by another; read it and decide anew."""


class RunExists(Refused):
    """A run with the id {run!r} exists already."""


class RunFinished(Refused):
    """The run {run!r} is {state} and takes no further steps; fork it at one, or with a later stop time."""


class BackupRefused(Refused):
    """No backup can be written to {folder}: {reason}. Name a folder that is empty or doesn't exist."""


class WrongStore(Refused):
    """This store can't be copied to a file. Back it up by the means of what it is kept in, and its artifacts
    with it."""


class LeaseHeld(Refused):
    """The run {run!r} is worked on by {holder!r}; it can be taken once that lease is released or runs out."""


class NotExecuted(Refused):
    """The run {run!r} is {kind:a}, which isn't queued, leased or reported on as a task is."""


class WrongKind(Refused):
    """The run {run!r} is {kind:a}; this is for {wanted} only."""


class TaskUnfinished(Refused):
    """The run {run!r} is {state} and has no result yet; follow its events, or ask again later."""


class SlotsTaken(Refused):
    """There are {limit} simulations that haven't ended, and there may not be more; stop one, or raise
    PERDURE_MAX_SIMULATIONS."""


class InstanceLocked(Refused):
    """instance is locked"""


class NoSession(Refused):
    """no data was returned from run_step"""


class EngineFinished(Refused):
    """{name!r} was stepped to its last time, {time}; nothing is left to step."""


class TriggerRefused(Refused):
    """The {kind} is {state} and can't become {trigger}."""


class TriggerOverruled(TriggerRefused):
    """The {kind} is {state} and didn't become {trigger}: another request wants it {wanted}."""


class ModelChanged(Refused):
    """The model {model!r} changed since the run {run!r} was made, so it can't go on with the same numbers.
    Serve the former model again, or give the model an upgrade function and call
    `perdure runs upgrade {run}`."""


class ModelUnchanged(Refused):
    """The run {run!r} needs no upgrade: its models are the ones it was made with."""


class HashSeedChanged(Refused):
    """The run was begun under another PYTHONHASHSEED, so sets would be walked in another order. Start its
    process with the one that `perdure.engines.generators.hash_seed` makes of the run's seed."""


class SavepointNameTaken(Refused):
    """The savepoint {timestamp} of the run {run!r} is called {name!r} already; choose another name, or
    take it away there first."""


class UpgradeRefused(Refused):
    """The run {run!r} can't be upgraded: {reason}."""


class ExternalStateRefused(Refused):
    """The external state of the instance {instance!r} can't be taken over: {reason}. It is left as it is."""


class ExperimentExists(Refused):
    """There is another experiment {experiment!r} already; delete it first, or choose another name."""


class FileLost(Refused):
    """The file {path!r}, which the run had written, can't be put back as it was at the savepoint: {reason}.
    Fork the run at savepoint 0 to have it written again."""


class FileChanged(Refused):
    """The file {path!r} isn't as the request says; read it, then decide."""


class MissingExtra(Refused):
    """{what} needs the package {package!r}; install it with: pip install 'perdure[{extra}]'."""


class NotSnapshotable(Refused):
    """The state of {what} can't be taken: {reason}."""


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


class UserIdsExhausted(TooMany):
    """There is no user id left for {owner!r}: all {count} of PERDURE_RUN_AS have owners; name more."""


# The service can't answer now -------------------------------------------------------------------------------


class Unavailable(PerdureError):
    """The service can't answer now."""


class StoreUnavailable(Unavailable):
    """The store can't be written: {reason}. Nothing is accepted until it works again."""


class StoreLocked(Unavailable):
    """The store {path} is in use by {holder}. Stop that process first, or give this one another --store. For
    several processes, PERDURE_STORE names a store that they can share, such as postgresql://… where a package
    has one."""


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


# What was stored can't be trusted ---------------------------------------------------------------------------


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


__all__ += [
    name
    for name, value in dict(globals()).items()
    if isinstance(value, type) and issubclass(value, PerdureError)
]
