"""Program data: what the program's modules and classes keep, in a process that computes one model at a time.

A savepoint holds those variables of modules and attributes of classes that differ from what they were before
the first model was constructed. Before each construction, and when a state is put back, the others become
what they were.
"""

import enum
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from perdure.engines.agents.known_objects import KnownObjects
from perdure.engines.agents.program_code import is_authors
from perdure.engines.agents.program_contents import Content, Fixtures, is_as_before, kept_by_code
from perdure.engines.agents.shared_data import changed_by
from perdure.engines.objects.base import Known
from perdure.engines.objects.code import is_code, variables
from perdure.engines.objects.paths import located
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.state.codec import State, pack, unpack

__all__ = ["ProgramData", "program_of"]

_Key = tuple[str, str]
"""Of a module its name and nothing, of a class its module and name."""

_Given = Mapping[int, list[Any]]
"""Records of known objects by `id`."""


class ProgramData:
    """What a program's modules and classes keep.

    Parameters
    ----------
    kind
        The class of the model, of which there is no object yet. Its module counts, and what that imports.
    """

    def __init__(self, kind: type) -> None:
        self._owners = {_key(owner): owner for owner in _owners(kind)}
        self._code = {
            key: {name: value for name, value in variables(owner).items() if is_code(value)}
            for key, owner in self._owners.items()
        }
        self._modules = _authors_modules()
        self._fixtures = Fixtures()
        nothing = self._nothing()
        self._former = {
            key: {name: self._fixtures.met(value, nothing, (*key, name)) for name, value in each.items()}
            for key, each in ((key, self._variables(key)) for key in self._owners)
        }
        self._kept_by_code = {
            key: self._fixtures.met(kept_by_code(owner), nothing, (*key, ""))
            for key, owner in self._owners.items()
        }
        # All at once, as they may hold the same objects.
        recorder = Recorder(nothing, self._fixtures.given)
        roots: list[State] = []
        for key, former in self._former.items():
            whole = {name: content.value for name, content in former.items() if content.whole}
            roots.append({name: recorder.root(_Place(key, name), value) for name, value in whole.items()})
        recorder.run()
        self._start = pack([roots, recorder.nodes])

    @property
    def given(self) -> _Given:
        """Records of what can't be saved and is there after each import, for a recorder."""
        return self._fixtures.given

    @property
    def fixtures(self) -> Mapping[tuple[Any, ...], Any]:
        """What these records lead to."""
        return self._fixtures.found

    def reset(self) -> None:
        """Let everything be what it was before the first model was constructed."""
        self.put_back([], Rebuilder([], self._nothing()), {})

    def is_reset(self) -> bool:
        """Let everything be what it was, and return whether it is, all of it."""
        self.reset()
        if _authors_modules() - self._modules:  # their data are unknown
            return False
        nothing, given = self._nothing(), self._fixtures.given
        for key, former in self._former.items():
            now = self._contents(key, nothing, given)
            kept = self._fixtures.content(kept_by_code(self._owners[key]), nothing, given)
            pairs = [(now[name], former[name]) for name in former.keys() & now.keys()]
            pairs.append((kept, self._kept_by_code[key]))
            if now.keys() != former.keys() or not all(a.whole and a.equals(b) for a, b in pairs):
                return False
        return True

    def saved(self, recorder: Recorder, given: _Given, classes: Iterable[type]) -> State:
        """Return what differs; what can't be saved is noted if it does, or code is seen to change it.

        Parameters
        ----------
        recorder
            Records it.
        given
            The known objects that the recorder was given, with those of `given`.
        classes
            The classes of the model and its agents, whose code is searched.
        """
        changes = [each for kind in classes if is_authors(kind) for each in changed_by(kind)]
        seen = {(_key(each.owner), each.name) for each in changes if each.owner is not None}
        found: list[State] = []
        for key, owner in self._owners.items():
            former, now = self._former[key], self._contents(key, recorder.known, given)
            values = {
                name: recorder.root(_Place(key, name), content.value)
                for name, content in now.items()
                if name not in former
                or not content.equals(former[name])
                or (not content.whole and (key, name) in seen)
            }
            gone: list[State] = [*sorted((former.keys() | self._code[key].keys()) - vars(owner).keys())]
            if values or gone:
                found.append([[*key], values, gone])
        return found

    def adopt(self, state: Any, graph: Rebuilder) -> None:
        """Let what is put back be in the objects that are there: other modules may have them too."""
        for key, values, _ in state:
            there = vars(self._owners[*key])
            for name, record in values.items():
                graph.adopt(record, there.get(name))

    def put_back(self, state: Any, graph: Rebuilder, given: _Given) -> None:
        """Put back what differed, and undo what has changed besides."""
        saved = {(*key,): (values, gone) for key, values, gone in state}
        undone: dict[_Key, set[str]] = {}
        for key, owner in self._owners.items():
            values, gone = saved.get(key, ({}, ()))
            former, now = self._former[key], self._contents(key, graph.known, given)
            for name in now.keys() - former.keys() - values.keys():
                delattr(owner, name)
            for name, value in self._code[key].items():
                if name not in vars(owner) and name not in gone:
                    setattr(owner, name, value)
            for name in vars(owner).keys() & gone:
                delattr(owner, name)
            kept = {name for name, content in former.items() if content.whole} - values.keys()
            undone[key] = {
                name
                for name in kept.difference(gone)
                if name not in now or not now[name].equals(former[name])
            }
            for name, record in values.items():
                setattr(owner, name, graph.value(record))
        if any(undone.values()):
            self._undo(undone)

    def _undo(self, names: Mapping[_Key, Iterable[str]]) -> None:
        roots, nodes = unpack(self._start)
        graph = Rebuilder(nodes, self._nothing())
        wanted = [
            (self._owners[key], name, records[name])
            for (key, chosen), records in zip(names.items(), roots, strict=True)
            for name in chosen
        ]
        for owner, name, record in wanted:
            graph.adopt(record, vars(owner).get(name))
        graph.rebuild()
        for owner, name, record in wanted:
            setattr(owner, name, graph.value(record))

    def _contents(self, key: _Key, known: Known, given: _Given) -> dict[str, Content]:
        """Return what the variables of a module or class hold, but its code."""
        former = self._former[key]
        return {
            name: former[name]
            if name in former and is_as_before(value, former[name])
            else self._fixtures.content(value, known, given)
            for name, value in self._variables(key).items()
        }

    def _variables(self, key: _Key) -> dict[str, Any]:
        code = self._code[key]
        return {
            name: value
            for name, value in variables(self._owners[key]).items()
            if not (name in code and code[name] is value)
        }

    def _nothing(self) -> KnownObjects:
        """Return what is known while there is no model."""
        return KnownObjects(None, {}, [], fixtures=self._fixtures.found)


@cache
def program_of(kind: type) -> ProgramData:
    """Return the data of a model's program; first to be called before a model of it is constructed."""
    return ProgramData(kind)


class _Place:
    """A variable of a module or class, as a place for problems."""

    def __init__(self, key: _Key, name: str) -> None:
        self._key = key
        self._name = name

    def __call__(self, value: Any, path: str) -> str:
        module, kind = self._key
        owner = f"the attribute {self._name!r} of the class {kind}"
        what = owner if kind else f"the variable {self._name!r} of the module {module}"
        return located(path, self._name, what)


def _key(owner: Any) -> _Key:
    return (owner.__module__, owner.__qualname__) if isinstance(owner, type) else (owner.__name__, "")


def _owners(kind: type) -> Iterator[Any]:
    """Yield the author's modules and classes that a class belongs to, refers to or imports."""
    todo: list[Any] = [kind]
    met: set[int] = set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in met or not is_authors(each):
            continue
        met.add(id(each))
        if not isinstance(each, ModuleType):
            todo.append(sys.modules.get(each.__module__))
        if isinstance(each, type | ModuleType) and not _is_enumeration(each):
            yield each
            todo += [value for value in vars(each).values() if isinstance(value, type | ModuleType)]


def _authors_modules() -> set[str]:
    """Return the names of the author's modules that are imported."""
    return {name for name, module in [*sys.modules.items()] if _is_authors_module(module)}


def _is_authors_module(module: Any) -> bool:
    return isinstance(module, ModuleType) and hasattr(module, "__file__") and is_authors(module)


def _is_enumeration(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)
