"""Configurations for one host: supervisord's, and units of systemd."""

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from perdure.deployment.programs import STOP_SECONDS, Place, Program, Used
from perdure.errors import Invalid

__all__ = ["Host", "host_place", "supervisor", "systemd"]

DEBIAN = Path("/usr/lib/postgresql")  # PATH doesn't have the programs of its versions


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host and the user on it.

    Attributes
    ----------
    folder
        The absolute path of the working folder, where modules are found.
    data
        The absolute path of the folder of everything that is kept.
    user, group, home
        Who runs the programs, who may control supervisord, and the folder of that user.
    """

    folder: str
    data: str
    user: str
    group: str
    home: str

    @property
    def folders(self) -> tuple[str, str, str]:
        """The folders that are made before the start: of the data, the logs and the sockets."""
        return self.data, f"{self.data}/log", f"{self.data}/run"

    @property
    def making_folders(self) -> str:
        """The command that makes the folders with their owner and mode."""
        return shlex.join(["install", "-d", "-o", self.user, "-g", self.group, "-m", "0750", *self.folders])


def host_place(host: Host, perdure: tuple[str, ...]) -> Place:
    """Return a host as a place.

    A database and a broker are reached by Unix sockets, which only their user can open: they need no ports
    and no passwords.

    Parameters
    ----------
    perdure
        The words that begin every command of Perdure.
    """
    return Place(
        perdure=perdure,
        data=host.data,
        working=f"{host.data}/working",
        address="127.0.0.1",
        database=partial(_database, host),
        broker=partial(_broker, host),
        numbers_workers=True,
    )


def _database(host: Host) -> Used:
    """Return a PostgreSQL of the host's user, which is initialized at its first start."""
    if host.user == "root":
        raise Invalid(
            "PostgreSQL refuses to run as root: name another user with --user, or an existing database with "
            "--store postgresql://…"
        )
    advice = "apt-get install postgresql, or name an existing database with --store postgresql://…"
    run, folder = f"{host.data}/run", f"{host.data}/database"
    made = f"{folder}.new"  # so that what was cut off half-way isn't taken for a database
    initialize = [
        _tool("initdb", advice),
        "--auth=peer",
        "--encoding=UTF8",
        "--no-locale",
        f"--pgdata={made}",
    ]
    command = [_tool("postgres", advice), "-D", folder, "-c", "listen_addresses="]
    script = (
        f"test -d {shlex.quote(folder)} || {{ rm -rf {shlex.quote(made)} && {shlex.join(initialize)} && "
        f"mv {shlex.quote(made)} {shlex.quote(folder)}; }} && "
        f"exec {shlex.join([*command, '-c', f'unix_socket_directories={run}'])}"
    )
    program = Program(
        name="database",
        command=("/bin/sh", "-c", script),
        check=(_tool("pg_isready", advice), "--host", run),
        stop_signal="INT",  # after TERM it would wait for its clients
    )
    return Used(program=program, url=f"postgresql:///postgres?host={quote(run, safe='')}")


def _broker(host: Host) -> Used:
    """Return a Redis of the host's user, which keeps nothing: what waits is in the store."""
    advice = "apt-get install redis-server, or name an existing broker with --broker URL, or none"
    run, path = f"{host.data}/run", f"{host.data}/run/redis.sock"
    command = [_tool("redis-server", advice), "--port", "0", "--unixsocket", path, "--unixsocketperm", "700"]
    program = Program(
        name="broker",
        command=(*command, "--dir", run, "--save", "", "--appendonly", "no"),
        check=(_tool("redis-cli", advice), "-s", path, "ping"),
    )
    return Used(program=program, url=f"redis+socket://{quote(path)}")


def _tool(name: str, advice: str) -> str:
    """Return the absolute path of a program; raise `Invalid` with advice if it isn't installed."""
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    path = os.pathsep.join([*map(str, versions), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=path)
    if found is None:
        raise Invalid(f"{name} isn't installed: {advice}.")
    return found


def supervisor(host: Host, programs: Sequence[Program]) -> dict[str, str]:
    """Return the configuration of supervisord by its file's name.

    supervisord starts the programs again whenever they end. An event listener asks the server's health check
    at each tick, and has a server started again that doesn't answer.
    """
    _, log, run = map(_value, host.folders)
    sections = [
        "; Made by `perdure deploy supervisor`. Make the folders once, then start:\n"
        f";   {host.making_folders}\n"
        ";   supervisord -c supervisord.conf\n"
        ";   supervisorctl -c supervisord.conf status\n",
        # Members of the group may use the socket, so that supervisorctl needs no root.
        _section(
            "unix_http_server",
            {
                "file": f"{run}/supervisor.sock",
                "chmod": "0770",
                "chown": f"{_value(host.user)}:{_value(host.group)}",
            },
        ),
        _section(
            "supervisord",
            {
                "user": _value(host.user),
                "environment": f'HOME="{_value(host.home, quoted=True)}"',
                "logfile": f"{log}/supervisord.log",
                "childlogdir": log,
                "pidfile": f"{run}/supervisord.pid",
                "umask": "027",
            },
        ),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("supervisorctl", {"serverurl": f"unix://{run}/supervisor.sock"}),
    ]
    for order, program in enumerate(programs):
        environment = ",".join(
            f'{name}="{_value(value, quoted=True)}"' for name, value in program.variables.items()
        )
        sections.append(
            _section(
                f"program:{program.name}",
                {
                    "command": _command(program.command),
                    "directory": _value(host.folder),
                    "environment": environment,
                    "priority": str(100 + order),
                    "autostart": "true",
                    "autorestart": "true",
                    "startretries": "1000",
                    "stopsignal": program.stop_signal,
                    "stopwaitsecs": str(STOP_SECONDS),
                    "redirect_stderr": "true",
                    "stdout_logfile": f"{log}/{program.name}.log",
                },
            )
        )
        if program.serves_http:
            sections.append(
                _section(
                    f"eventlistener:{program.name}-health",
                    {
                        "command": _command((*program.check, "--restart", program.name)),
                        "events": "TICK_60",
                        "priority": "900",
                        "autorestart": "true",
                        "stderr_logfile": f"{log}/{program.name}-health.log",
                    },
                )
            )
    return {"supervisord.conf": "\n".join(sections)}


def systemd(host: Host, programs: Sequence[Program]) -> dict[str, str]:
    """Return units by their files' names: a service for each program, and a target for all."""
    units = {f"perdure-{program.name}.service": _service(host, program) for program in programs}
    wants = " ".join(units)
    units["perdure.target"] = "\n".join(
        [
            "# Made by `perdure deploy systemd`, like the units that it starts. They belong into",
            "# /etc/systemd/system:",
            "#   systemctl daemon-reload && systemctl enable --now perdure.target",
            "[Unit]",
            "Description=Perdure",
            f"Wants={wants}",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )
    return units


def _service(host: Host, program: Program) -> str:
    used = " ".join(["network-online.target", *(f"perdure-{name}.service" for name in program.after)])
    # `+`: the folders are made by root. `mixed`: only the program itself gets SIGTERM, and looks after its
    # children. The watchdog starts a server again whose loop doesn't turn any more.
    lines = [
        "[Unit]",
        f"Description=Perdure: {program.name}",
        "Wants=network-online.target",
        f"After={used}",
        "PartOf=perdure.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        *(["Type=notify", "NotifyAccess=all", "WatchdogSec=60"] if program.serves_http else ["Type=exec"]),
        f"User={_escaped(host.user)}",
        f"Group={_escaped(host.group)}",
        f"ExecStartPre=+/usr/bin/env {host.making_folders.replace('%', '%%').replace('$', '$$')}",
        f"WorkingDirectory={_escaped(host.folder)}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in program.variables.items()),
        "ExecStart=" + " ".join(_quoted(word).replace("$", "$$") for word in program.command),
        "Restart=always",
        "RestartSec=1",
        "KillMode=mixed",
        f"KillSignal=SIG{program.stop_signal}",
        f"TimeoutStopSec={STOP_SECONDS}",
        "UMask=0027",
        "",
        "[Install]",
        "WantedBy=perdure.target",
        "",
    ]
    return "\n".join(lines)


def _section(name: str, values: dict[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""])


def _command(words: Sequence[str]) -> str:
    return _value(shlex.join(words))


def _value(text: str, *, quoted: bool = False) -> str:
    """Return a text as a value of supervisord's configuration; `Invalid` if it can't be one."""
    unusable = ("\n", "\r", " ;", " #", *(('"',) if quoted else ()))
    if any(each in text for each in unusable):
        raise Invalid(f"supervisord can't be given {text!r}: it contains a quote, a comment or a line break.")
    return text.replace("%", "%%")


def _escaped(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise Invalid(f"systemd can't be given {text!r}: it contains a line break.")
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    return '"' + _escaped(word).replace("\\", "\\\\").replace('"', '\\"') + '"'
