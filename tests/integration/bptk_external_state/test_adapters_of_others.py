"""Adapters of others: the tutorial's, one for BPTK-Py 3, one that lists what it could not read."""

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog.testing
import zstandard
from tests.support.adapters import Client, TutorialAdapter
from tests.support.mirrored import BOTH, SETTINGS, Inside, run, undisturbed

from perdure.dialects.bptk.external_state import ExternalStateAdapter, InstanceState
from perdure.errors import ExternalStateRefused


def test_the_adapter_of_the_tutorial_works_with_all_its_faults() -> None:
    async def body() -> None:
        client = Client()
        adapter = TutorialAdapter(True, client)
        assert adapter.compress is False  # its constructor doesn't call the base's
        inside = Inside(adapter)
        assert await inside.open() == []  # it can't list
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        await inside.mirror.save_all([instance])
        await inside.aclose()
        inside = Inside(adapter)
        await inside.open()
        assert await inside.load("nobody") is None
        assert await inside.load(instance.id) == instance  # with the time that it threw away
        await inside.step(instance, SETTINGS[2])
        assert await inside.log(instance) == await undisturbed(2)
        await inside.mirror.delete(instance.id)
        await inside.mirror.delete(instance.id)
        assert client.rows == {}
        await inside.aclose()

    run(body)


class ThreeMethods(ExternalStateAdapter):
    """An adapter for BPTK-Py 3, which knows nothing of listing."""

    def __init__(self) -> None:
        super().__init__(True)
        self.held: dict[str, InstanceState] = {}

    def _save_instance(self, state: InstanceState) -> None:
        self.held[state.instance_id] = state

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        return self.held.get(instance_id)

    def delete_instance(self, instance_id: str) -> None:
        self.held.pop(instance_id, None)


def test_an_adapter_of_three_methods_works_and_what_it_was_handed_does_not_change() -> None:
    async def body() -> None:
        adapter = ThreeMethods()
        for compress in (True, False):
            adapter.compress = compress
            inside = Inside(adapter)
            assert await inside.open() == []
            instance = await inside.begin(await inside.start(), BOTH)
            await inside.step(instance)
            first = adapter.held[instance.id]
            written = json.dumps(first.state)
            await inside.step(instance, SETTINGS[2])
            assert json.dumps(first.state) == written
            await inside.mirror.save_all([instance])
            await inside.aclose()
            inside = Inside(adapter)
            assert await inside.load(instance.id) == instance
            assert await inside.log(instance) == await undisturbed(2)
            await inside.aclose()

    run(body)


class WithGaps(ThreeMethods):
    """An adapter that lists None for what it could not read."""

    def _load_state(self) -> list[Any]:
        return [None, *self.held.values(), None]


def test_what_an_adapter_could_not_read_is_passed_over() -> None:
    async def body() -> None:
        adapter = WithGaps()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.aclose()
        inside = Inside(adapter)
        assert await inside.open() == [instance]
        await inside.aclose()

    run(body)


class Careless(ThreeMethods):
    """An adapter that returns anything, and fails for some ids."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[Any] = []
        self.broken = ""

    def _load_instance(self, instance_id: str) -> Any:
        if instance_id == self.broken:
            raise OSError("no connection")
        return {"a": 1} if instance_id == "dict" else super()._load_instance(instance_id)

    def _load_state(self) -> list[Any]:
        return [*self.listed, *self.held.values()]


def test_what_is_no_instance_is_passed_over_in_a_list_and_refused_when_it_is_asked_for() -> None:
    async def body() -> None:
        adapter = Careless()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.aclose()
        nameless: Any = ["x"]
        state = adapter.held[instance.id]
        adapter.listed = [{"a": 1}, "text", 5, replace(state, instance_id=nameless)]
        inside = Inside(adapter)
        assert await inside.open() == [instance]
        assert await inside.load_all() == []
        with pytest.raises(ExternalStateRefused, match=r"'dict' can't be taken over: .* a dict that is no"):
            await inside.load("dict")
        await inside.aclose()

    run(body)


def test_a_compressed_state_that_is_nested_too_deeply_is_refused() -> None:
    async def body() -> None:
        packed = zstandard.ZstdCompressor().compress(b"[" * 100_000)
        state = {"format": "perdure-1", "zstd": base64.b64encode(packed).decode("ascii")}
        adapter = Careless()
        adapter.held["deep"] = InstanceState(state, "deep", "2030-01-01", {}, None)
        inside = Inside(adapter)
        assert await inside.open() == []
        with pytest.raises(ExternalStateRefused, match="nested too deeply"):
            await inside.load("deep")
        await inside.aclose()

    run(body)


def test_an_instance_that_can_not_be_read_while_listing_does_not_keep_the_others_away() -> None:
    async def body() -> None:
        adapter = Careless()
        inside = Inside(adapter)
        first, second = [await inside.begin(await inside.start(), BOTH) for _ in range(2)]
        await inside.aclose()
        adapter.broken = first.id
        inside = Inside(adapter)
        assert await inside.load_all() == [second]
        adapter.broken = ""
        assert await inside.load_all() == [first]
        await inside.aclose()

    run(body)


@dataclass
class TheirState:
    """An instance as BPTK-Py, or a user, declares it, with a field of its own."""

    state: Any
    instance_id: str
    time: str
    timeout: Any
    step: Any
    note: str = ""


def test_an_instance_of_any_class_with_the_five_attributes_is_taken() -> None:
    async def body() -> None:
        adapter = ThreeMethods()
        inside = Inside(adapter)
        instance = await inside.begin(await inside.start(), BOTH)
        await inside.step(instance)
        await inside.aclose()
        rows: Any = adapter.held
        held = rows[instance.id]
        rows[instance.id] = TheirState(**{**vars(held), "time": str(held.time)})
        for shared in (False, True):
            inside = Inside(adapter, shared=shared)
            assert await inside.load(instance.id) == instance
            await inside.aclose()
        inside = Inside(adapter)
        await inside.load(instance.id)
        await inside.step(instance, SETTINGS[2])
        assert await inside.log(instance) == await undisturbed(2)
        await inside.aclose()

    run(body)


def test_what_lacks_an_attribute_is_refused_with_its_name() -> None:
    class Half:
        state = None
        instance_id = "half"
        time = "2030-01-01"

    async def body() -> None:
        adapter = Careless()
        half: Any = Half()
        adapter.held["half"] = half
        for shared in (False, True):
            inside = Inside(adapter, shared=shared)
            with structlog.testing.capture_logs() as lines:
                assert await inside.open() == []
            (line,) = [line for line in lines if line["event"] == "external_state_refused"]
            assert "a Half that is no instance: it has no timeout, step" in line["reason"]
            with pytest.raises(ExternalStateRefused, match="it has no timeout, step"):
                await inside.load("half")
            await inside.aclose()

    run(body)
