"""The Redis adapter: instances under keys with a time to live, each replaced only if it is unchanged."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.external_state.state_text import from_text, from_time, to_text, to_time
from perdure.errors import ExternalStateChanged

__all__ = ["RedisAdapter"]

LIVES_LONGER = 1.1  # than the timeout, since a use may be saved up to a tenth of the timeout later

# KEYS[1] is the key. ARGV of SAVE: the new value, the SHA-1 of the former one ('' for none), milliseconds.
# A client repeats a command whose answer was lost: then the new value is there already.
_SAVE = """
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] and (held and redis.sha1hex(held) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
"""
_EXPIRE = """
local held = redis.call('GET', KEYS[1])
if held and redis.sha1hex(held) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""


class RedisClient(Protocol):
    """What the adapter uses of a client of redis-py; values are bytes or, if it decodes them, texts."""

    def get(self, name: str) -> Any:
        """Return the value of a key, or None."""
        ...

    def delete(self, name: str) -> Any:
        """Delete a key."""
        ...

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Execute a Lua script."""
        ...

    def scan_iter(self, match: str) -> Iterable[Any]:
        """Return the keys that match a pattern."""
        ...


class RedisAdapter(ExternalStateAdapter):
    """Stores each instance under ``PREFIX:ID`` in Redis or Valkey; it also reads those of BPTK-Py.

    A value is replaced by a script that compares it with the one that this adapter loaded or saved last. If
    another server has replaced it, `ExternalStateChanged` is raised, and the server loads the instance and
    executes the request again. So several servers may use the same keys.

    A value lives a tenth longer than the instance's timeout after it was saved.

    Parameters
    ----------
    redis_client
        A client of redis-py, such as ``redis.from_url(…)``.
    compress
        Whether the sessions are compressed.
    key_prefix
        What the keys begin with.
    """

    def __init__(
        self, redis_client: RedisClient, compress: bool = True, key_prefix: str = "bptk:state"
    ) -> None:
        super().__init__(compress)
        self._client = redis_client
        self._prefix = f"{key_prefix}:"
        self._shared = False
        self._known: dict[str, str] = {}  # SHA-1 of the value that was loaded or saved last, by instance

    def _open(self, shared: bool) -> None:
        """Note whether instances stay in memory between requests."""
        self._shared = shared

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        """Return a function that forgets what was loaded; nothing is locked."""
        return lambda: self._forget(instance_id)

    def _save_instance(self, state: InstanceState) -> None:
        """Replace an instance; raise `ExternalStateChanged` if another server has changed it."""
        session = None if state.state is None else to_text(state.state)
        value = to_text(replace(state, state=session, time=to_time(state.time)))
        lasts = timedelta(**state.timeout).total_seconds()
        former = self._known.get(state.instance_id, "")
        milliseconds = max(1, round(lasts * LIVES_LONGER * 1000))
        if not self._client.eval(_SAVE, 1, self._key(state.instance_id), value, former, milliseconds):
            raise ExternalStateChanged(instance=state.instance_id)
        self._known[state.instance_id] = _sha1(value)

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        """Return an instance, or None if there is none or its time to live is over."""
        value = self._client.get(self._key(instance_id))
        if value is None:
            self._forget(instance_id)
            return None
        self._known[instance_id] = _sha1(value)
        return _instance(value, instance_id)

    def _load_state(self) -> list[InstanceState]:
        """Return all instances with the prefix; other keys that begin with it are ignored."""
        found = []
        for key in self._client.scan_iter(match=_literally(self._prefix) + "*"):
            instance_id = _text(key).removeprefix(self._prefix)
            value = self._client.get(self._key(instance_id))
            if value is None:
                continue
            state = _instance(value, instance_id)
            if state.instance_id != instance_id or state.timeout == {}:  # another's key
                continue
            if not self._shared:  # the server may load it from this list; a loaded one is as it was loaded
                self._known.setdefault(instance_id, _sha1(value))
            found.append(state)
        return sorted(found, key=lambda state: state.instance_id)

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance."""
        self._client.delete(self._key(instance_id))
        self._forget(instance_id)

    def _expire_instance(self, instance_id: str) -> None:
        """Delete an instance unless another server has changed it; then raise `ExternalStateChanged`."""
        if not self._client.eval(_EXPIRE, 1, self._key(instance_id), self._known.get(instance_id, "")):
            raise ExternalStateChanged(instance=instance_id)
        self._forget(instance_id)

    def _key(self, instance_id: str) -> str:
        return self._prefix + instance_id

    def _forget(self, instance_id: str) -> None:
        self._known.pop(instance_id, None)


def _instance(value: str | bytes, instance_id: str) -> InstanceState:
    """Return the instance in a value; one that is damaged is refused when it is loaded."""
    held = from_text(value)
    if not isinstance(held, dict) or not held.keys() >= {"state", "instance_id", "time", "timeout", "step"}:
        return InstanceState(held, instance_id, "", {}, None)
    state = held["state"]
    return InstanceState(
        state=from_text(state) if isinstance(state, str) else state,
        instance_id=held["instance_id"],
        time=from_time(held["time"]),
        timeout=held["timeout"],
        step=held["step"],
    )


def _sha1(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()  # as Redis computes it in a script


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")


def _literally(text: str) -> str:
    r"""Return a pattern of Redis that matches a text alone.

    >>> _literally("a*[b]?")
    'a\\*\\[b\\]\\?'
    """
    return "".join(f"\\{char}" if char in "\\*?[]^-" else char for char in text)
