"""Every format has the same programs, whose commands and settings are ones that Perdure has."""

import configparser
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import typer
import yaml
from tests.support.postgres import DEBIAN
from tests.support.services import program
from typer.testing import CliRunner

from perdure.cli.commands import app
from perdure.errors import Invalid, SettingsMissing
from perdure.execution.broker import celery_app
from perdure.settings import PREFIX, Settings

SECRETS = {"PERDURE_TOKENS": "ada:secret", "PGPASSWORD": "x", "POSTGRES_PASSWORD": "x"}
FORMATS = ("supervisor", "systemd", "compose", "kubernetes")


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["deploy", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


Programs = dict[str, tuple[list[str], dict[str, str]]]
"""Program → its words after the program's name, and its environment."""


def of_supervisor(text: str) -> Programs:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=True)
    parser.read_string(text)
    found: Programs = {}
    for section in parser.sections():
        if section.startswith("program:"):
            command = shlex.split(parser[section]["command"].replace("%%", "%"))
            pairs = re.findall(r'(\w+)="([^"]*)"', parser[section]["environment"].replace("%%", "%"))
            found[section.removeprefix("program:")] = (command[1:], dict(pairs))
    return found


def of_systemd(text: str) -> Programs:
    found: Programs = {}
    for part in text.split("# ---- ")[1:]:
        name = part.partition("\n")[0]
        if name.endswith(".service"):
            values = [line.partition("=")[::2] for line in part.splitlines() if "=" in line]
            command = next(value for key, value in values if key == "ExecStart")
            pairs = [
                shlex.split(value.replace("%%", "%"))[0].partition("=")[::2]
                for key, value in values
                if key == "Environment"
            ]
            words = shlex.split(command.replace("%%", "%").replace("$$", "$"))
            found[name.removeprefix("perdure-").removesuffix(".service")] = (words[1:], dict(pairs))
    return found


def of_compose(text: str) -> Programs:
    found: Programs = {}
    for name, service in yaml.safe_load(text)["services"].items():
        environment = {
            key: SECRETS[key] if value.startswith("${") else value.replace("$$", "$")
            for key, value in service.get("environment", {}).items()
        }
        found[name] = ([word.replace("$$", "$") for word in service.get("command", [""])[1:]], environment)
    return found


def of_kubernetes(text: str) -> Programs:
    found: Programs = {}
    for container in containers(text):
        environment = {
            item["name"]: item.get("value", SECRETS.get(item["name"])) for item in container.get("env", ())
        }
        found[container["name"]] = (container.get("command", [""])[1:], environment)
    return found


def containers(text: str) -> list[Any]:
    documents = list(yaml.safe_load_all(text))
    return [
        each
        for it in documents
        if "template" in it["spec"]
        for each in it["spec"]["template"]["spec"]["containers"]
    ]


READ = {
    "supervisor": of_supervisor,
    "systemd": of_systemd,
    "compose": of_compose,
    "kubernetes": of_kubernetes,
}


def options_of(words: Sequence[str]) -> Mapping[str, Any]:
    """Parse the words of a command as the command line does; an unknown option is an error."""
    group: Any = typer.main.get_command(app)
    name, *rest = words
    parameters: Mapping[str, Any] = group.commands[name].make_context(name, list(rest)).params
    return parameters


@pytest.mark.parametrize("form", FORMATS)
def test_commands_and_settings_are_those_of_perdure_and_mean_what_was_asked_for(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(
        form,
        "my models.py:make $100 100%",
        "--port",
        "8000",
        "--port",
        "8005",
        "--setting",
        "task_timeout=600",
        "--setting",
        "PERDURE_RESULT_EXPIRES=604800",
        "--setting",
        "working_folders=50% of $HOME",
    )
    programs = READ[form](text)
    assert list(programs) == ["server"]
    words, environment = programs["server"]
    assert words[0] == "serve"
    assert options_of(words)["models"] == "my models.py:make $100 100%"
    for name in environment:
        assert name.startswith(PREFIX)
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields
        monkeypatch.setenv(name, environment[name])
    settings = Settings()
    assert (settings.port, settings.extra_ports) == (8000, (8005,))
    assert (settings.task_timeout, settings.result_expires) == (600, 604800)
    assert str(settings.working_folders).endswith("50% of $HOME")
    if form in ("compose", "kubernetes"):
        assert settings.host == "0.0.0.0"
        assert settings.tokens.keys() == {"ada"}
        assert settings.store == "sqlite:////data/perdure.db"
    else:
        assert settings.host == "127.0.0.1"
        assert settings.store == f"sqlite:///{Path.cwd() / 'perdure-data' / 'perdure.db'}".replace(" ", "%20")


@pytest.mark.parametrize("form", FORMATS)
def test_the_ports_of_the_seeds_clients_are_the_default(form: str) -> None:
    _, environment = READ[form](printed(form))["server"]
    assert (environment["PERDURE_PORT"], environment["PERDURE_EXTRA_PORTS"]) == ("5000", "5005")


@pytest.mark.parametrize("form", FORMATS)
def test_workers_have_the_store_of_the_server_and_options_that_workers_have(form: str) -> None:
    url = "postgresql://database/perdure"
    programs = READ[form](printed(form, "--workers", "2", "--store", url, "--broker", "none"))
    assert {re.sub(r"-\d$", "", name) for name in programs} == {"server", "worker"}
    for name, (words, environment) in programs.items():
        assert words[0] == ("serve" if name == "server" else "worker")
        options_of(words)
        assert environment["PERDURE_STORE"] == url
        assert ("PERDURE_PORT" in environment) == (name == "server")
        for variable in environment:
            assert variable.removeprefix(PREFIX).lower() in Settings.model_fields
    folders = [environment["PERDURE_WORKING_FOLDERS"] for _, environment in programs.values()]
    assert len(set(folders)) == len(folders)
    assert len({environment["PERDURE_ARTIFACTS"] for _, environment in programs.values()}) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_database_and_a_broker_are_included_unless_there_are_some(form: str) -> None:
    program("initdb", "PostgreSQL", "postgresql", *sorted(DEBIAN.glob("*/bin")))
    program("redis-server", "Redis", "redis-server")
    text = printed(form, "--workers", "1", "--user", "daemon", "--data", "/srv/perdure")
    programs = READ[form](text)
    settings = programs["server"][1]
    store, broker = urlsplit(settings["PERDURE_STORE"]), urlsplit(settings["PERDURE_BROKER"])
    assert celery_app(settings["PERDURE_BROKER"]).conf.broker_read_url == settings["PERDURE_BROKER"]
    assert store.scheme == "postgresql"
    for name, (_, environment) in programs.items():
        if name.startswith("worker"):
            assert environment["PERDURE_STORE"] == settings["PERDURE_STORE"]
            assert environment["PERDURE_BROKER"] == settings["PERDURE_BROKER"]
    words, environment = programs["database"]
    if form == "compose":
        services = yaml.safe_load(text)["services"]
        assert environment["POSTGRES_USER"] == store.username
        assert (store.port, broker.port) == (5432, 6379)  # of the images
        assert services["server"]["depends_on"].keys() == {store.hostname, broker.hostname}
        assert services[store.hostname]["image"].startswith("postgres:")
        assert services[broker.hostname]["image"].startswith("redis:")
        assert "ports" not in services[store.hostname]
    elif form == "kubernetes":
        ports = {
            each["metadata"]["name"]: [port["port"] for port in each["spec"]["ports"]]
            for each in yaml.safe_load_all(text)
            if each["kind"] == "Service"
        }
        assert ports[store.hostname] == [store.port] and ports[broker.hostname] == [broker.port]
    else:
        (folder,) = parse_qs(store.query)["host"]
        assert folder in re.findall(r"unix_socket_directories=(\S+)", words[-1])
        for tool in re.findall(r"\S*(?:initdb|postgres) ", words[-1]):
            assert Path(tool.strip()).is_absolute()
        redis = programs["broker"][0]
        assert redis[redis.index("--unixsocket") + 1] == unquote(broker.path)
        assert redis[redis.index("--save") + 1] == ""


def test_what_is_not_installed_on_this_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *given, **named: None)
    workers = ("supervisor", "--workers", "1", "--user", "daemon")
    with pytest.raises(Invalid, match="apt-get install postgresql"):
        printed(*workers)
    with pytest.raises(Invalid, match="apt-get install redis-server"):
        printed(*workers, "--store", "postgresql:///x")


def test_a_database_as_root_is_refused() -> None:
    with pytest.raises(Invalid, match="--user"):
        printed("systemd", "--workers", "1", "--user", "root")


def test_a_broker_without_workers_is_refused() -> None:
    with pytest.raises(SettingsMissing, match="--workers"):
        printed("supervisor", "--broker", "redis://127.0.0.1:6379/0")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("task_time=5", "task_time"),
        ("task_timeout=x", "PERDURE_TASK_TIMEOUT"),
        ("task_timeout", "NAME=VALUE"),
    ],
)
def test_settings_that_perdure_would_refuse_are_refused(given: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        printed("systemd", "--setting", given)


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a ;b", "a #b"])
def test_what_supervisord_would_read_as_something_else_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="supervisord"):
        printed("supervisor", "--setting", f"artifacts={value}")


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(Invalid, match="nobody-of-that-name"):
        printed("supervisor", "--user", "nobody-of-that-name")


def test_supervisord_gives_the_group_its_socket_and_every_log_has_a_folder_of_the_user() -> None:
    text = printed("supervisor", "--user", "daemon", "--group", "games", "--data", "/srv/perdure")
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(text)
    socket = parser["unix_http_server"]
    assert (socket["chmod"], socket["chown"]) == ("0770", "daemon:games")
    assert parser["supervisorctl"]["serverurl"] == f"unix://{socket['file']}"
    assert parser["supervisord"]["user"] == "daemon"
    made = shlex.split(next(line for line in text.splitlines() if "install -d" in line).removeprefix(";"))
    assert made[:7] == ["install", "-d", "-o", "daemon", "-g", "games", "-m"]
    for section in parser.values():
        for key in ("file", "logfile", "pidfile", "stdout_logfile", "stderr_logfile"):
            if key in section:
                assert str(Path(section[key]).parent) in made
    for name in parser.sections():
        if name.startswith(("program:", "eventlistener:")):
            assert parser[name]["autorestart"] == "true"
            assert Path(shlex.split(parser[name]["command"])[0]).is_absolute()
    health = shlex.split(parser["eventlistener:server-health"]["command"])[1:]
    assert options_of(health)["restart"] == "server"
    assert options_of(health)["server"] == "http://127.0.0.1:5000"


def test_systemd_is_notified_by_the_server_and_stops_only_the_program_itself() -> None:
    text = printed("systemd", "--user", "daemon", "--data", "/srv/perdure")
    unit = text.partition("# ---- perdure-server.service")[2].partition("# ----")[0]
    for line in ("Type=notify", "WatchdogSec=60", "Restart=always", "KillMode=mixed", "User=daemon"):
        assert line in unit.splitlines()
    assert "/srv/perdure/log" in next(line for line in unit.splitlines() if line.startswith("ExecStartPre=+"))
    assert "Wants=perdure-server.service" in text.splitlines()


def test_compose_publishes_the_ports_of_the_server_and_checks_it() -> None:
    compose = yaml.safe_load(printed("compose", "--port", "8000", "--port", "8005"))
    server = compose["services"]["server"]
    assert server["ports"] == ["8000:8000", "8005:8005"]
    kind, *check = server["healthcheck"]["test"]
    assert kind == "CMD"
    assert options_of(check[1:])["server"] == "http://127.0.0.1:8000"
    assert server["restart"] == "unless-stopped"
    volume, _, folder = server["volumes"][0].partition(":")
    assert volume in compose["volumes"]
    assert server["environment"]["PERDURE_STORE"].startswith(f"sqlite:///{folder}/")
    inline = server["build"]["dockerfile_inline"].replace("$$", "$")
    assert inline == printed("containerfile", "--port", "8000", "--port", "8005")
    assert "EXPOSE 8000 8005" in inline.splitlines()


def test_kubernetes_probes_and_services_lead_to_the_ports_of_the_server() -> None:
    text = printed("kubernetes", "--port", "8000", "--port", "8005")
    (container,) = containers(text)
    assert [port["containerPort"] for port in container["ports"]] == [8000, 8005]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: (probe["path"], probe["port"]) for kind, probe in probes.items()} == {
        "startup": ("/ready", 8000),
        "readiness": ("/ready", 8000),
        "liveness": ("/healthy", 8000),
    }
    _, service, pods = yaml.safe_load_all(text)
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [8000, 8005]
    assert service["spec"]["selector"].items() <= pods["spec"]["template"]["metadata"]["labels"].items()
    assert pods["spec"]["template"]["spec"]["enableServiceLinks"] is False
    assert pods["kind"] == "StatefulSet"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pods["spec"]["template"]["spec"]["volumes"]}
    claims = {each["metadata"]["name"] for each in yaml.safe_load_all(text) if each["kind"].endswith("Claim")}
    assert claims == {"perdure-data"}


def test_files_are_written_into_a_folder(tmp_path: Path) -> None:
    printed("systemd", "--output", str(tmp_path / "units"))
    assert {path.name for path in (tmp_path / "units").iterdir()} == {
        "perdure-server.service",
        "perdure.target",
    }
