"""The programs of a deployment: their commands, settings, ports, folders and health checks.

This is the only description. Every format renders it, so that no format can differ from another, or from the
settings that Perdure has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from perdure.errors import Invalid, SettingsMissing
from perdure.settings import PREFIX, Settings

__all__ = ["STOP_SECONDS", "Choices", "Place", "Program", "programs_of", "variables"]

STOP_SECONDS = 30
"""Seconds from SIGTERM to SIGKILL: requests under way end, and sessions get a savepoint."""


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
        Settings by name, for all processes of Perdure; the store among them, unless it is the default.
    """

    models: str | None = None
    ports: tuple[int, ...] = (5000, 5005)
    workers: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the programs run.

    Attributes
    ----------
    perdure
        The words that begin every command of Perdure.
    data
        The absolute path of the folder of everything that is kept.
    address
        Where the server listens.
    secrets
        Settings whose values aren't part of the configuration.
    """

    perdure: tuple[str, ...]
    data: str
    address: str
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that is kept running.

    Attributes
    ----------
    name
        Its name in the deployment.
    command
        Its command.
    settings
        Its settings by name.
    secrets
        Settings whose values aren't part of the configuration.
    ports
        Where it listens.
    root_path
        Prefix of the paths of its health checks.
    check
        A command that succeeds when it can be used; empty if it listens nowhere.
    after
        Names of the programs that it uses.
    """

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    check: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def programs_of(choices: Choices, place: Place) -> list[Program]:
    """Return the programs of a deployment, each after those that it uses.

    Raises
    ------
    Invalid
        If a setting is unknown.
    SettingsMissing
        If there are workers, and no store is named that they can share.
    """
    for name in choices.settings:
        if name not in Settings.model_fields:
            raise Invalid(f"There is no setting {name!r}; docs/settings.md lists them.")
    if choices.workers and "store" not in choices.settings:
        raise SettingsMissing(settings=f"{PREFIX}STORE")
    common = {"store": f"sqlite:///{place.data}/perdure.db", **choices.settings}
    first, *others = choices.ports
    listening = {"host": place.address, "port": str(first)}
    if others:
        listening["extra_ports"] = ",".join(map(str, others))
    models = () if choices.models is None else (choices.models,)
    server = Program(
        name="server",
        command=(*place.perdure, "serve", *models),
        settings={**listening, **common},
        secrets=place.secrets,
        ports=choices.ports,
        check=(*place.perdure, "health", f"http://127.0.0.1:{first}"),
    )
    workers = [
        Program(name=f"worker-{number}", command=(*place.perdure, "worker"), settings=common)
        for number in range(1, choices.workers + 1)
    ]
    return [server, *workers]


def variables(program: Program) -> dict[str, str]:
    """Return a program's settings as environment variables."""
    return {f"{PREFIX}{name.upper()}": value for name, value in program.settings.items()}
