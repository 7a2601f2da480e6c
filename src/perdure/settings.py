"""The settings: every number and name that an operator may change, with its default.

Each is read from the environment variable ``PERDURE_`` with its name in capitals; options of the command line
take precedence. `docs/settings.md` lists them, and a test compares the list with this module.
"""

import math
import os
import re
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from perdure.errors import Invalid, nearest

__all__ = ["PREFIX", "Settings", "unknown_variables", "warn_of_unknown_variables"]

PREFIX = "PERDURE_"

_OF_COMMANDS = frozenset({"SERVER", "TOKEN"})  # the server that commands use, and their token for it
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9_.~-]+)+")
_ORIGIN = re.compile(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^\s/@]+/?")
_HOST = re.compile(r"\*|[^\s:/@\[\]*]+|\[?[0-9A-Fa-f:.]+\]?")
_ADMINISTRATOR = re.compile(r"administrator\s+([^:]*[^:\s])")  # a line without a token
SYSTEM_IDS = 999  # the largest user id that systems reserve
LARGEST_PORT = 65_535
LARGEST_ID = 2**31 - 1  # the largest user id that all tools accept
KINDS = ("session", "task", "experiment")
FEWEST_SAVEPOINTS = 2  # since a restore begins before the last one

log = structlog.get_logger(__name__)


class Settings(BaseSettings):
    """The settings of a server."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(5000, ge=0, le=LARGEST_PORT, description="Port to listen on; 0 chooses a free one.")
    extra_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        (), description="Further ports to listen on, separated by commas."
    )
    store: str = Field(
        "sqlite:///perdure-data/perdure.db",
        description="Store of the runs: sqlite:///PATH (a fourth slash makes it absolute), "
        "postgresql://USER:PASSWORD@HOST/DATABASE, memory://, or a URL of another package's store.",
    )
    store_listen: str | None = Field(
        None,
        description="Another URL of PERDURE_STORE's PostgreSQL database, for notifications, if that one "
        "leads to a pgbouncer in transaction mode.",
    )
    store_patience: float = Field(
        10.0,
        gt=0,
        description="Seconds for which a request waits for a PostgreSQL database that doesn't answer, before "
        "it gets a 503.",
    )
    broker: str | None = Field(
        None,
        description="Broker that wakes workers in other processes, redis://… or amqp://…; needs a store that "
        "several processes share. Default: the server has a worker of its own.",
    )
    artifacts: str | None = Field(
        None,
        description="Storage of experiments and results: a folder or any URL of fsspec (s3://…, gs://…). "
        "Default: a folder beside the store's file.",
    )
    artifacts_shared: bool = Field(
        False,
        description="Whether PERDURE_ARTIFACTS is a folder that all hosts have mounted. A store that several "
        "hosts share needs that, or a URL that all of them reach.",
    )
    root_path: str | None = Field(
        None, description="Prefix of the paths at a reverse proxy, as /simulations; the proxy may remove it."
    )
    tokens: Annotated[dict[str, tuple[SecretStr, ...]], NoDecode] = Field(
        default_factory=dict,
        description="Bearer tokens as owner:token, separated by commas; without tokens anybody has access.",
    )
    tokens_file: Path | None = Field(
        None,
        description="File with more tokens, one owner:token a line, and lines of `administrator OWNER`; "
        "only the server's user and root may be able to read it.",
    )
    administrators: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Owners with the administrator's rights, separated by commas, besides those that the "
        "tokens file names.",
    )
    login_expires: int = Field(
        604_800,
        ge=1,
        le=34_560_000,  # browsers keep no cookie longer than 400 days
        description="Seconds after which a browser has to log in again.",
    )
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names that a server without tokens accepts, besides loopback names and "
        "PERDURE_HOST; * accepts any.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins, besides the server's own, whose web pages may call the API; * allows any."
    )
    max_header_bytes: int = Field(
        65_536, ge=1_024, description="Limit of the request line and the headers together, in bytes."
    )
    max_headers: int = Field(100, ge=10, description="Limit of headers in a request.")
    max_connections: int = Field(
        500, ge=1, description="Limit of connections; beyond it the one that has been idle longest is closed."
    )
    header_timeout: float = Field(
        20.0, gt=0, description="Seconds within which the headers of a request must arrive."
    )
    idle_timeout: float = Field(75.0, gt=0, description="Seconds after which an idle connection is closed.")
    min_body_rate: int = Field(
        1_000,
        ge=1,
        description="Minimum bytes a second of a request body, averaged over each PERDURE_IDLE_TIMEOUT.",
    )
    savepoint_every: int = Field(100, ge=1, description="Steps between the savepoints of a session.")
    savepoint_keep: int = Field(
        3, ge=1, description="Number of newest savepoints kept; a restore begins before the last one."
    )
    savepoint_milestone: int = Field(
        10, ge=1, description="Every n-th savepoint is kept permanently, as a near start for forks."
    )
    max_body_bytes: int = Field(1_000_000, ge=1, description="Limit of a request body, in bytes.")
    max_upload_bytes: int = Field(
        100_000_000, ge=1, description="Limit of an experiment's zip, and of a file put into one, in bytes."
    )
    max_experiments: int = Field(1_000, ge=1, description="Limit of experiments for each owner.")
    max_experiment_files: int = Field(10_000, ge=1, description="Limit of files in an experiment.")
    max_experiment_bytes: int = Field(
        1_000_000_000, ge=1, description="Limit of an experiment's files together, in bytes."
    )
    max_runs: int = Field(10_000, ge=1, description="Limit of unfinished runs for each owner.")
    max_ended_runs: int = Field(
        100_000, ge=1, description="Limit of ended runs that aren't deleted, for each owner."
    )
    keep_finished: Annotated[dict[str, float], NoDecode] = Field(
        default_factory=dict,
        description="Days after which the server deletes ended runs: one number for all kinds, or by kind, "
        "such as task=30,session=90. Default: it deletes none.",
    )
    max_result_bytes: int = Field(
        100_000_000_000,
        ge=1,
        description="Limit of the results of tasks, and of the files of experiments, for each owner, in "
        "bytes; beyond it no new ones of the kind are created.",
    )
    max_instances: int = Field(10_000, ge=1, description="Limit of BPTK instances for each owner.")
    max_live_sessions: int = Field(1_000, ge=1, description="Sessions kept in memory; others are restored.")
    max_engine_processes: int = Field(
        32,
        ge=1,
        description="Limit of processes of engines of sessions in memory. Beyond it, the session that was "
        "idle longest is dropped; its next use restores it.",
    )
    max_scenarios: int = Field(1_000, ge=1, description="Limit of scenarios in a session.")
    max_steps_per_request: int = Field(10_000, ge=1, description="Limit of steps in a request.")
    max_forks_per_request: int = Field(100, ge=1, description="Limit of forks in a request.")
    max_values_per_request: int = Field(
        1_000_000, ge=1, description="Limit of values (steps × outputs of all scenarios) in a response."
    )
    tasks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Tasks to serve besides installed ones: module:name or file.py:name, with commas.",
    )
    task_timeout: float = Field(
        90.0, gt=0, description="Time-out of a task without one of its own, in seconds of running time."
    )
    max_task_timeout: float = Field(604_800.0, gt=0, description="Limit of a task's time-out, in seconds.")
    max_task_processes: int | None = Field(
        None, ge=1, description="Number of tasks worked on at a time. Default: the number of cores."
    )
    max_task_cpu_seconds: float | None = Field(
        None, gt=0, description="Limit of CPU seconds for each process of a task."
    )
    max_task_memory_bytes: int = Field(
        4_000_000_000, ge=1, description="Limit of memory for a task's processes together, in bytes."
    )
    max_task_open_files: int | None = Field(
        None, ge=16, description="Limit of open files for each process of a task. Default: the OS limit."
    )
    run_as: Annotated[tuple[int, int] | None, NoDecode] = Field(
        None,
        description="Range of user ids, such as 200000-265535, of which each owner's scripts and tasks get "
        "one; requires root.",
    )
    working_folders: Path | None = Field(
        None,
        description="Folder in which experiments run. Default: a folder beside the store's file; with "
        "PERDURE_RUN_AS, one in /var/lib/perdure.",
    )
    allow_experiments: bool = Field(
        True,
        description="Whether to run experiments. If not, new ones are a 403, and unfinished ones wait.",
    )
    allow_tasks: bool = Field(
        True,
        description="Whether to run tasks and solve networks. If not, new ones are a 403, queued ones wait.",
    )
    max_task_file_bytes: int | None = Field(
        10_000_000_000, ge=1, description="Limit of each file that a task's processes write, in bytes."
    )
    max_task_folder_bytes: int | None = Field(
        20_000_000_000, ge=1, description="Limit of a task's folders on the disk, in bytes."
    )
    max_simulations: int = Field(16, ge=1, description="Limit of unfinished experiments; each has a process.")
    max_simulations_per_owner: int | None = Field(
        None,
        ge=1,
        description="Limit of unfinished experiments for each owner. Default: half of "
        "PERDURE_MAX_SIMULATIONS if there are tokens, otherwise all.",
    )
    max_scenes: int = Field(
        2, ge=0, description="Limit of processes that draw scenes of experiments; 0 draws none."
    )
    max_experiment_seconds: float | None = Field(
        None, gt=0, description="Limit of running time of an experiment, in seconds."
    )
    max_experiment_cpu_seconds: float | None = Field(
        None, gt=0, description="Limit of CPU seconds for each process of an experiment."
    )
    max_experiment_memory_bytes: int = Field(
        4_000_000_000, ge=1, description="Limit of memory for an experiment's processes together, in bytes."
    )
    max_experiment_open_files: int | None = Field(
        None,
        ge=16,
        description="Limit of open files for an experiment's processes, each. Default: the system's.",
    )
    max_experiment_file_bytes: int | None = Field(
        10_000_000_000, ge=1, description="Limit of each file that an experiment's processes write, in bytes."
    )
    max_experiment_folder_bytes: int | None = Field(
        20_000_000_000, ge=1, description="Limit of an experiment's working folder on the disk, in bytes."
    )
    max_savepoint_bytes: int = Field(
        4_000_000_000,
        ge=1,
        description="Limit of the files in each savepoint of an experiment together, without holes, in "
        "bytes; larger ones are left out.",
    )
    resume: Literal["always", "manual"] = Field(
        "always",
        description="Whether interrupted experiments resume automatically (always), or are paused.",
    )
    other_numerics: bool = Field(
        False,
        description="Whether to go on with runs that hosts with another numeric fingerprint have computed; "
        "they get other last digits, and say so.",
    )
    result_expires: float = Field(
        300.0, gt=0, description="Seconds for which StableConfigs' clients can read the result of a task."
    )
    max_log_lines: int = Field(
        10_000, ge=1, description="Number of newest output lines kept for each task or experiment."
    )
    max_log_bytes: int = Field(
        10_000_000, ge=1, description="Limit of these lines for each task or experiment, in bytes."
    )
    max_run_steps: int = Field(
        10_000_000, ge=1, description="Limit of steps of dt between start and stop of a scenario."
    )
    max_operations_per_request: int = Field(
        500_000_000,
        ge=1,
        description="Limit of operations (nodes of the equations × steps of dt) in a /run or /execute.",
    )
    traces: str | None = Field(
        None,
        description="URL of an OpenTelemetry collector that takes OTLP over HTTP, such as "
        "http://127.0.0.1:4318; requires the extra `otel`. Without it nothing is traced.",
    )
    log_level: str = Field("INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(
        False, description="Write log lines, and the announcement at the start, as JSON instead of text."
    )
    access_log: bool = Field(False, description="Log every request, not only those answered with an error.")

    @model_validator(mode="before")
    @classmethod
    def _read_tokens(cls, values: dict[str, Any]) -> dict[str, Any]:
        tokens, file = values.get("tokens", {}), values.get("tokens_file")
        if isinstance(tokens, str):
            shape = "PERDURE_TOKENS is a list of owner:token, separated by commas."
            tokens = _token_pairs(tokens.split(","), shape)
        given = values.get("administrators", ())
        administrators = _names(given) if isinstance(given, str) else tuple(given)
        if file is not None:
            shape = (
                f"Each line of {file} is owner:token, or `administrator` and an owner; empty ones and those "
                "that begin with # don't count."
            )
            lines = [line.strip() for line in _private_text(Path(file)).splitlines()]
            named = [found[1] for line in lines if (found := _ADMINISTRATOR.fullmatch(line))]
            pairs = (line for line in lines if not (line.startswith("#") or _ADMINISTRATOR.fullmatch(line)))
            more = _token_pairs(pairs, shape)
            if not more:
                raise Invalid(f"There is no token in {file}; write at least one line of owner:token.")
            tokens = {owner: (*tokens.get(owner, ()), *more.get(owner, ())) for owner in {**tokens, **more}}
            administrators = (*administrators, *named)
        for owner in administrators:
            if owner not in tokens:
                raise Invalid(f"The administrator {owner!r} has no token; give one to that owner as well.")
        return {**values, "tokens": tokens, "administrators": tuple(dict.fromkeys(administrators))}

    @field_validator("tokens")
    @classmethod
    def _one_owner_each(cls, tokens: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        owners: dict[str, str] = {}
        for owner, secrets in tokens.items():
            for token in (secret.get_secret_value() for secret in secrets):
                if token in owners:
                    raise Invalid(
                        f"{owners[token]!r} and {owner!r} have the same token; give each a token of its own."
                    )
                owners[token] = owner
        return tokens

    @field_validator("savepoint_keep")
    @classmethod
    def _enough_to_restore(cls, keep: int) -> int:
        if keep < FEWEST_SAVEPOINTS:  # former releases accepted 1, so a server with it must still start
            warnings.warn(
                f"PERDURE_SAVEPOINT_KEEP={keep} is read as {FEWEST_SAVEPOINTS}: a restore begins before the "
                f"last savepoint. Set it to {FEWEST_SAVEPOINTS} or more.",
                stacklevel=2,
            )
        return max(keep, FEWEST_SAVEPOINTS)

    @field_validator("hosts")
    @classmethod
    def _names_only(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if _HOST.fullmatch(host) is None:
                raise Invalid(
                    f"PERDURE_HOSTS is a list of names separated by commas, without scheme, port or path; "
                    f"{host!r} isn't a name."
                )
        return hosts

    @field_validator("cors_origins")
    @classmethod
    def _origins_only(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise Invalid(
                    f"PERDURE_CORS_ORIGINS is a list separated by commas, as in https://page.example; "
                    f"{origin!r} isn't an origin."
                )
        return origins

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, path: str | None) -> str | None:
        if path is not None and _ROOT_PATH.fullmatch(path) is None:
            raise ValueError(f"must be a path as in /simulations, without a slash at its end, not {path!r}")
        return path

    @field_validator("extra_ports")
    @classmethod
    def _ports_only(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if not all(0 <= port <= LARGEST_PORT for port in ports):
            raise ValueError(f"must be ports from 0 to {LARGEST_PORT}, separated by commas")
        return ports

    @field_validator("extra_ports", "hosts", "cors_origins", "tasks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _names(value) if isinstance(value, str) else value

    @field_validator("keep_finished", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        days: dict[str, float] = {}
        for part in _names(value):
            kind, separator, number = (text.strip() for text in part.rpartition("="))
            kinds = (kind,) if separator else KINDS
            try:
                found = {each: float(number) for each in kinds}
            except ValueError:
                found = {}
            if not found or not set(kinds) <= set(KINDS) or found.keys() & days.keys():
                raise ValueError(
                    "must be a number of days, or one for each kind, such as task=30,session=90 "
                    f"(the kinds are {', '.join(KINDS)}), not {value!r}"
                )
            days |= found
        return days

    @field_validator("keep_finished")
    @classmethod
    def _more_than_no_days(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < days < math.inf for days in value.values()):
            raise ValueError("must be finite numbers of days above 0; leave it empty to keep all runs")
        return value

    @field_validator("run_as", mode="before")
    @classmethod
    def _range(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        first, separator, last = value.partition("-")
        if not (separator and first.strip().isdecimal() and last.strip().isdecimal()):
            raise ValueError(f"must be a range of numbers such as 200000-265535, not {value!r}")
        return int(first), int(last)

    @field_validator("run_as")
    @classmethod
    def _no_system_ids(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not SYSTEM_IDS < value[0] <= value[1] <= LARGEST_ID:
            raise ValueError(f"must be a range of numbers from {SYSTEM_IDS + 1} to {LARGEST_ID}, upwards")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()


def unknown_variables(environment: Iterable[str]) -> dict[str, str | None]:
    """Return the names of an environment that look like settings but aren't, with the most similar setting.

    >>> unknown_variables(["PERDURE_PORT", "PERDURE_PROT", "HOME"])
    {'PERDURE_PROT': 'PERDURE_PORT'}
    """
    settings = {name.upper() for name in Settings.model_fields}
    known = settings | _OF_COMMANDS
    unknown = {}
    for name in sorted(environment):
        rest = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and rest not in known:
            meant = nearest(rest, settings)
            unknown[name] = None if meant is None else f"{PREFIX}{meant}"
    return unknown


def warn_of_unknown_variables() -> None:
    """Log each variable of the environment that looks like a setting but isn't one."""
    for name, meant in unknown_variables(os.environ).items():
        suggestion = "" if meant is None else f"; did you mean {meant}?"
        log.warning("unknown_setting", name=name, meaning=f"there is no such setting{suggestion}")


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _token_pairs(pairs: Iterable[str], shape: str) -> dict[str, tuple[str, ...]]:
    """Return the tokens of each owner; raise `Invalid` with `shape` if an item isn't owner:token."""
    tokens: dict[str, tuple[str, ...]] = {}
    for pair in filter(None, (pair.strip() for pair in pairs)):
        owner, _, token = (part.strip() for part in pair.partition(":"))
        if not owner or not token:
            raise Invalid(shape)
        tokens[owner] = (*tokens.get(owner, ()), token)
    return tokens


def _private_text(path: Path) -> str:
    """Return the text of a file or pipe; raise `Invalid` if it can't be read, or if others can read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
                raise Invalid(f"{path} is no file; put the tokens into a file.")
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise Invalid(f"Other users may use {path} (mode {mode:04o}): `chmod 600 {path}`.")
            if status.st_uid not in (0, os.geteuid()):
                raise Invalid(f"{path} belongs to another user; it must belong to the server's user or root.")
            return file.read().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else "it isn't UTF-8"
        raise Invalid(f"The tokens in {path} can't be read: {reason}.") from error
