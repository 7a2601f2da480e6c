"""The programs of a deployment: their commands, settings, ports, volumes and health checks.

This is the only description. Every format renders it, so that no format can differ from another, or from the
settings that Perdure has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from perdure.errors import Invalid, SettingsMissing
from perdure.settings import PREFIX, Settings

__all__ = ["NO_BROKER", "STOP_SECONDS", "Choices", "Place", "Program", "Used", "programs_of"]

STOP_SECONDS = 30
"""Seconds from SIGTERM to SIGKILL: requests under way end, and runs get a savepoint."""

NO_BROKER = "none"
"""The broker of workers that only look into the store."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the operator has chosen.

    Attributes
    ----------
    models
        The argument of `perdure serve`; None for its default.
    ports
        Where the server listens, one or more.
    workers
        Number of workers besides the server.
    settings
        Settings by name, for all processes of Perdure. A store, and a broker, of theirs exist already.
    """

    models: str | None = None
    ports: tuple[int, ...] = (5000, 5005)
    workers: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that is kept running.

    Attributes
    ----------
    name
        Its name in the deployment.
    command
        Its command; in an image of its own, empty for the image's.
    variables
        Its environment; settings of Perdure by their variables.
    secrets
        More of its environment: variable → name of a secret, which the operator sets.
    ports
        Where it listens.
    check
        A command that succeeds when it can be used; empty if it listens nowhere.
    after
        Names of the programs that it uses.
    copies
        How many of it there are.
    image
        Its image in containers; None for Perdure's.
    folder
        In an image of its own: where it keeps its files, if it does.
    stop_signal
        The signal that ends it in good order.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    check: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    copies: int = 1
    image: str | None = None
    folder: str | None = None
    stop_signal: str = "TERM"

    @property
    def serves_http(self) -> bool:
        """Whether it is the server, whose ports clients use and probes ask."""
        return self.image is None and bool(self.ports)


@dataclass(frozen=True, kw_only=True)
class Used:
    """A database or a broker that is part of the deployment.

    Attributes
    ----------
    program
        The program.
    url
        By which Perdure reaches it.
    secrets
        What Perdure needs in addition: variable → name of a secret.
    """

    program: Program
    url: str
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the programs run.

    Attributes
    ----------
    perdure
        The words that begin every command of Perdure.
    data
        The absolute path of the folder of everything that is kept.
    working
        The absolute path of the working folders of workers.
    address
        Where the server listens.
    numbers_workers
        Whether each worker is a program of its own; otherwise it is one with several copies.
    database, broker
        Return what is included for several processes; each raises `Invalid` if that is impossible.
    secrets
        Of the server.
    """

    perdure: tuple[str, ...]
    data: str
    working: str
    address: str
    database: Callable[[], Used]
    broker: Callable[[], Used]
    numbers_workers: bool
    secrets: Mapping[str, str] = field(default_factory=dict)


def programs_of(choices: Choices, place: Place) -> list[Program]:
    """Return the programs of a deployment, each after those that it uses.

    Without workers it is the server alone, with a SQLite file. With workers it is the server, the workers,
    and a database and a broker, unless the settings name existing ones.

    Raises
    ------
    Invalid
        If a setting is unknown.
    SettingsMissing
        If a broker is named, and no worker.
    """
    settings = dict(choices.settings)
    used: list[Used] = []
    if choices.workers:
        for name, part in (("store", place.database), ("broker", place.broker)):
            if name not in settings:
                used.append(part())
                settings[name] = used[-1].url
        if "artifacts" not in settings:
            settings |= {"artifacts": f"{place.data}/artifacts", "artifacts_shared": "yes"}
        if settings["broker"] == NO_BROKER:
            del settings["broker"]
    elif "broker" in settings:
        raise SettingsMissing(f"A broker wakes workers: add --workers, or leave {PREFIX}BROKER out.")
    settings.setdefault("store", f"sqlite:///{place.data}/perdure.db")
    for name in settings:
        if name not in Settings.model_fields:
            raise Invalid(f"There is no setting {name!r}; docs/settings.md lists them.")
    secrets = {name: secret for part in used for name, secret in part.secrets.items()}
    after = tuple(part.program.name for part in used)
    first, *others = choices.ports
    listening = {"host": place.address, "port": str(first)}
    if others:
        listening["extra_ports"] = ",".join(map(str, others))
    models = () if choices.models is None else (choices.models,)

    def of(name: str) -> dict[str, str]:
        # What a process finds in its working folders at its start, it takes for its own.
        folder = settings.get("working_folders", place.working)
        return _variables(
            {**settings, "working_folders": f"{folder}/{name}"} if choices.workers else settings
        )

    server = Program(
        name="server",
        command=(*place.perdure, "serve", *models),
        variables={**_variables(listening), **of("server")},
        secrets={**place.secrets, **secrets},
        ports=choices.ports,
        check=(*place.perdure, "health", f"http://127.0.0.1:{first}"),
        after=after,
    )
    names = ["worker"] if choices.workers else []
    if place.numbers_workers:
        names = [f"worker-{number}" for number in range(1, choices.workers + 1)]
    workers = [
        Program(
            name=name,
            command=(*place.perdure, "worker"),
            variables=of(name),
            secrets=secrets,
            after=(*after, server.name),  # which creates what the store consists of
            copies=1 if place.numbers_workers else choices.workers,
        )
        for name in names
    ]
    return [*(part.program for part in used), server, *workers]


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
