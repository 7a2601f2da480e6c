"""The scenes of experiments: what of a run's engines can be drawn, and pictures of it.

A picture shows a savepoint, or the run as it is now: what its worker shows of it while somebody watches, or
the newest savepoint if that is as new. It is drawn of a copy of the state, in another process.
"""

import hashlib
import json
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import msgspec

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.drivers.experiments.configuration import read as read_configuration
from perdure.drivers.experiments.scene_renderers import NO_LIBRARY, SceneRenderers, off_screen
from perdure.drivers.experiments.scene_views import PictureRequest, SceneView
from perdure.drivers.experiments.spec import KIND, ExperimentSpec
from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Owner
from perdure.drivers.threads import Threads
from perdure.engines.kinds import engine_kinds
from perdure.engines.python_script.simulators import SIMULATORS
from perdure.errors import NoSavepoint, SceneNotFound, SceneUnavailable
from perdure.execution.views import newest_view, watch
from perdure.lifecycle import RunStatus
from perdure.run import Run
from perdure.state.codec import decode, encode
from perdure.stores.base import Store

__all__ = ["Picture", "RunScene", "Scenes"]

CONFIGURATIONS = 64  # kept in memory; a version of an experiment never changes

NO_WORKER = (
    "this server has no worker, and drawing may run code of owners, as workers do; ask a server that has one"
)
SWITCHED_OFF = "this server draws no scenes; start it with PERDURE_MAX_SCENES=2"


class RunScene(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that has a scene, and why it can't be drawn; empty if there is no known reason."""

    engine: str
    simulator: str
    world: str
    reason: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of an engine's scene.

    Attributes
    ----------
    png
        The PNG file; None if the reader has it.
    tag
        Differs when the picture does.
    timestamp
        The simulation time that it shows, in nanoseconds.
    live
        Whether it shows the running simulation, and not a savepoint.
    """

    png: bytes | None
    tag: str
    timestamp: int
    live: bool


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture shows: a scene by its time, and the attempt that shows it, or the savepoint."""

    timestamp: int
    token: int | None
    view: SceneView | None = None


class Scenes:
    """The scenes of the runs of a store.

    Parameters
    ----------
    store, artifacts
        Where runs and experiments are.
    renderers
        Draw pictures, and are their opener's; None draws none.
    limit
        How many processes may draw; 0 draws none.
    """

    def __init__(
        self, store: Store, artifacts: Artifacts, renderers: SceneRenderers | None, limit: int
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._renderers = renderers
        self._off = NO_WORKER if renderers is None else "" if limit else SWITCHED_OFF
        self._threads = Threads()
        self._visible = lru_cache(CONFIGURATIONS)(self._read_visible)

    async def scenes(self, owner: Owner, run_id: str) -> list[RunScene]:
        """Return the engines of a run that have scenes."""
        run = await self._find(owner, run_id)
        return await self._threads.compute(
            lambda: [
                RunScene(
                    engine=engine.name,
                    simulator=engine.simulator or "",
                    world=engine.world or "",
                    reason=self._reason(engine),
                )
                for engine in self._engines(run)
            ]
        )

    async def picture(
        self,
        owner: Owner,
        run_id: str,
        name: str,
        *,
        savepoint: int | None,
        width: int,
        height: int,
        known: str = "",
    ) -> Picture:
        """Return a picture of an engine's scene.

        Parameters
        ----------
        name
            The engine's; empty for the first one that has a scene.
        savepoint
            The timestamp of the savepoint to draw; None draws the run as it is now, and has its worker show
            it for a while.
        width, height
            The size in pixels, of a MuJoCo scene.
        known
            The tag of the picture that the reader has.

        Raises
        ------
        SceneNotFound
            If no such engine has a scene.
        SavepointNotFound, NoSavepoint
            If there is nothing to draw.
        SceneUnavailable, TooManyScenes
            If it can't be drawn, or not now.
        """
        run = await self._find(owner, run_id)
        engine = await self._threads.compute(lambda: self._engine(run, name))
        if reason := await self._threads.compute(lambda: self._reason(engine)):
            raise SceneUnavailable(engine=engine.name, reason=reason)
        assert self._renderers is not None, "there is a reason otherwise"
        if savepoint is None and run.state is RunStatus.STARTED:
            await watch(self._store, run.id)
        found = await self._threads.read(lambda: self._found(run, engine.name, savepoint))
        version = (run.number, found.timestamp, found.token, engine.name, width, height)
        tag = hashlib.sha256(repr(version).encode()).hexdigest()[:32]
        live = found.token is not None
        if known == tag:
            return Picture(png=None, tag=tag, timestamp=found.timestamp, live=live)
        request = await self._threads.compute(lambda: self._request(run, engine, found, width, height))
        drawn = await self._renderers.draw(run, request, version)
        return Picture(png=drawn, tag=tag, timestamp=found.timestamp, live=live)

    async def _find(self, owner: Owner, run_id: str) -> Run:
        return await self._threads.read(lambda: find_run(self._store, owner, run_id, KIND))

    def _reason(self, engine: EngineConfiguration) -> str:
        """Return why an engine can't be drawn, as far as that is known without trying."""
        if self._off:
            return self._off
        package = SIMULATORS[engine.simulator or ""]
        if find_spec(package) is None:
            return f"it needs the package {package!r}; install it with: pip install 'perdure[{package}]'"
        if package == "mujoco" and off_screen() is None:
            return NO_LIBRARY
        return ""

    def _engines(self, run: Run) -> list[EngineConfiguration]:
        """Return the engines with scenes of a run, as its configuration has them."""
        spec = ExperimentSpec.from_blob(run.spec)
        return self._visible(run.owner, spec.experiment, spec.version, spec.configuration)

    def _read_visible(
        self, owner: str, experiment: str, version: int, path: str
    ) -> list[EngineConfiguration]:
        experiments = self._artifacts.experiments(owner)
        file = experiments.version(experiment, version).files[path]
        data = json.loads(b"".join(experiments.read(experiment, file)))
        configuration = read_configuration(data, engine_kinds(), file=path)
        return [engine for engine in configuration.engines if engine.simulator is not None]

    def _engine(self, run: Run, name: str) -> EngineConfiguration:
        found = [engine for engine in self._engines(run) if name in ("", engine.name)]
        if not found:
            raise SceneNotFound(run=run.id, engine=name)
        return found[0]

    def _found(self, run: Run, engine: str, savepoint: int | None) -> _Found:
        """Return what to draw: a savepoint, or the newest that there is."""
        if savepoint is not None:
            return _Found(timestamp=savepoint, token=None)
        saved = max((info.timestamp for info in self._store.savepoints(run.id)), default=None)
        if run.state is RunStatus.STARTED:
            stored, execution = newest_view(self._store, run.id), self._store.execution(run.id)
            if stored is not None and stored.token == execution.fence:
                view = SceneView.from_blob(stored.view)
                if engine in view.scenes and (saved is None or view.timestamp > saved):
                    return _Found(timestamp=view.timestamp, token=stored.token, view=view)
        if saved is None:
            raise NoSavepoint(run=run.id)
        return _Found(timestamp=saved, token=None)

    def _request(
        self, run: Run, engine: EngineConfiguration, found: _Found, width: int, height: int
    ) -> PictureRequest:
        if found.view is not None:
            scene = found.view.scenes[engine.name]
            if scene.state is None:
                raise SceneUnavailable(engine=engine.name, reason=scene.reason)
            state = scene.state
        else:
            state = self._saved_scene(run, engine, found.timestamp)
        spec = ExperimentSpec.from_blob(run.spec)
        return PictureRequest(
            engine=engine.name,
            simulator=engine.simulator or "",
            world=engine.world or "",
            script=engine.script or "",
            seed=spec.seed,
            folder="",
            scene=state,
            width=width,
            height=height,
        )

    def _saved_scene(self, run: Run, engine: EngineConfiguration, timestamp: int) -> bytes:
        """Return the scene of an engine in a savepoint, encoded."""
        entities = self._store.savepoint(run.id, timestamp).entities
        entity = entities.get(f"engine/{engine.name}")
        if entity is None:
            raise SceneUnavailable(engine=engine.name, reason="it isn't in that savepoint")
        recorded: Any = decode(entity)
        base, steps, _ = recorded
        if base is None or steps:
            reason = "its state can't be saved, so savepoints have only the inputs that led to it"
            raise SceneUnavailable(engine=engine.name, reason=reason)
        whole: Any = decode(base)
        state = whole["simulator"]
        if engine.simulator == "Mujoco":
            state = {"integration": state["integration"]}
        return encode(state)
