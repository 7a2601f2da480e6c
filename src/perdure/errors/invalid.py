"""Errors of what the caller gave; HTTP answers 422."""

from perdure.errors.base import PerdureError


class Invalid(PerdureError):
    """The request is not valid."""


class AsgiOnly(Invalid, AttributeError):
    """{reason}: a BptkServer is an ASGI application, not one of Flask or WSGI. {advice}"""


class InvalidScenario(Invalid):
    """The scenario definition is wrong: {reason}."""


class InvalidModelFile(InvalidScenario):
    """The model file {path} can't be read: {reason}."""


class InvalidTimeout(Invalid):
    """The timeout is wrong: {reason}."""


class InvalidConfiguration(Invalid):
    """{file} can't be run: {summary}."""


class InvalidDataPack(Invalid):
    """The data pack {name!r} of the engine {engine!r} is refused: {reason}."""


class ScriptFailed(Invalid):
    """{what} failed {doing}{at}: {kind}: {reason}."""


class UnknownEntity(Invalid):
    """The run state knows no entity {entity!r}; it has to join first."""


class InvalidTask(Invalid):
    """The task {task!r} can't be used: {reason}."""


class InvalidTaskInput(Invalid):
    """The input of the task {task!r} is wrong: {reason}."""


class LimitExceeded(Invalid):
    """{what} may be at most {limit}, not {value}; {setting} raises it."""


def check_limit(what: str, value: float, limit: float, setting: str) -> None:
    """Raise `LimitExceeded` if a value is larger than the limit of a setting."""
    if value > limit:
        raise LimitExceeded(what=what, limit=limit, value=value, setting=setting)


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


class DialectUnusable(Invalid):
    """The dialect {dialect} can't be served: {reason}. Correct or uninstall the package that has it."""


class SettingsMissing(Invalid):
    """The store isn't kept in a file, so nothing can be kept beside it. Set {settings}."""


class StoreNotShared(Invalid):
    """The store {store} is open in one process at a time, not in {processes}. Leave --workers out:
    one process answers thousands of steps a second, and computes tasks and experiments in processes of their
    own. Several need a store that they can share, such as postgresql://… in PERDURE_STORE."""


class ArtifactsNotShared(Invalid):
    """Other hosts can't reach the artifacts at {url}, but can share the store. Set PERDURE_ARTIFACTS to a
    URL that all of them reach, such as s3://…; or, if it is a folder that all have mounted, set
    PERDURE_ARTIFACTS_SHARED=yes."""


class KeyReused(Invalid):
    """The idempotency key {key!r} was used with another request; use a new key for a new request."""
