"""Configurations for one host: supervisord's, and units of systemd."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.deployment.programs import STOP_SECONDS, Program, variables
from perdure.errors import Invalid

__all__ = ["Host", "supervisor", "systemd"]


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host and the user on it.

    Attributes
    ----------
    folder
        The absolute path of the working folder, where modules are found.
    data
        The absolute path of the folder of everything that is kept.
    user, group
        Who runs the programs, and who may control supervisord.
    """

    folder: str
    data: str
    user: str
    group: str

    @property
    def folders(self) -> tuple[str, str, str]:
        """The folders that are made before the start: of the data, the logs and the sockets."""
        return self.data, f"{self.data}/log", f"{self.data}/run"

    @property
    def making_folders(self) -> str:
        """The command that makes the folders with their owner and mode."""
        return shlex.join(["install", "-d", "-o", self.user, "-g", self.group, "-m", "0750", *self.folders])


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
            f'{name}="{_value(value, quoted=True)}"' for name, value in variables(program).items()
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
                    "stopsignal": "TERM",
                    "stopwaitsecs": str(STOP_SECONDS),
                    "redirect_stderr": "true",
                    "stdout_logfile": f"{log}/{program.name}.log",
                },
            )
        )
        if program.check:
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
        *(["Type=notify", "WatchdogSec=60"] if program.check else ["Type=exec"]),
        f"User={_escaped(host.user)}",
        f"Group={_escaped(host.group)}",
        f"ExecStartPre=+/usr/bin/env {host.making_folders.replace('%', '%%').replace('$', '$$')}",
        f"WorkingDirectory={_escaped(host.folder)}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in variables(program).items()),
        "ExecStart=" + " ".join(_quoted(word).replace("$", "$$") for word in program.command),
        "Restart=always",
        "RestartSec=1",
        "KillMode=mixed",
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
