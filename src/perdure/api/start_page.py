"""The start page: where the server answers, what it serves to the caller, and where to go next.

Links between the pages are relative, so that they lead there behind any prefix.
"""

import json
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import Final
from urllib.parse import quote

from starlette.requests import Request

from perdure import __version__
from perdure.api.login_page import logged_in
from perdure.engines.kinds import engine_kinds
from perdure.errors import PerdureError
from perdure.scenarios import Manager
from perdure.web.auth import NOBODY, caller_of
from perdure.web.origins import host_name
from perdure.web.services import AppServices

__all__ = ["address_of", "start_page"]

MOST = 50  # managers, tasks or experiments that are listed
MOST_SCENARIOS = 12  # of one manager
LONGEST_NAME = 100  # characters

_LINKS: Final = (
    ("/docs", "every route, with what it takes and answers"),
    ("/openapi.json", "the same for programs, as an OpenAPI document"),
    ("/models", "the models and scenarios that can be run"),
    ("/scenarios", "the scenarios of each manager"),
    ("/tasks", "the tasks that can be queued"),
    ("/experiments", "the experiments that can be run"),
    ("/runs", "the runs, newest first"),
    ("/full-metrics", "where your instances stand"),
    ("/metrics", "numbers for Prometheus"),
    ("/ready", "whether the store can be written"),
)


async def start_page(request: Request, serving: AppServices, paths: Iterable[str]) -> str:
    """Return the page's body.

    Parameters
    ----------
    request
        The request for it: where it was sent to, and by whom.
    serving
        What is served.
    paths
        The paths that the server answers.
    """
    served = frozenset((*paths, "/openapi.json"))
    address = address_of(request)
    parts = [
        f"<header>\n<h1>Perdure <small>{escape(__version__)}</small></h1>",
        f'<p class="address"><code>{escape(address)}</code></p>',
        "<p>Simulations that outlive their server: every acknowledged step is durable, and after any crash a "
        "run goes on with exactly the numbers it would have had.</p>\n</header>\n<main>",
    ]
    caller = caller_of(request.scope)
    if caller.by_cookie:
        parts.append(logged_in(caller))
    if caller is not NOBODY:
        parts.append(await _served(request, serving, served))
    else:
        otherwise = ' <a href="login">Log in</a>, or send it:' if "/login" in served else ""
        asking = f"curl -H 'Authorization: Bearer TOKEN' {shlex.quote(address)}/"
        parts.append(
            f"<p>Requests need a token. With it this page also says what is served.{otherwise}</p>"
            f"<pre>{escape(asking)}</pre>"
        )
    links = "".join(
        f'<li class="panel"><a href="{path[1:]}">{path}</a><span>{words}</span></li>\n'
        for path, words in _LINKS
        if path in served
    )
    parts.append(f'<h2>Go on</h2>\n<ul class="plain links">\n{links}</ul>\n</main>')
    return "\n".join(parts)


def address_of(request: Request) -> str:
    """Return where a request was sent to, as its client wrote it: scheme, host and port."""
    host = request.headers.get("host", "")
    if not host_name(host):
        name, port = request.scope.get("server") or ("127.0.0.1", None)
        host = "localhost" if port is None else f"{name}:{port}"
    return f"{request.scope['scheme']}://{host}{request.scope.get('root_path', '')}"


async def _served(request: Request, serving: AppServices, paths: frozenset[str]) -> str:
    managers = list(serving.catalogue)
    listed = [_manager(manager, "/models" in paths) for manager in managers]
    listed += [
        f'<strong>{_text(name)}</strong> <span class="faint">can\'t be served: {escape(reason)}</span>'
        for name, reason in serving.catalogue.unusable.items()
    ]
    parts = [_section("Scenario managers", listed, "none")]
    if "/tasks" in paths:
        tasks = [f"<code>{_text(task.name)}</code>" for task in serving.tasks.offered]
        parts.append(_section("Tasks", tasks, "none can be queued here"))
    if "/experiments" in paths:
        parts.append(await _experiments(request, serving))
        engines = " ".join(f"<span><code>{_text(name)}</code></span>" for name in engine_kinds())
        parts.append(f'<h2>Engines</h2>\n<p class="names">{engines}</p>')
    parts.append(_first_steps(address_of(request), managers, paths))
    return "\n".join(parts)


async def _experiments(request: Request, serving: AppServices) -> str:
    if not serving.experiments.allowed:
        return _section("Experiments", [], "they are not allowed here")
    owned = serving.artifacts.experiments(caller_of(request.scope).name)
    try:
        found = await serving.transfers.run(owned.all)
    except PerdureError as error:
        return _section("Experiments", [], _text(str(error)))
    items = [f'<a href="experiments/{quote(each.name, safe="")}">{_text(each.name)}</a>' for each in found]
    return _section("Experiments", items, "none yet: send one to <code>POST /experiments</code>")


def _manager(manager: Manager, linked: bool) -> str:
    name = f"<strong>{_text(manager.name)}</strong>"
    if linked:
        # A name that no URL can have is replaced there as on the page.
        path = quote(manager.name, safe="", errors="replace")
        name = f'<a href="models/{path}">{name}</a>'
    shown = [f"<span>{_text(scenario)}</span>" for scenario in islice(manager.scenarios, MOST_SCENARIOS)]
    if len(manager.scenarios) > MOST_SCENARIOS:
        shown.append(f"<span>and {len(manager.scenarios) - MOST_SCENARIOS} more</span>")
    return (
        f'{name} <span class="faint">model {_text(manager.model.name)}</span>'
        f'<div class="names">{" ".join(shown) or "no scenarios"}</div>'
    )


def _section(title: str, items: Sequence[str], without: str) -> str:
    """Return a section with a list; `items` and `without`, said where there are none, are HTML."""
    if not items:
        return f'<h2>{title}</h2>\n<p class="faint">{without}</p>'
    shown = [f"<li>{item}</li>" for item in items[:MOST]]
    if len(items) > MOST:
        shown.append(f'<li class="faint">and {len(items) - MOST} more</li>')
    return f'<h2>{title}</h2>\n<ul class="plain panel">\n' + "\n".join(shown) + "\n</ul>"


def _first_steps(address: str, managers: Sequence[Manager], paths: frozenset[str]) -> str:
    """Return commands that begin a session of what is served, or an empty text if nothing is."""
    found = next((manager for manager in managers if manager.scenarios), None)
    if found is None:
        return ""
    scenario = next(iter(found.scenarios))
    if "/runs" in paths:
        body = {"kind": "session", "scenarios": {found.name: [scenario]}}
        lines = [
            _curl(address, "/runs", body),
            _curl(address, "/runs/RUN/steps", {"steps": 10}),
            f"curl {shlex.quote(address)}/runs/RUN/results",
        ]
    else:
        session = {"scenario_managers": [found.name], "scenarios": [scenario]}
        session["equations"] = list(islice(found.model.outputs, 1))
        lines = [
            f"curl -X POST {shlex.quote(address)}/start-instance",
            _curl(address, "/INSTANCE/begin-session", session),
            f"curl -X POST {shlex.quote(address)}/INSTANCE/run-step",
        ]
    return f"<h2>A session, step by step</h2>\n<pre>{escape(chr(10).join(lines))}</pre>"


def _curl(address: str, path: str, body: object) -> str:
    url, text = f"{shlex.quote(address)}{path}", json.dumps(body, ensure_ascii=False)
    return f"curl {url} -H 'Content-Type: application/json' \\\n     -d {shlex.quote(text)}"


def _text(text: str) -> str:
    return escape(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…")
