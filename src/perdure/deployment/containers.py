"""Configurations for containers: a Containerfile, a file for Compose, and manifests for Kubernetes."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from perdure import __version__
from perdure.deployment.programs import STOP_SECONDS, Place, Program, Used
from perdure.deployment.yaml import yaml

__all__ = ["IMAGE", "compose", "container_place", "containerfile", "kubernetes"]

IMAGE = f"perdure:{__version__}"
"""The image that is built from the Containerfile."""

ADDRESS = "0.0.0.0"  # what runs a container publishes its ports
FOLDER, DATA, WORKING = "/app", "/data", "/working"
USER_ID = 10001
CHECK_SECONDS, CHECK_TIMEOUT, CHECK_TRIES = 10, 5, 6
START_SECONDS = 300  # for opening a large store
OF_SERVER, OF_DATABASE = "PERDURE_TOKENS", "DATABASE_PASSWORD"  # names of what the operator keeps secret

POSTGRES, REDIS = "postgres:17", "redis:7"


def container_place(host: str) -> Place:
    """Return the containers of a deployment as a place.

    Parameters
    ----------
    host
        The name by which a program is reached by others, with ``{}`` for its name.
    """
    return Place(
        perdure=("perdure",),
        data=DATA,
        working=WORKING,
        address=ADDRESS,
        database=partial(_database, host.format("database")),
        broker=partial(_broker, host.format("broker")),
        numbers_workers=False,
        secrets={OF_SERVER: OF_SERVER},
    )


def _database(host: str) -> Used:
    program = Program(
        name="database",
        command=(),
        variables={"POSTGRES_USER": "perdure", "PGDATA": "/var/lib/postgresql/data/perdure"},
        secrets={"POSTGRES_PASSWORD": OF_DATABASE},
        ports=(5432,),
        check=("pg_isready", "--username", "perdure"),
        image=POSTGRES,
        folder="/var/lib/postgresql/data",
        stop_signal="INT",
    )
    return Used(
        program=program, url=f"postgresql://perdure@{host}:5432/perdure", secrets={"PGPASSWORD": OF_DATABASE}
    )


def _broker(host: str) -> Used:
    program = Program(
        name="broker",
        command=("redis-server", "--save", "", "--appendonly", "no"),
        ports=(6379,),
        check=("redis-cli", "ping"),
        image=REDIS,
    )
    return Used(program=program, url=f"redis://{host}:6379/0")


def containerfile(programs: Sequence[Program]) -> dict[str, str]:
    """Return the Containerfile of the image for all programs, by its file's name."""
    (server,) = (program for program in programs if program.serves_http)
    ports = " ".join(map(str, server.ports))
    check = ", ".join(f'"{word}"' for word in server.check)
    text = f"""\
# Made by `perdure deploy containerfile`. Build it in the folder of your models and tasks,
# with Perdure's wheel in the folder `wheels` there:
#   python -m pip wheel --no-deps --wheel-dir wheels PERDURE'S-FOLDER
#   podman build --tag {IMAGE} .
FROM python:3.13-slim
RUN useradd --uid {USER_ID} --no-create-home perdure && \\
    install -d -o perdure -g perdure -m 0750 {DATA} {WORKING}
COPY wheels /wheels
RUN pip install --no-cache-dir --find-links /wheels "perdure[celery,otel,postgres]=={__version__}"
WORKDIR {FOLDER}
COPY . {FOLDER}
USER {USER_ID}
VOLUME {DATA}
EXPOSE {ports}
HEALTHCHECK --interval={CHECK_SECONDS}s --timeout={CHECK_TIMEOUT}s --retries={CHECK_TRIES} \
--start-period={START_SECONDS}s CMD [{check}]
CMD ["perdure", "serve"]
"""
    return {"Containerfile": text}


def compose(programs: Sequence[Program]) -> dict[str, str]:
    """Return the file of Compose by its name."""
    (image,) = containerfile(programs).values()
    services = {program.name: _service(program, image) for program in programs}
    volumes: dict[str, Any] = {name: {} for name in _volumes(programs)}
    comment = (
        "# Made by `perdure deploy compose`, for the folder of your models and tasks, with Perdure's wheel\n"
        "# in `wheels`. Secrets are read from the file .env beside it, NAME=value a line.\n"
        "#   docker compose up --build --detach\n"
    )
    return {"compose.yaml": comment + yaml({"name": "perdure", "services": services, "volumes": volumes})}


def _service(program: Program, image: str) -> dict[str, Any]:
    built = {"context": ".", "dockerfile_inline": _escaped(image)}
    service: dict[str, Any] = {"image": program.image} if program.image else {"image": IMAGE, "build": built}
    if program.command:
        service["command"] = list(map(_escaped, program.command))
    environment = {name: _escaped(value) for name, value in program.variables.items()}
    environment |= {name: f"${{{secret}:?put it into .env}}" for name, secret in program.secrets.items()}
    if environment:
        service["environment"] = environment
    if mounts := _mounts(program):
        service["volumes"] = [f"{name}:{folder}" for name, folder in mounts.items()]
    service["init"] = True  # a first process that reaps: Perdure itself reaps only what its guards leave
    service["restart"] = "unless-stopped"
    service["stop_grace_period"] = f"{STOP_SECONDS}s"
    service["stop_signal"] = f"SIG{program.stop_signal}"
    if program.serves_http:
        service["ports"] = [f"{port}:{port}" for port in program.ports]
    if program.copies > 1:
        service["deploy"] = {"replicas": program.copies}
    if program.check:
        service["healthcheck"] = {
            "test": ["CMD", *map(_escaped, program.check)],
            "interval": f"{CHECK_SECONDS}s",
            "timeout": f"{CHECK_TIMEOUT}s",
            "retries": CHECK_TRIES,
            "start_period": f"{START_SECONDS}s",
        }
    else:
        service["healthcheck"] = {"disable": True}  # the image's asks the server
    if program.after:
        service["depends_on"] = {name: {"condition": "service_healthy"} for name in program.after}
    return service


def _escaped(text: str) -> str:
    """Return a text in which Compose replaces nothing."""
    return text.replace("$", "$$")


def _mounts(program: Program) -> dict[str, str]:
    """Return the volumes of a program: name → where it finds it."""
    if program.image is None:
        return {"data": DATA}
    return {} if program.folder is None else {program.name: program.folder}


def _volumes(programs: Sequence[Program]) -> list[str]:
    return list(dict.fromkeys(name for program in programs for name in _mounts(program)))


def kubernetes(programs: Sequence[Program]) -> dict[str, str]:
    """Return the manifests by the name of their file."""
    secrets = dict.fromkeys(secret for program in programs for secret in program.secrets.values())
    literals = " ".join(f"--from-literal={_key(secret)}=…" for secret in secrets)
    comment = (
        "# Made by `perdure deploy kubernetes`. "
        f"Its image {IMAGE} is that of `perdure deploy containerfile`.\n"
        f"#   kubectl create secret generic perdure {literals}\n"
        "#   kubectl apply -f perdure.yaml\n"
    )
    # Several processes share the volume of the data, so it has to be one that several hosts can mount.
    shared = sum(program.copies for program in programs if program.image is None) > 1
    documents = [_claim(name, shared=shared and name == "data") for name in _volumes(programs)]
    for program in programs:
        documents += _manifests(
            program, alone=bool(_mounts(program)) and not (shared and program.image is None)
        )
    return {"perdure.yaml": comment + "---\n".join(map(yaml, documents))}


def _claim(name: str, *, shared: bool) -> dict[str, Any]:
    modes = ["ReadWriteMany" if shared else "ReadWriteOnce"]
    spec = {"accessModes": modes, "resources": {"requests": {"storage": "20Gi"}}}
    return _object("v1", "PersistentVolumeClaim", f"perdure-{name}", {"app": "perdure"}, spec)


def _manifests(program: Program, *, alone: bool) -> list[dict[str, Any]]:
    """Return the manifests of a program; `alone` if its volume is for one pod at a time."""
    name, labels = f"perdure-{program.name}", {"app": "perdure", "part": program.name}
    environment: list[dict[str, Any]] = [
        {"name": variable, "value": _unexpanded(value)} for variable, value in program.variables.items()
    ]
    environment += [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": "perdure", "key": _key(secret)}}}
        for variable, secret in program.secrets.items()
    ]
    container: dict[str, Any] = {"name": program.name, "image": program.image or IMAGE}
    if program.command:
        container["command"] = list(map(_unexpanded, program.command))
    if environment:
        container["env"] = environment
    mounts = _mounts(program)
    volumes: list[dict[str, Any]] = [
        {"name": volume, "persistentVolumeClaim": {"claimName": f"perdure-{volume}"}} for volume in mounts
    ]
    if program.image is None:  # what is in a working folder is scratch
        mounts["working"] = WORKING
        volumes.append({"name": "working", "emptyDir": {}})
    if mounts:
        container["volumeMounts"] = [{"name": each, "mountPath": path} for each, path in mounts.items()]
    manifests = []
    if program.ports:
        named = {port: f"port-{port}" for port in program.ports}
        container["ports"] = [{"name": of, "containerPort": port} for port, of in named.items()]
        ports = [{"name": of, "port": port, "targetPort": port} for port, of in named.items()]
        manifests.append(_object("v1", "Service", name, labels, {"selector": labels, "ports": ports}))
        container |= _probes(program)
    pod: dict[str, Any] = {
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "enableServiceLinks": False,  # their variables would begin with PERDURE_, as settings do
        "containers": [container],
    }
    if program.image is None:
        pod["securityContext"] = {"runAsUser": USER_ID, "runAsGroup": USER_ID, "fsGroup": USER_ID}
    if volumes:
        pod["volumes"] = volumes
    spec: dict[str, Any] = {"replicas": program.copies, "selector": {"matchLabels": labels}}
    if alone:  # a stateful set never has two pods of a name
        spec["serviceName"] = name
    spec["template"] = {"metadata": {"labels": labels}, "spec": pod}
    kind = "StatefulSet" if alone else "Deployment"
    return [*manifests, _object("apps/v1", kind, name, labels, spec)]


def _probes(program: Program) -> dict[str, Any]:
    """Return the probes of a container: by HTTP for the server, by their commands for others."""
    asked = {"periodSeconds": CHECK_SECONDS, "timeoutSeconds": CHECK_TIMEOUT}
    tries = {**asked, "failureThreshold": CHECK_TRIES}
    ready: dict[str, Any] = {"exec": {"command": list(program.check)}}
    alive = ready
    if program.serves_http:
        ready, alive = (
            {"httpGet": {"path": path, "port": program.ports[0]}} for path in ("/ready", "/healthy")
        )
    return {
        "startupProbe": {**ready, **asked, "failureThreshold": START_SECONDS // CHECK_SECONDS},
        "readinessProbe": {**ready, **tries},
        "livenessProbe": {**alive, **tries},
    }


def _unexpanded(text: str) -> str:
    """Return a text in which Kubernetes replaces nothing."""
    return text.replace("$(", "$$(")


def _object(
    version: str, kind: str, name: str, labels: Mapping[str, str], spec: Mapping[str, Any]
) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _key(secret: str) -> str:
    return secret.lower().replace("_", "-")
