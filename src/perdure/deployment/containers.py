"""Configurations for containers: a Containerfile, a file for Compose, and manifests for Kubernetes."""

from collections.abc import Mapping, Sequence
from typing import Any

from perdure import __version__
from perdure.deployment.programs import STOP_SECONDS, Program, variables
from perdure.deployment.yaml import yaml
from perdure.settings import PREFIX

__all__ = ["ADDRESS", "DATA", "IMAGE", "compose", "containerfile", "kubernetes"]

DATA = "/data"
"""Folder of everything that is kept, in a container."""

ADDRESS = "0.0.0.0"
"""Where programs listen: what runs the container publishes its ports."""

IMAGE = f"perdure:{__version__}"
"""The image that is built from the Containerfile."""

FOLDER = "/app"
USER_ID = 10001
CHECK_SECONDS, CHECK_TIMEOUT, CHECK_TRIES = 10, 5, 6
START_SECONDS = 300  # for opening a large store


def containerfile(programs: Sequence[Program]) -> dict[str, str]:
    """Return the Containerfile of the image for all programs, by its file's name."""
    (server,) = (program for program in programs if program.check)
    ports = " ".join(map(str, server.ports))
    check = ", ".join(f'"{word}"' for word in server.check)
    text = f"""\
# Made by `perdure deploy containerfile`. Build it in the folder of your models and tasks,
# with Perdure's wheel in the folder `wheels` there:
#   python -m pip wheel --no-deps --wheel-dir wheels PERDURE'S-FOLDER
#   podman build --tag {IMAGE} .
FROM python:3.13-slim
RUN useradd --uid {USER_ID} --no-create-home perdure && install -d -o perdure -g perdure -m 0750 {DATA}
COPY wheels /wheels
RUN pip install --no-cache-dir --find-links /wheels "perdure=={__version__}"
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
    comment = (
        "# Made by `perdure deploy compose`, for the folder of your models and tasks, with Perdure's wheel\n"
        "# in `wheels`. Secrets are read from the file .env beside it, NAME=value a line.\n"
        "#   docker compose up --build --detach\n"
    )
    return {
        "compose.yaml": comment + yaml({"name": "perdure", "services": services, "volumes": {"data": {}}})
    }


def _service(program: Program, image: str) -> dict[str, Any]:
    secrets = {_variable(name): f"${{{_variable(name)}:?put it into .env}}" for name in program.secrets}
    service: dict[str, Any] = {
        "image": IMAGE,
        "build": {"context": ".", "dockerfile_inline": image.replace("$", "$$")},
        "command": [word.replace("$", "$$") for word in program.command],
        "environment": {
            **{name: value.replace("$", "$$") for name, value in variables(program).items()},
            **secrets,
        },
        "volumes": [f"data:{DATA}"],
        # A first process that reaps: Perdure itself reaps only what its guards leave.
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_SECONDS}s",
    }
    if program.ports:
        service["ports"] = [f"{port}:{port}" for port in program.ports]
    if program.check:
        service["healthcheck"] = {
            "test": ["CMD", *program.check],
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


def kubernetes(programs: Sequence[Program]) -> dict[str, str]:
    """Return the manifests by the name of their file."""
    secrets = list(dict.fromkeys(name for program in programs for name in program.secrets))
    literals = " ".join(f"--from-literal={_key(name)}=…" for name in secrets)
    comment = (
        "# Made by `perdure deploy kubernetes`. "
        f"Its image {IMAGE} is that of `perdure deploy containerfile`.\n"
        f"#   kubectl create secret generic perdure {literals}\n"
        "#   kubectl apply -f perdure.yaml\n"
    )
    documents = [document for program in programs for document in _manifests(program)]
    return {"perdure.yaml": comment + "---\n".join(map(yaml, documents))}


def _manifests(program: Program) -> list[dict[str, Any]]:
    name, labels = f"perdure-{program.name}", {"app": "perdure", "part": program.name}
    environment: list[dict[str, Any]] = [
        {"name": variable, "value": value.replace("$(", "$$(")}
        for variable, value in variables(program).items()
    ]
    environment += [
        {
            "name": _variable(secret),
            "valueFrom": {"secretKeyRef": {"name": "perdure", "key": _key(secret)}},
        }
        for secret in program.secrets
    ]
    container: dict[str, Any] = {
        "name": program.name,
        "image": IMAGE,
        "command": [word.replace("$(", "$$(") for word in program.command],
        "env": environment,
        "volumeMounts": [{"name": "data", "mountPath": DATA}],
    }
    manifests = []
    if program.ports:
        named = {port: f"http-{port}" for port in program.ports}
        container["ports"] = [{"name": of, "containerPort": port} for port, of in named.items()]
        first = {"port": program.ports[0]}
        asked = {"periodSeconds": CHECK_SECONDS, "timeoutSeconds": CHECK_TIMEOUT}
        tries = {**asked, "failureThreshold": CHECK_TRIES}
        container["startupProbe"] = {
            "httpGet": {"path": "/ready", **first},
            **asked,
            "failureThreshold": START_SECONDS // CHECK_SECONDS,
        }
        container["readinessProbe"] = {"httpGet": {"path": "/ready", **first}, **tries}
        container["livenessProbe"] = {"httpGet": {"path": "/healthy", **first}, **tries}
        ports = [{"name": of, "port": port, "targetPort": port} for port, of in named.items()]
        manifests.append(_object("v1", "Service", name, labels, {"selector": labels, "ports": ports}))
    pod = {
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": STOP_SECONDS,
            "enableServiceLinks": False,  # their variables would begin with PERDURE_, as settings do
            "securityContext": {"runAsUser": USER_ID, "runAsGroup": USER_ID, "fsGroup": USER_ID},
            "containers": [container],
        },
    }
    # A stateful set never has two pods of a name at once: a SQLite file is open in one process.
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": pod,
        "volumeClaimTemplates": [claim],
    }
    manifests.append(_object("apps/v1", "StatefulSet", name, labels, spec))
    return manifests


def _object(
    version: str, kind: str, name: str, labels: Mapping[str, str], spec: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": dict(spec),
    }


def _variable(setting: str) -> str:
    return f"{PREFIX}{setting.upper()}"


def _key(setting: str) -> str:
    return setting.replace("_", "-")
