"""Scenes that can't be drawn say why, and what to do; nothing fails without what draws them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.support.experiment_runs import example
from tests.support.zips import opened, zip_of

from perdure.artifacts import Artifacts
from perdure.drivers.experiments import scene_renderers, scenes
from perdure.drivers.experiments.scene_renderers import SceneRenderers, off_screen
from perdure.drivers.experiments.scenes import Scenes
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.errors import RunNotFound, SceneNotFound, SceneUnavailable
from perdure.run import Run
from perdure.stores.commands import CreateRun
from perdure.stores.memory import MemoryStore

DRAWS = cast(SceneRenderers, object())


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    made = MemoryStore()
    yield made
    made.close()


@pytest.fixture
def artifacts(tmp_path: Path, store: MemoryStore) -> Artifacts:
    made = Artifacts(str(tmp_path))
    for name in ("pendulum", "cartpole", "exchange"):
        made.experiments("me").create(name, opened(zip_of(example(name))))
        spec = ExperimentSpec(
            experiment=name,
            version=made.experiments("me").pin(name, name),
            configuration="simulation_config.json",
            script="main_script.py",
            seed=1,
            sim_id=name,
        )
        run = Run(id=name, kind="experiment", owner="me", spec=spec.to_blob(), created=0, updated=0)
        store.submit(CreateRun(run)).result()
    return made


def hints(made: Scenes, run_id: str) -> dict[str, str]:
    """Return the reasons why the engines of a run can't be drawn; a picture must give the same."""
    listed = {it.engine: it.reason for it in asyncio.run(made.scenes("me", run_id))}
    for engine, reason in listed.items():
        if reason:
            with pytest.raises(SceneUnavailable) as refused:
                asyncio.run(made.picture("me", run_id, engine, savepoint=None, width=64, height=64))
            assert reason in str(refused.value)
    return listed


def test_only_engines_with_a_simulator_have_scenes(store: MemoryStore, artifacts: Artifacts) -> None:
    made = Scenes(store, artifacts, DRAWS, 2)
    assert list(hints(made, "pendulum")) == ["plant"]
    assert hints(made, "exchange") == {}
    for name in ("", "observer", "nobody"):
        with pytest.raises(SceneNotFound):
            asyncio.run(made.picture("me", "exchange", name, savepoint=None, width=64, height=64))
    with pytest.raises(RunNotFound):
        asyncio.run(made.scenes("you", "pendulum"))


def test_a_server_without_a_worker_or_with_none_allowed_says_so(
    store: MemoryStore, artifacts: Artifacts
) -> None:
    assert "worker" in hints(Scenes(store, artifacts, None, 2), "pendulum")["plant"]
    assert "PERDURE_MAX_SCENES" in hints(Scenes(store, artifacts, DRAWS, 0), "pendulum")["plant"]


def test_a_host_without_a_library_names_the_packages_for_models_of_mujoco(
    store: MemoryStore, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "off_screen", lambda: None)
    made = Scenes(store, artifacts, DRAWS, 2)
    hint = hints(made, "pendulum")["plant"]
    assert "libegl1" in hint
    assert "libosmesa6" in hint
    assert hints(made, "cartpole") == {"environment": ""}


@pytest.mark.parametrize(
    ("run_id", "extra"), [("pendulum", "perdure[mujoco]"), ("cartpole", "perdure[gymnasium]")]
)
def test_a_missing_package_is_named(
    store: MemoryStore, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, run_id: str, extra: str
) -> None:
    monkeypatch.setattr(scenes, "find_spec", lambda name: None)
    (hint,) = hints(Scenes(store, artifacts, DRAWS, 2), run_id).values()
    assert extra in hint


@pytest.mark.parametrize(
    ("there", "given", "chosen"),
    [
        ({"EGL", "OSMesa"}, None, "egl"),
        ({"OSMesa"}, None, "osmesa"),
        (set(), None, None),
        ({"EGL"}, "osmesa", "osmesa"),
        (set(), "egl", "egl"),
    ],
)
def test_the_library_is_chosen_by_what_is_there_unless_the_operator_does(
    monkeypatch: pytest.MonkeyPatch, there: set[str], given: str | None, chosen: str | None
) -> None:
    monkeypatch.setattr(scene_renderers.sys, "platform", "linux")
    monkeypatch.setattr(scene_renderers, "find_library", lambda name: name if name in there else None)
    if given is None:
        monkeypatch.delenv("MUJOCO_GL", raising=False)
    else:
        monkeypatch.setenv("MUJOCO_GL", given)
    assert off_screen.__wrapped__() == chosen
