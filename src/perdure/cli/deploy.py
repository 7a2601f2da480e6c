"""``perdure deploy``: prints configurations that keep a server and workers running."""

import os
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.options import read_settings
from perdure.cli.output import say, say_lines
from perdure.errors import Invalid, PerdureError
from perdure.stores.location import scheme_of, store_url
from perdure.stores.schemes import store_file

if TYPE_CHECKING:
    from perdure.deployment.hosts import Host

__all__ = ["app", "deploy"]

_EXAMPLES = (
    "Examples:  perdure deploy supervisor > supervisord.conf  ·  "
    "perdure deploy systemd --output /etc/systemd/system  ·  "
    "perdure deploy compose my_models:catalogue --setting root_path=/sim"
)

_PATHS = ("artifacts", "tokens_file", "working_folders")  # settings that may name a file or folder

app = new_app()


class Format(StrEnum):
    """What is printed."""

    SUPERVISOR = "supervisor"
    SYSTEMD = "systemd"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    CONTAINERFILE = "containerfile"


@app.command(epilog=_EXAMPLES)
def deploy(
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(Format)}.")],
    models: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:FACTORY]", help="The models, as for `perdure serve`.", show_default=False
        ),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            help="Port to listen on; may be given several times. By default 5000 and 5005, where the clients "
            "of BPTK and StableConfigs expect their servers."
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of workers besides the server, with a PostgreSQL as store and a Redis as broker, "
            "which are included unless --store and --broker name existing ones.",
        ),
    ] = 0,
    store: Annotated[
        str | None,
        typer.Option(
            help="An existing store. By default a SQLite file in the folder of the data; with workers, a "
            "PostgreSQL of the deployment."
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            help="An existing broker, redis://… or amqp://…, or `none`: workers then look into the store. By "
            "default, with workers, a Redis of the deployment."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A setting for the server and the workers, for example task_timeout=600; may be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path, typer.Option(help="On a host: the folder of the store, the logs and sockets.")
    ] = Path("perdure-data"),
    user: Annotated[
        str | None, typer.Option(help="On a host: the user of all programs. By default you.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="On a host: the group that may read the logs and control supervisord. By default the user's."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write files into this folder instead.", show_default=False),
    ] = None,
) -> None:
    """Print a configuration that keeps a server and workers running, with paths of this machine.

    docs/deploy.md describes how each is started, changed and mended.
    """
    from perdure.deployment import containers, hosts
    from perdure.deployment.programs import Choices, programs_of

    on_host = form in (Format.SUPERVISOR, Format.SYSTEMD)
    settings = dict(map(_setting, setting or ()))
    if store is not None:
        settings["store"] = store_url(store)
    if broker is not None:
        settings["broker"] = broker
    ports = tuple(port or Choices.ports)
    if on_host:
        settings = dict(_with_absolute_paths(settings))
        host = _host(str(data.absolute()), user, group)
        place = hosts.host_place(host, _perdure())
    else:
        place = containers.container_place("perdure-{}" if form is Format.KUBERNETES else "{}")
    programs = programs_of(Choices(models=models, ports=ports, workers=workers, settings=settings), place)
    for program in programs:
        _check(program.variables)
    match form:
        case Format.SUPERVISOR:
            files = hosts.supervisor(host, programs)
        case Format.SYSTEMD:
            files = hosts.systemd(host, programs)
        case Format.COMPOSE:
            files = containers.compose(programs)
        case Format.KUBERNETES:
            files = containers.kubernetes(programs)
        case Format.CONTAINERFILE:
            files = containers.containerfile(programs)
    if output is None:
        _print(files)
    else:
        _write(files, output)


def _check(variables: Mapping[str, str]) -> None:
    """Raise `Invalid` if the environment of a program has a setting with a wrong value."""
    from perdure.settings import PREFIX

    read_settings(
        **{
            name.removeprefix(PREFIX).lower(): value
            for name, value in variables.items()
            if name.startswith(PREFIX)
        }
    )


def _setting(text: str) -> tuple[str, str]:
    """Return name and value of a setting that an option gives."""
    name, separator, value = text.partition("=")
    if not separator:
        raise Invalid(f"--setting takes NAME=VALUE, as in task_timeout=600, not {text!r}.")
    return name.lower().removeprefix("perdure_"), value


def _with_absolute_paths(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield settings, with the absolute paths of the files and folders that they name."""
    for name, value in settings.items():
        if name == "store" and scheme_of(value) == "sqlite":
            yield name, store_url(str(store_file(value)))
        elif name in _PATHS and "://" not in value:
            yield name, str(Path(value).absolute())
        else:
            yield name, value


def _perdure() -> tuple[str, ...]:
    """Return the words that begin a command of this installation."""
    script = Path(sys.executable).with_name("perdure")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "perdure")


def _host(data: str, user: str | None, group: str | None) -> "Host":
    """Return this host, with users and groups that it has."""
    import grp
    import pwd

    from perdure.deployment.hosts import Host

    try:
        account = pwd.getpwuid(os.geteuid()) if user is None else pwd.getpwnam(user)
        owning = grp.getgrgid(account.pw_gid) if group is None else grp.getgrnam(group)
    except KeyError as error:
        raise Invalid(f"{error.args[0]}; create it, or name another with --user and --group.") from None
    folder = str(Path.cwd())
    return Host(folder=folder, data=data, user=account.pw_name, group=owning.gr_name, home=account.pw_dir)


def _print(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        if len(files) > 1:
            say(f"# ---- {name}")
        say_lines(text.removesuffix("\n"))


def _write(files: Mapping[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
            say(str(folder / name))
    except OSError as error:
        raise PerdureError(f"{folder} can't be written: {error.strerror}.") from error
