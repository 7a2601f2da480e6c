"""External-state adapters for tests: one that fails when it is told to, and that of BPTK's tutorial."""

import copy
import datetime
import json
import threading
from pathlib import Path
from typing import Any

from perdure.dialects.bptk.external_state import ExternalStateAdapter, InstanceState


class FaultyAdapter(ExternalStateAdapter):
    """Holds instances in a dictionary, as text, and fails as it is told.

    Attributes
    ----------
    fail_before, fail_after, fail_loading, fail_listing
        Whether a save raises before or after it has been done, and whether reading raises.
    calls
        The names of the methods called.
    threads
        The threads they were called on.
    """

    def __init__(self, compress: bool = False) -> None:
        super().__init__(compress)
        self.held: dict[str, str] = {}
        self.fail_before = self.fail_after = self.fail_loading = self.fail_listing = False
        self.calls: list[str] = []
        self.threads: set[str] = set()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)

    def _save_instance(self, state: InstanceState) -> None:
        self._called("save")
        if self.fail_before:
            raise OSError("no connection")
        self.held[state.instance_id] = json.dumps([state.state, str(state.time), state.timeout, state.step])
        if self.fail_after:
            raise TimeoutError

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        self._called("load")
        if self.fail_loading:
            raise OSError("no connection")
        if instance_id not in self.held:
            return None
        state, time, timeout, step = json.loads(self.held[instance_id])
        return InstanceState(state, instance_id, datetime.datetime.fromisoformat(time), timeout, step)

    def _load_state(self) -> list[InstanceState]:
        self._called("list")
        if self.fail_listing:
            raise OSError("no connection")
        loaded = [self._load_instance(instance_id) for instance_id in sorted(self.held)]
        return [state for state in loaded if state is not None]

    def delete_instance(self, instance_id: str) -> None:
        self._called("delete")
        self.held.pop(instance_id, None)


class Client:
    """The database client of the tutorial's adapter: it writes JSON and raises for a key that it hasn't."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def save(self, *, key: str, data: dict[str, Any]) -> None:
        self.rows[key] = json.dumps(copy.deepcopy(data))

    def read(self, *, key: str) -> str:
        return self.rows[key]

    def delete(self, *, key: str) -> None:
        del self.rows[key]


class TutorialAdapter(ExternalStateAdapter):
    """What the tutorial's adapter does, its faults included.

    Its constructor doesn't call that of its base class, listing fails for lack of a path, the time of the
    last request is thrown away, and an error while loading counts as an unknown instance.
    """

    def __init__(self, compress: bool, db_client: Client) -> None:
        self.db_client = db_client

    def _save_state(self, instance_states: list[InstanceState]) -> None:
        for state in instance_states:
            self._save_instance(state)

    def _save_instance(self, state: InstanceState) -> None:
        data = {
            "state": json.dumps(state.state),
            "instance_id": state.instance_id,
            "time": str(state.time),
            "timeout": state.timeout,
            "step": state.step,
        }
        self.db_client.save(key=state.instance_id, data={"data": data})

    def _load_state(self) -> list[InstanceState]:
        names = Path(self.path).iterdir()  # which it hasn't
        return [self._load_instance(name.stem) for name in names]

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        try:
            data = json.loads(self.db_client.read(key=instance_id))["data"]
            state = json.loads(data["state"])
            now = datetime.datetime.now()
            return InstanceState(state, data["instance_id"], now, data["timeout"], data["step"])
        except Exception:
            return None

    def delete_instance(self, instance_id: str) -> None:
        try:
            self.db_client.delete(key=instance_id)
        except Exception:
            return
