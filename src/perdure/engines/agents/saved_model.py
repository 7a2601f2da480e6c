"""A model of agents as data: its agents and events, its attributes, and the values of its elements.

What the construction of the model makes is made again, and stays: elements and their equations, functions,
factories. All else is put back.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from perdure.engines.agents import known_objects
from perdure.engines.agents.agent import Agent
from perdure.engines.agents.columns import row_of, values_of
from perdure.engines.agents.events import Event
from perdure.engines.agents.former_states import renewed
from perdure.engines.agents.known_objects import KnownObjects
from perdure.engines.agents.program_code import ClassName, class_name
from perdure.engines.agents.program_data import ProgramData
from perdure.engines.agents.saved_agents import put_back, saved, table_rows
from perdure.engines.agents.saved_events import are_plain, blank_events, put_back_events, saved_events
from perdure.engines.agents.shared_data import SharedData
from perdure.engines.derived_types import slots_of
from perdure.engines.numbers import finite
from perdure.engines.objects.paths import located
from perdure.engines.objects.problems import Problems
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.engines.system_dynamics import Model as SystemDynamics
from perdure.engines.system_dynamics import Module
from perdure.engines.system_dynamics.expression import Expression
from perdure.errors import HashSeedChanged, InvalidState, PerdureError
from perdure.state.codec import State

if TYPE_CHECKING:
    from perdure.engines.agents.model import Model

__all__ = ["Constructed"]

_PARTS = (
    "properties",
    "points",
    "agent_type_map",
    "next_agent_id",
    "scenario_manager",
)
"""Attributes of every model that a run changes."""

_WHOLES = {
    "attributes": "the model's attribute",
    "parts": "the model's attribute",
    "scheduler": "the scheduler's attribute",
    "collector": "the data collector's attribute",
}
"""Parts of a state that are attributes by name, and what they are."""

_KEPT = (SystemDynamics, Module, Expression, FunctionType, BuiltinFunctionType, MethodType)
"""What construction makes and a run doesn't replace."""


class Constructed:
    """A model as it was constructed, whose state can be taken and put back.

    Parameters
    ----------
    model
        The model, at its start.
    program
        What the program's modules and classes keep, if nothing else in this process computes models; it is
        saved with the model. Otherwise models that change it are refused.
    """

    def __init__(self, model: "Model", program: ProgramData | None = None) -> None:
        self._model = model
        self._names = model.own_names()
        attributes = self._attributes()
        self._objects = {id(value): name for name, value in attributes.items() if isinstance(value, _KEPT)}
        self._kept = {name: attributes[name] for name in self._objects.values()}
        models = {"": model} | {n: each for n, each in self._kept.items() if isinstance(each, SystemDynamics)}
        self._equations = {
            owner: {name: _equations(element) for name, element in each.elements.items()}
            for owner, each in models.items()
        }
        self._models: dict[str, SystemDynamics] = models
        self._replaced = dict(model.equations_replaced)
        self._agents = {agent.id: agent for agent in model.agents}
        self._program = program
        self._shared = SharedData(self._classes().values()) if program is None else None
        self._was_read = False

    def snapshot(self) -> State:
        """Return the state as data.

        Raises
        ------
        NotSnapshotable
            If something can't be saved; names all of it, with the agents and the attributes.
        """
        model = self._model
        agents = list(model.agents)
        plain = are_plain(model.events)
        known = self._known(agents, model.events if plain else ())
        given = self._given(known)
        recorder = Recorder(known, given)
        problems = recorder.problems
        if self._shared is not None:
            self._shared.check(problems)
        if slots := slots_of(type(model)):
            problems.note(f"the model's attribute {slots[0]!r}", "a model can't have slots")
        points: dict[str, Any] = {
            name: {key: [[*pair] for pair in pairs] for key, pairs in each.points.items()}
            for name, each in self._models.items()
            if name
        }
        state: dict[str, State] = {
            "listed": len(agents),
            "equations": self._changed_equations(problems),
            "models": points,
            "elements": model.element_values(),
            "events": saved_events(model.events, recorder) if plain else None,
            "program": []
            if self._program is None
            else self._program.saved(recorder, given, self._classes().values()),
        }
        parts = {name: getattr(model, name) for name in _PARTS}
        wholes: dict[str, Mapping[str, Any]] = {
            "attributes": self._attributes(kept=False),
            "parts": parts if plain else {**parts, "events": model.events},
            "scheduler": vars(model.scheduler),
            "collector": {} if model.data_collector is None else vars(model.data_collector),
        }
        for part, values in wholes.items():
            state[part] = {
                name: recorder.root(partial(_place, name, _WHOLES[part]), value)
                for name, value in values.items()
            }
        tables: list[State] = []
        done = 0
        while done < len(agents):  # some that were deleted are only met on the way
            more = agents[done:]
            tables += saved(more, done, recorder)
            done += len(more)
            recorder.run()
        recorder.run()
        state["agents"] = tables
        state["nodes"] = recorder.nodes
        if known.has_sets_of_texts:
            state["hash seed"] = known_objects.HASH_SEED
        problems.check()
        if not self._was_read:
            self._read(state, known, recorder)
            self._was_read = True
        return state

    def _read(self, state: Any, known: KnownObjects, recorder: Recorder) -> None:
        """Decode the first state and discard it: what can't be read is reported before there is a run."""
        graph = Rebuilder(state["nodes"], known, failed=lambda n, error: recorder.note(n, _unread(error)))
        graph.rebuild()
        recorder.problems.check()

        def read(what: str, value: Callable[..., object], *arguments: Any) -> None:
            try:
                value(*arguments)
            except Exception as error:
                recorder.problems.note(what, _unread(error))

        for table in state["agents"]:
            agents = f"agents of the class {table['class'][1]}"
            for name, column in chain(table["columns"].items(), table["values"].items()):
                read(f"the attribute {name!r} of {agents}", values_of, column, len(table["rows"]), graph)
            for data in chain.from_iterable(table["others"]):
                if data != ["as constructed"]:
                    read(f"a handler of {agents}", graph.value, data)
        if state["events"] is not None:
            read("an event that hasn't arrived", blank_events, state["events"], graph)
        for part, what in _WHOLES.items():
            for name, data in state[part].items():
                read(f"{what} {name!r}", graph.value, data)
        recorder.problems.check()

    def restore(self, state: Any) -> None:
        """Put a state back.

        Raises
        ------
        InvalidState
            If it isn't one of this model.
        """
        try:
            self._restore(state)
            self._was_read = True
        except PerdureError:
            raise
        except Exception as error:
            reason = f"it doesn't fit the model: {type(error).__name__}: {error}"
            raise InvalidState(name=self._model.name, reason=reason) from error

    def _restore(self, state: Any) -> None:
        model = self._model
        state = renewed(state)
        seed = state.get("hash seed", known_objects.HASH_SEED)
        if seed != known_objects.HASH_SEED:
            raise HashSeedChanged(
                f"The state of {model.name!r} has sets of texts, whose order depends on PYTHONHASHSEED. Set "
                f"it to {seed!r}, as it was when the state was saved."
            )
        tables = state["agents"]
        agents: list[Agent] = []
        events: list[Event] = []
        known = self._known(agents, events)
        graph = Rebuilder(state["nodes"], known)
        rows = table_rows(tables)
        agents += [self._blank(*rows[number], graph) for number in range(len(rows))]
        former = self._attributes()
        for name, data in state["attributes"].items():
            graph.adopt(data, former.get(name))
        program: Any = state.get("program", [])
        if self._program is not None:
            self._program.adopt(program, graph)
        elif program:
            raise ValueError("it holds data of modules, and other models are computed in this process")
        if state["events"] is not None:
            events += blank_events(state["events"], graph)
        graph.make()
        graph.fill()
        for table in tables:
            put_back(table, [agents[n] for n in table["rows"].tolist()], model, graph)
        if events:
            put_back_events(state["events"], events, graph)
        graph.fill_hashed()
        attributes, parts, scheduler, collector = (graph.named(state[part]) for part in _WHOLES)
        own = vars(model)
        for name in self._attributes(kept=False):
            del own[name]
        own.update(attributes)
        own.update(parts)
        if events:
            own["events"] = events
        own["agents"] = agents[: state["listed"]]
        _replace(vars(model.scheduler), scheduler)
        if model.data_collector is not None:
            _replace(vars(model.data_collector), collector)
        for owner, equations in state["equations"].items():
            for name, (equation, initial) in equations.items():
                element = self._models[owner].elements[name]
                if equation is not None:
                    element.equation = equation
                if initial is not None:
                    element.initial_value = initial
        for name, points in state["models"].items():
            self._models[name].points = points
        model.put_element_values(state["elements"])
        if self._program is not None:
            self._program.put_back(program, graph, self._given(known))

    def _blank(self, table: Any, place: int, graph: Rebuilder) -> Agent:
        """Return an agent without its attributes, or as its construction makes it where that is needed."""
        module, name = table["class"]
        number = row_of(table["columns"]["id"], place, graph)
        known = self._agents.get(number)
        if known is not None and class_name(type(known)) == (module, name):
            return known
        factory: Any = None if table["factories"] is None else table["factories"][place]
        if factory is None:
            return object.__new__(graph.class_of(["named", module, name]))  # type: ignore[no-any-return]
        properties = {
            name: {"type": row_of(table["types"][name], place, graph), "value": row_of(column, place, graph)}
            for name, column in table["values"].items()
        }
        return self._model.construct(factory, number, properties)

    def _attributes(self, *, kept: bool = True) -> dict[str, Any]:
        """Return the attributes that the model's author and its methods set."""
        own = {name: value for name, value in vars(self._model).items() if name not in self._names}
        if kept:
            return own
        return {n: v for n, v in own.items() if not (n in self._kept and self._kept[n] is v)}

    def _known(self, agents: list[Agent], events: Sequence[Event] = ()) -> KnownObjects:
        fixtures = {} if self._program is None else self._program.fixtures
        return KnownObjects(self._model, self._classes(), agents, events, fixtures)

    def _given(self, known: KnownObjects) -> dict[int, list[Any]]:
        """Return the records of what isn't saved as it is there, by `id`."""
        given = known.given(self._objects)
        return given if self._program is None else {**self._program.given, **given}

    def _classes(self) -> dict[ClassName, type]:
        """Return the classes that construction makes known, by name."""
        kinds = {type(agent) for agent in self._agents.values()} | {type(self._model)}
        kinds |= {type(self._model.scheduler), type(self._model.data_collector)}
        return {class_name(kind): kind for each in kinds for kind in each.__mro__}

    def _changed_equations(self, problems: Problems) -> State:
        """Return the numbers that a run gave to elements, by model and name."""

        def note(name: str, reason: str) -> None:
            problems.note(f"the element {name!r}", reason)

        changed: dict[str, State] = {}
        for owner, model in self._models.items():
            former = self._equations[owner]
            found: dict[str, State] = {}
            for name, element in model.elements.items():
                now = _equations(element)
                if name not in former:
                    note(name, "it was made during the run; make it in `instantiate_model`")
                    continue
                if any(new is not old for new, old in zip(now, former[name], strict=True)):
                    numbers: list[State] = []
                    for new, old in zip(now, former[name], strict=True):
                        number = None if new is old else finite(new)
                        if new is not old and number is None:
                            note(name, "its equation was replaced during the run, not by a number")
                        numbers.append(number)
                    found[name] = numbers
            if found:
                changed[owner] = found
        replaced = self._model.equations_replaced
        for name, function in replaced.items():
            if self._replaced.get(name) is not function:
                note(name, "a function was put in its place during the run")
        return changed


def _equations(element: Any) -> tuple[Any, Any]:
    return element.equation, element.initial_value


def _place(name: str, what: str, value: Any, path: str) -> str:
    return located(path, name, f"{what} {name!r}")


def _unread(error: Exception) -> str:
    return f"it can't be read back: {type(error).__name__}: {error}"


def _replace(attributes: dict[str, Any], new: Mapping[str, Any]) -> None:
    attributes.clear()
    attributes.update(new)
