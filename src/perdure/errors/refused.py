"""Errors of what can't be done in the present state; HTTP answers 409."""

from perdure.errors.base import PerdureError


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


class WrongArtifacts(Refused):
    """The artifacts at {url} aren't those of this store: {reason}. Set PERDURE_ARTIFACTS to those that it was
    first opened with."""


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
    """The {kind} is {state} and didn't become {trigger}: another request wants it {desired}."""


class ModelChanged(Refused):
    """The model {model!r} changed since the run {run!r} was made, so it can't go on with the same numbers.
    Serve the former model again, or give the model an upgrade function and call
    `perdure runs upgrade {run}`."""


class OtherNumerics(Refused):
    """The run {run!r} was computed with the numeric fingerprint {numerics}, and this host has {here}: its
    processor or its libraries round some functions otherwise, so the run can't go on with the same numbers.
    Step it on a host like the former one, or start this server with --other-numerics."""


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


class CopyRefused(Refused):
    """The store {target} can't become a copy of {source}: {reason}."""


class StoreInUse(Refused):
    """Other processes have the store {store} open, or had it in the last minute: {processes}. Stop all of its
    servers and workers, and repeat the command; one that was killed counts for a minute."""


class StoreClosed(Refused):
    """The store {store} was closed when it was copied to {target}, so that the two don't diverge. Use that
    one. To use this one again, without what happened there, run `perdure store reopen {store}`."""


class StoreIsCopy(Refused):
    """The store {store} is a copy of {source} that isn't finished: run
    `perdure store copy {source} {store} --final`. To use it as it is, apart from that one, run
    `perdure store reopen {store}`."""


class ExperimentExists(Refused):
    """There is another experiment {experiment!r} already; delete it first, or choose another name."""


class FileLost(Refused):
    """The file {path!r}, which the run had written, can't be put back as it was at the savepoint: {reason}.
    Fork the run at savepoint 0 to have it written again."""


class FileChanged(Refused):
    """The file {path!r} isn't as the request says; read it, then decide."""


class SceneUnavailable(Refused):
    """The scene of {engine!r} can't be drawn: {reason}."""


class MissingExtra(Refused):
    """{what} needs the package {package!r}; install it with: pip install 'perdure[{extra}]'."""


class NotSnapshotable(Refused):
    """The state of {what} can't be taken: {reason}."""
