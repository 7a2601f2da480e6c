"""The identity of a model of agents: its code, and what it has built."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from perdure.engines.agents import Model
from perdure.errors import ModelChanged
from perdure.scenarios.code_identity import code_identity
from perdure.state.codec import State, pack

__all__ = ["AgentIdentity"]


class AgentIdentity:
    """The identity of a model.

    Parameters
    ----------
    kind
        The model's class.
    probe
        A model of it, which is built.
    """

    def __init__(self, kind: type[Model], probe: Model) -> None:
        self._kind = kind
        self._probe = probe

    @cached_property
    def fingerprint(self) -> str:
        """The hash of both: 32 hexadecimal digits."""
        identity: list[State] = [self._kind.__qualname__, [*self.code], *self._parts]
        return hashlib.blake2b(pack(identity), digest_size=16).hexdigest()

    @cached_property
    def code(self) -> list[str]:
        """Hashes of the modules that the class and its agents come from."""
        return code_identity(self._kind)

    @property
    def built(self) -> bytes:
        """The hash of what `instantiate_model` has made."""
        return hashlib.blake2b(pack([*self._parts]), digest_size=16).digest()

    def check(self, code: Sequence[str], built: bytes) -> None:
        """Raise `ModelChanged` unless these are the `code` and `built` of the model in another process.

        That one may have imported more of the same packages.
        """
        if not set(self.code) <= set(code) or self.built != built:
            raise ModelChanged(
                f"What computes the model {self._probe.name!r} has changed since it was registered. Put its "
                "files back, or start the server anew; sessions of the former version are then upgraded."
            )

    @cached_property
    def _parts(self) -> list[dict[str, State]]:
        program, points = self._probe.program(), self._probe.points
        parts = {**program.definitions, **program.initials}
        return [
            {name: repr(part.code) for name, part in sorted(parts.items())},
            {**dict(sorted(program.constants.items()))},
            {name: repr(points[name]) for name in sorted(points)},
            {name: repr(value) for name, value in sorted(self._plain_attributes().items())},
        ]

    def _plain_attributes(self) -> dict[str, Any]:
        """Return the attributes of a given object that are numbers or text."""
        own = self._probe.own_names() | {"name"}
        values = {name: value for name, value in vars(self._probe).items() if name not in own}
        return {name: value for name, value in values.items() if isinstance(value, str | int | float)}
