"""Files of BPTK-Py of every generation: taken over and gone on with exactly, or refused and left alone."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.adapters import Client, TutorialAdapter
from tests.support.bptk_files import BATH, FIXTURES, catalogue, from_the_start
from tests.support.mirrored import Inside

from perdure.dialects.bptk.external_state import FileAdapter
from perdure.errors import ExternalStateRefused
from perdure.scenarios import Catalogue

REFUSED = {
    # BPTK-Py 3.0 forgets constants, 3.0 and 3.2 points, that an earlier request set.
    "3.0.1-plain-some-steps": "'tap' of 'base' was 2.0 at 3.0, and is 3.0 now",
    "3.0.1-compressed-some-steps": "'tap' of 'base' was 2.0 at 3.0, and is 3.0 now",
    "3.0.1-plain-stock-only": "'water' of 'base' was",
    "3.0.1-plain-points": "'inflow' of 'base' was 2.8 at 4.0, and is 0.4 now",
    "3.2.0-plain-points": "'inflow' of 'base' was 2.8 at 4.0, and is 0.4 now",
    **{f"{version}-plain-noisy": "draws random numbers" for version in ("1.5.3", "2.1.1", "3.0.1", "3.2.0")},
}
FILES = sorted(path.stem for path in FIXTURES.glob("*.json"))
TAKEN_OVER = [name for name in FILES if name not in REFUSED]


def put(name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Put a file where a server has it; return the instance's id and the session in it."""
    data = json.loads((FIXTURES / f"{name}.json").read_text())["data"]
    shutil.copy(FIXTURES / f"{name}.json", folder / f"{data['instance_id']}.json")
    return data["instance_id"], json.loads(data["state"])


@pytest.mark.parametrize("name", TAKEN_OVER)
def test_a_file_is_taken_over_and_goes_on_like_a_run_from_the_start(tmp_path: Path, name: str) -> None:
    async def body() -> None:
        instance_id, state = put(name, tmp_path)
        inside = Inside(FileAdapter(name.startswith("3"), tmp_path), catalogue())
        loaded = await inside.load(instance_id)
        assert loaded is not None
        steps = len(BATH.CASES[name.split("-", 2)[2]][2])
        assert len(await inside.log(loaded)) == steps
        more: list[Any] = [None, {"constants": {"tap": 0.5}}, None]
        if name.endswith("stock-only"):
            more = [None, None, None]
        await inside.step(loaded, {} if more[0] is None else {BATH.MANAGER: {"base": more[0]}})
        await inside.aclose()

        # It was saved in our form; another server goes on.
        assert "perdure-1" in (tmp_path / f"{instance_id}.json").read_text()
        inside = Inside(FileAdapter(False, tmp_path), catalogue())
        loaded = await inside.load(instance_id)
        assert loaded is not None
        for settings in more[1:]:
            await inside.step(loaded, {} if settings is None else {BATH.MANAGER: {"base": settings}})
        rows = [rows for rows, _ in await inside.log(loaded)]
        assert repr(rows) == repr(await from_the_start(inside, name, more))
        assert rows[steps][0][0] == state["step"]
        await inside.aclose()

    asyncio.run(body())


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_file_that_does_not_lead_to_its_numbers_is_refused_and_stays(tmp_path: Path, name: str) -> None:
    async def body() -> None:
        instance_id, _ = put(name, tmp_path)
        path = tmp_path / f"{instance_id}.json"
        former = path.read_bytes()
        inside = Inside(FileAdapter(True, tmp_path), catalogue(noisy=name.endswith("noisy")))
        assert await inside.open() == []
        with pytest.raises(ExternalStateRefused, match=REFUSED[name]):
            await inside.load(instance_id)
        assert inside.store.runs() == []
        assert inside.in_memory(instance_id) is None
        await inside.aclose()
        assert path.read_bytes() == former

    asyncio.run(body())


def refused(tmp_path: Path, name: str, change: Any, served: Catalogue | None = None) -> str:
    """Return why a changed file is refused."""
    instance_id, state = put(name, tmp_path)
    path = tmp_path / f"{instance_id}.json"
    content = json.loads(path.read_text())
    change(state)
    content["data"]["state"] = json.dumps(state)
    path.write_text(json.dumps(content))

    async def body() -> str:
        inside = Inside(FileAdapter(True, tmp_path), served or catalogue())
        with pytest.raises(ExternalStateRefused) as error:
            await inside.load(instance_id)
        assert inside.store.runs() == []
        await inside.aclose()
        return str(error.value)

    return asyncio.run(body())


def test_a_session_of_a_changed_model_is_refused(tmp_path: Path) -> None:
    for name in ("1.5.3-plain-every-step", "3.2.0-compressed-every-step"):
        why = refused(tmp_path, name, lambda state: None, catalogue(leak=0.1001))
        assert "'water' of 'base' was 6.7 at 2.0, and is 6.699" in why


def test_a_session_of_models_that_are_not_served_is_refused(tmp_path: Path) -> None:
    why = refused(tmp_path, "2.1.1-plain-points", lambda state: None, Catalogue())
    assert "no scenario manager 'bath'" in why


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("2.1.1-plain-points", lambda s: s["results_log"].pop("3.0"), "one step after the other"),
        ("2.1.1-plain-points", lambda s: s.update(step=9.0), "next step is 9.0"),
        ("2.1.1-plain-points", lambda s: s.pop("dt"), "no session"),
        ("2.1.1-plain-points", lambda s: s.update(equations=["agents"]), "none of its equations"),
        ("2.1.1-plain-points", lambda s: s["settings_log"].update({"8.0": {}}), "but no results"),
        ("2.1.1-plain-points", lambda s: s["settings_log"].update({"3.0": {"bath": 5}}), "no session"),
        ("2.1.1-plain-points", lambda s: s.update(settings=[1]), "no session"),
        ("2.1.1-plain-points", lambda s: s.update(settings_log=[1]), "no session"),
        (
            "2.1.1-plain-points",
            lambda s: s["results_log"]["3.0"]["bath"]["base"]["water"].update({"3.0": None}),
            "no session",
        ),
        (
            "2.1.1-plain-points",
            lambda s: s["settings_log"]["3.0"]["bath"]["base"].update(constants={"tap": "x"}),
            "'settings.bath.base.constants.tap' can't be set to 'x'",
        ),
        (
            "3.0.1-compressed-every-step",
            lambda s: s["settings_log"]["bath"]["base"]["constants"]["tap"].pop(),
            "at which steps they were given",
        ),
        (
            "3.0.1-compressed-every-step",
            lambda s: s["results_log"]["bath"]["base"]["water"].pop(),
            "at which steps they were returned",
        ),
        (
            "3.2.0-compressed-every-step",
            lambda s: s["results_log"]["data"]["bath"]["base"]["water"].pop(),
            "another length",
        ),
    ],
)
def test_a_session_that_contradicts_itself_is_refused(
    tmp_path: Path, name: str, change: Any, reason: str
) -> None:
    assert reason in refused(tmp_path, name, change)


def test_a_session_that_was_begun_but_not_stepped_starts_with_what_it_was_begun_with(tmp_path: Path) -> None:
    instance_id, state = put("3.2.0-compressed-every-step", tmp_path)
    state.update(settings_log={}, results_log={}, step=1.0, settings=BATH.BEGUN_WITH["begun-with"])
    path = tmp_path / f"{instance_id}.json"
    content = json.loads(path.read_text())
    content["data"]["state"] = json.dumps(state)
    path.write_text(json.dumps(content))

    async def body() -> None:
        inside = Inside(FileAdapter(True, tmp_path), catalogue(noisy=True))
        loaded = await inside.load(instance_id)
        assert loaded is not None
        rows = (await inside.step(loaded))[0]
        assert rows[0][:3] == [1.0, 5.0, 4.0]  # the tap of the begin, and not the model's 2.0
        await inside.aclose()

    asyncio.run(body())


def test_times_that_were_added_up_are_those_of_their_steps(tmp_path: Path) -> None:
    instance_id, state = put("2.1.1-plain-points", tmp_path)
    moved = {time: float(time) + 1e-9 for time in state["results_log"]}
    for log in ("results_log", "settings_log"):
        state[log] = {str(moved[time]): of_step for time, of_step in state[log].items()}
    path = tmp_path / f"{instance_id}.json"
    content = json.loads(path.read_text())
    content["data"]["state"] = json.dumps(state)
    path.write_text(json.dumps(content))

    async def body() -> None:
        inside = Inside(FileAdapter(True, tmp_path), catalogue())
        assert await inside.load(instance_id) is not None
        await inside.aclose()

    asyncio.run(body())


def test_what_another_adapter_holds_of_a_server_of_bptk_is_taken_over_too(tmp_path: Path) -> None:
    async def body() -> None:
        client = Client()
        instance_id, _ = put("2.1.1-compressed-every-step", tmp_path)
        client.rows[instance_id] = (tmp_path / f"{instance_id}.json").read_text()
        inside = Inside(TutorialAdapter(True, client), catalogue())
        loaded = await inside.load(instance_id)
        assert loaded is not None
        assert len(await inside.log(loaded)) == 6
        await inside.aclose()

    asyncio.run(body())


def test_sparse_settings_of_a_compressed_session_with_steps_stand_where_they_were_given(
    tmp_path: Path,
) -> None:
    """The form with places, ``at`` and ``values``, which BPTK-Py writes if some steps lack a value."""
    instance_id, state = put("3.2.0-plain-some-steps", tmp_path)
    state["settings_log"] = {
        "__format__": "steps-v2",
        "steps": ["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"],
        "data": {"bath": {"base": {"constants": {"tap": {"at": [1, 3], "values": [3.0, 1.5]}}}}},
    }
    path = tmp_path / f"{instance_id}.json"
    content = json.loads(path.read_text())
    content["data"]["state"] = json.dumps(state)
    path.write_text(json.dumps(content))

    async def body() -> None:
        inside = Inside(FileAdapter(True, tmp_path), catalogue())
        loaded = await inside.load(instance_id)
        assert loaded is not None
        inputs = [inputs for _, inputs in await inside.log(loaded)]
        assert [bool(given) for given in inputs] == [False, True, False, True, False, False]
        await inside.aclose()

    asyncio.run(body())
