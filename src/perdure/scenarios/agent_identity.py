"""The identity of a model of agents: its code, and what it has built."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from perdure.engines.agents import Model
from perdure.engines.agents.engine import drawing
from perdure.engines.generators import Generators
from perdure.errors import ModelChanged
from perdure.scenarios.code_identity import code_identity
from perdure.state.codec import State, pack

__all__ = ["AgentIdentity"]

_REORDERED = ("add", "multiply")
_NAMED = 5


class AgentIdentity:
    """The identity of a model.

    What differs from one construction to the next doesn't count, such as a time or a random number, nor does
    the order of the terms of a sum and the factors of a product, which may be that of a set of texts.

    Parameters
    ----------
    kind
        The model's class.
    probe
        A model of it, which is built.
    build
        Builds another one.
    """

    def __init__(self, kind: type[Model], probe: Model, build: Callable[[], Model]) -> None:
        self._kind = kind
        self._probe = probe
        self._build = build

    @cached_property
    def fingerprint(self) -> str:
        """The hash of both: 32 hexadecimal digits."""
        constant: dict[str, State] = {name: part for name, part in self.built.items() if part is not None}
        identity: list[State] = [self._kind.__qualname__, [*self.code], constant]
        return hashlib.blake2b(pack(identity), digest_size=16).hexdigest()

    @cached_property
    def code(self) -> list[str]:
        """Hashes of the modules that the class and its agents come from."""
        return code_identity(self._kind)

    @cached_property
    def built(self) -> dict[str, State]:
        """What `instantiate_model` has made, in words, with its hash; None if that differs each time."""
        first = self._parts
        with drawing(Generators(0, "identity")):  # the program's own draws aren't disturbed
            second = _parts_of(self._build())
        return {
            name: first[name] if name in first and first[name] == second.get(name) else None
            for name in sorted(first.keys() | second.keys())
        }

    def check(self, code: Sequence[str], built: Mapping[str, State]) -> None:
        """Raise `ModelChanged` unless these are the `code` and `built` of the model in another process.

        That one may have imported more of the same packages.
        """
        name = self._probe.name
        if not set(self.code) <= set(code):
            raise ModelChanged(
                f"What computes the model {name!r} has changed since it was registered. Put its files back, "
                "or start the server anew; sessions of the former version are then upgraded."
            )
        parts = self._parts
        differing = [
            each
            for each in sorted(built.keys() | parts.keys())
            if built.get(each, b"") is not None and built.get(each) != parts.get(each)
        ]
        if differing:
            differing = [each for each in differing if each not in parts or self.built[each] is not None]
        if differing:
            more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
            named = f"{', '.join(differing[:_NAMED])}{more}"
            raise ModelChanged(
                f"The process of the model {name!r} builds it differently: {named}. What it builds must "
                "depend only on its files, not on variables that the program has set, and on those of the "
                "environment only if processes of models have them."
            )

    @cached_property
    def _parts(self) -> dict[str, bytes]:
        return _parts_of(self._probe)


def _parts_of(probe: Model) -> dict[str, bytes]:
    return {
        f"the {what} {name!r}": hashlib.blake2b(text.encode(), digest_size=16).digest()
        for what, name, text in _texts_of(probe)
    }


def _texts_of(probe: Model) -> Iterator[tuple[str, str, str]]:
    """Yield each part of a model: what it is, its name, and a text that differs if it does."""
    program = probe.program()
    for what, definitions in (("equation of", program.definitions), ("initial value of", program.initials)):
        for name, part in definitions.items():
            yield what, name, _unordered(part.code)
    for name, constant in program.constants.items():
        yield "constant", name, repr(constant)
    for name, points in probe.points.items():
        yield "points", name, repr(points)
    own = probe.own_names() | {"name"}
    for name, value in vars(probe).items():
        if name not in own and isinstance(value, str | int | float):
            yield "attribute", name, repr(value)


def _unordered(code: Sequence[Any]) -> str:
    """Return the hash of an equation in postfix, whatever the order of its terms and factors."""
    stack: list[tuple[str, list[str]]] = []  # what is applied, and to which hashes
    for operator, arity, data in code:
        parts = stack[len(stack) - arity :]
        del stack[len(stack) - arity :]
        if operator in _REORDERED:
            terms: list[str] = parts[0][1] if parts[0][0] == operator else [_hash(*parts[0])]
            for part in parts[1:]:
                terms += part[1] if part[0] == operator else [_hash(*part)]
            stack.append((operator, terms))
        else:
            stack.append((repr((operator, arity, data)), [_hash(*part) for part in parts]))
    return " ".join(_hash(*part) for part in stack)


def _hash(what: str, parts: list[str]) -> str:
    ordered = sorted(parts) if what in _REORDERED else parts
    return hashlib.blake2b(" ".join([what, *ordered]).encode(), digest_size=16).hexdigest()
