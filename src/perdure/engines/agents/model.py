"""The model of agents, which may also have elements of system dynamics: a hybrid model.

It has the surface of BPTK-Py's `Model`. Without agents, a model is one of system dynamics and nothing else.
"""

import random
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.evaluation import Equations, Evaluation
from perdure.engines.agents.events import Event
from perdure.engines.agents.exceptions import NotAnAgentException, WrongTypeException
from perdure.engines.agents.properties import Property, missing_attribute
from perdure.engines.agents.saved_agents import note_construction
from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics import Model as SystemDynamics
from perdure.engines.system_dynamics.attributes import attributes_of
from perdure.late_logger import LateLogger

if TYPE_CHECKING:
    from perdure.state.codec import State

__all__ = ["Factory", "Model"]

Factory = Callable[[int, "Model", Any], Agent]
"""Makes an agent from its id, its model and its properties."""

log = LateLogger(__name__)


class Model(SystemDynamics):
    """A model of agents, elements of system dynamics, or both.

    Parameters
    ----------
    starttime, stoptime, dt
        The run specs. A run of agents needs integers as start and stop; dt is the length of a step.
    name
        The model's name.
    scheduler
        Runs the agents, normally a `SimultaneousScheduler`.
    data_collector
        Collects data of each step; None collects nothing.

    Attributes
    ----------
    agents
        All agents, in the order of their creation.
    agent_type_map
        Name of a factory → ids of its agents.
    agent_factories
        Factories by name.
    events
        Events that were sent and haven't arrived.
    properties
        Name → ``{"type": …, "value": …}``; read and written like attributes. Values of the type Lookup are
        points of the model too.
    next_agent_id
        The id of the next agent.
    scenario_manager
        The name of the scenario's manager.

    Examples
    --------
    >>> from perdure.bptk import Agent, DataCollector, Model, SimultaneousScheduler
    >>> class Walker(Agent):
    ...     def act(self, time, round_no, step_no):
    ...         self.place += self.model.stride
    >>> model = Model(name="walk", scheduler=SimultaneousScheduler(), data_collector=DataCollector())
    >>> model.register_agent_factory("walker", lambda i, model, p: Walker(i, model, p, "walker"))
    >>> model.configure({
    ...     "runspecs": {"starttime": 1, "stoptime": 3, "dt": 1},
    ...     "properties": {"stride": {"type": "Double", "value": 2.0}},
    ...     "agents": [
    ...         {"name": "walker", "count": 2, "properties": {"place": {"type": "Double", "value": 0.0}}}
    ...     ],
    ... })
    >>> model.run()
    >>> model.statistics()[3]["walker"]["active"]["place"]["mean"]
    6.0
    """

    def __init__(
        self,
        starttime: float = 0.0,
        stoptime: float = 0.0,
        dt: float = 1.0,
        name: str = "",
        scheduler: Any = None,
        data_collector: Any = None,
    ) -> None:
        self.properties: dict[str, Property] = {}
        super().__init__(starttime, stoptime, dt, name, scheduler, data_collector)
        self.scheduler: Any
        self.data_collector: Any
        self.agents: list[Agent] = []
        self.agent_type_map: dict[str, list[int]] = {}
        self.agent_factories: dict[str, Factory] = {}
        self.events: list[Event] = []
        self.next_agent_id = 0
        self.scenario_manager = ""
        self._by_id: tuple[list[Agent], int, dict[Any, Agent]] = ([], 0, {})
        self._evaluation: Evaluation | None = None

    # Agents -------------------------------------------------------------------------------------------------

    def register_agent_factory(self, agent_type: str, agent_factory: Factory) -> None:
        """Register the function that makes agents of a type."""
        if not isinstance(agent_type, str):
            raise ValueError(f"agent_type param is not String but {type(agent_type)}")
        self.agent_factories[agent_type] = agent_factory
        self.agent_type_map.setdefault(agent_type, [])
        self._hybrid()

    def create_agents(self, agent_spec: Mapping[str, Any]) -> None:
        """Create agents: ``name`` of the factory, ``count``, and ``properties``, which are optional."""
        for _ in range(agent_spec["count"]):
            self.create_agent(agent_spec["name"], agent_spec.get("properties", {}))

    def create_agent(self, agent_type: str, agent_properties: Any) -> Agent:
        """Create an agent, and return it.

        Raises
        ------
        KeyError
            If there is no factory for the type.
        NotAnAgentException
            If the factory returns something else.
        """
        if agent_type not in self.agent_factories:
            raise KeyError(agent_type)
        self.next_agent_id += 1
        agent = self.construct(agent_type, self.next_agent_id - 1, agent_properties)
        self.agents.append(agent)
        self.agent_type_map[agent_type].append(agent.id)
        return agent

    def construct(self, agent_type: str, agent_id: int, agent_properties: Any) -> Agent:
        """Return a new agent, initialised, that isn't one of the model's agents yet."""
        agent = self.agent_factories[agent_type](agent_id, self, agent_properties)
        if not isinstance(agent, Agent):
            raise NotAnAgentException(
                f"{agent} is not an instance of BPTK_Py.Agent. Please only use subclasses of Agent"
            )
        agent.initialize()
        note_construction(agent, agent_type)
        return agent

    def delete_agent(self, agent_id: int) -> None:
        """Delete an agent; an unknown id is ignored."""
        self.delete_agents([agent_id])

    def delete_agents(self, agent_ids: Iterable[int]) -> None:
        """Delete agents; unknown ids are ignored. In the present step, they still act."""
        gone = set(agent_ids)
        self.agents = [agent for agent in self.agents if agent.id not in gone]
        for name, ids in self.agent_type_map.items():
            self.agent_type_map[name] = [number for number in ids if number not in gone]

    def agent(self, agent_id: Any) -> Agent | None:
        """Return the agent with an id, or None."""
        agents, known, by_id = self._by_id
        if agents is not self.agents or known != len(agents):  # programs change the list themselves
            by_id = {agent.id: agent for agent in self.agents}
            self._by_id = self.agents, len(self.agents), by_id
        return by_id.get(agent_id)

    def agent_ids(self, agent_type: str) -> list[int]:
        """Return the ids of a factory's agents; KeyError if there is no such factory."""
        return self.agent_type_map[agent_type]

    def agent_count(self, agent_type: str) -> int:
        """Return the number of a factory's agents."""
        return len(self.agent_type_map[agent_type])

    def agent_count_per_state(self, agent_type: str, state: str) -> int:
        """Return the number of a factory's agents in a state."""
        found = map(self.agent, self.agent_type_map[agent_type])
        return sum(agent is not None and agent.state == state for agent in found)

    def next_agent(self, agent_type: str, state: str) -> Agent | None:
        """Return the first agent whose `agent_type` and `state` are these, or None."""
        for agent in self.agents:
            if agent.agent_type == agent_type and agent.state == state:
                return agent
        return None

    def random_agents(self, agent_type: str, num_agents: int) -> list[int]:
        """Return ids of a factory's agents, drawn with replacement; at most as many as there are agents."""
        ids = self.agent_type_map[agent_type]
        number = min(num_agents, len(ids))
        return [ids[self.get_random_integer(0, len(ids) - 1)] for _ in range(number)]

    @staticmethod
    def get_random_integer(min_value: int, max_value: int) -> int:
        """Return a rounded uniform draw: the ends are half as likely as the integers between them."""
        return round(random.random() * (max_value - min_value) + min_value)  # noqa: S311 - simulation

    # Events -------------------------------------------------------------------------------------------------

    def enqueue_event(self, event: Event) -> None:
        """Send an event, which arrives in the next step."""
        if not isinstance(event, Event):
            raise WrongTypeException(f"{event} is not an instance of BPTK_Py.Event")
        self.events.append(event)

    def broadcast_event(self, agent_type: str, event_factory: Callable[[int], Event]) -> None:
        """Send an event to each of a factory's agents; the function makes it from the agent's id."""
        if not isinstance(agent_type, str):
            raise WrongTypeException(f"param {agent_type} for agent_type is not of type str")
        for agent_id in list(self.agent_type_map[agent_type]):
            self.enqueue_event(event_factory(agent_id))

    def random_events(self, agent_type: str, num_agents: int, event_factory: Callable[[int], Event]) -> None:
        """Send an event to each agent of `random_agents`."""
        for agent_id in self.random_agents(agent_type, num_agents):
            self.enqueue_event(event_factory(agent_id))

    # Properties ---------------------------------------------------------------------------------------------

    def set_property(self, name: str, property_spec: Property) -> None:
        """Set a property with its type."""
        self.properties[name] = property_spec

    def get_property(self, name: str) -> Property | None:
        """Return a property with its type, or None."""
        return self.properties.get(name)

    def set_property_value(self, name: str, value: Any) -> None:
        """Set the value of a property; KeyError if there is none."""
        self.properties[name]["value"] = value

    def get_property_value(self, name: str) -> Any:
        """Return the value of a property; AttributeError if there is none."""
        if name not in self.properties:
            raise missing_attribute(self, name)
        return self.properties[name]["value"]

    def __getattr__(self, name: str) -> Any:
        # Only called for what isn't an attribute.
        properties = self.__dict__.get("properties", ())
        if name in properties:
            return properties[name]["value"]
        raise missing_attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        found = self.__dict__.get("properties", {}).get(name)
        if found is None:
            object.__setattr__(self, name, value)
            return
        found["value"] = value
        if found.get("type") == "Lookup":
            self.points[name] = value

    # Configuring --------------------------------------------------------------------------------------------

    def configure(self, config: Mapping[str, Any]) -> None:
        """Set up the model as a scenario says: ``runspecs``, ``properties`` and ``agents``.

        Raises
        ------
        KeyError
            If one of these is missing.
        """
        runspecs = config["runspecs"]
        self.run_specs(runspecs["starttime"], runspecs["stoptime"], runspecs["dt"])
        self._hybrid()
        self.configure_properties(config["properties"])
        self.configure_agents(config["agents"])

    def configure_properties(self, config: Mapping[str, Property]) -> None:
        """Set properties; those of the type Lookup are points, too."""
        for name, given in config.items():
            if given["type"] == "Lookup":
                self.points[name] = given["value"]
            self.set_property(name, {"type": given["type"], "value": given["value"]})

    def configure_agents(self, config: Sequence[Mapping[str, Any]]) -> None:
        """Replace all agents by new ones, with ids from 0 on; see `create_agents`."""
        self._clear_agents()
        for spec in config:
            self.create_agents(spec)

    def set_scenario_manager(self, scenario_manager: str) -> None:
        """Set the name of the scenario's manager."""
        if not isinstance(scenario_manager, str):
            raise ValueError("Scenario manager name needs to be of type String")
        self.scenario_manager = scenario_manager

    def reset(self) -> None:
        """Delete all agents and events; ids begin at 0 again."""
        self._clear_agents()
        self.events = []

    def reset_cache(self) -> None:
        """Discard collected data and values of elements; agents, states and events stay."""
        if self.data_collector is not None:
            self.data_collector.reset()
        for agent in self.agents:
            agent.reset_cache()
        if self._evaluation is not None:
            self._evaluation.reset()

    def _clear_agents(self) -> None:
        self.agents = []
        self.agent_type_map = {name: [] for name in self.agent_factories}
        self.next_agent_id = 0

    # Running ------------------------------------------------------------------------------------------------

    def run(self, show_progress_widget: bool = False, collect_data: bool = True) -> None:
        """Run all rounds; see `SimultaneousScheduler.run`.

        Parameters
        ----------
        show_progress_widget
            Log the progress at the end of the run.
        collect_data
            Collect data in each step, not only in the last one.
        """
        if self.scheduler is None:
            log.error("model_without_scheduler", model=self.name)
            return
        self.keep_values()
        self.scheduler.run(self, None, collect_data)
        if show_progress_widget:
            log.info("model_run", model=self.name, progress=self.scheduler.progress)

    def run_step(self, step: int, show_progress_widget: bool = False, collect_data: bool = True) -> None:
        """Run a step of round 0, whose time is step · dt; nothing is cleared before."""
        if self.scheduler is None:
            log.error("model_without_scheduler", model=self.name)
            return
        self.keep_values()
        self.scheduler.run_step(self, 0, step, None, collect_data)
        if show_progress_widget:
            log.info("model_run", model=self.name, progress=self.scheduler.progress)

    def begin_round(self, time: float, sim_round: int, step: int) -> None:
        """Prepare a step, after events have arrived and before agents act. Subclasses override it."""

    def end_round(self, time: float, sim_round: int, step: int) -> None:
        """Finish a step, after all agents have acted. Subclasses override it."""

    def begin_episode(self, episode_no: int) -> None:
        """Prepare all agents for an episode of a training."""
        for agent in self.agents:
            agent.begin_episode(episode_no)

    def end_episode(self, episode_no: int) -> None:
        """Let all agents learn from an episode of a training."""
        for agent in self.agents:
            agent.end_episode(episode_no)

    def statistics(self) -> Any:
        """Return what the data collector has collected; None without one."""
        if self.data_collector is None:
            log.error("model_without_data_collector", model=self.name)
            return None
        return self.data_collector.statistics()

    # Elements -----------------------------------------------------------------------------------------------

    def evaluate_equation(self, name: str, t: float) -> float:
        """Return the value of an element at the grid point nearest to `t`.

        In a model with agents it is computed once, when it is first needed. See `Evaluation`.
        """
        evaluation = self._evaluation
        if evaluation is None:
            return super().evaluate_equation(name, t)
        if name not in evaluation.replaced:
            self.known(name, "A request")
        return evaluation.value(name, t)

    def evaluate_step(self, time: float) -> None:
        """Evaluate the elements of a step that nobody has read in it; schedulers call it at its end.

        Those of models that the model has as attributes are evaluated, too.
        """
        for model in (self, *self.inner_models().values()):
            evaluation = model._evaluation
            if evaluation is not None and (model._elements or evaluation.replaced):
                evaluation.evaluate_step(time)

    def inner_models(self) -> dict[str, "Model"]:
        """Return the models that are attributes of this one, by name."""
        found = {name: value for name, value in vars(self).items() if isinstance(value, Model)}
        return {name: value for name, value in found.items() if value is not self}

    def keep_values(self) -> None:
        """Keep the values of elements from now on, as in a run; also of models that are attributes."""
        for model in (self, *self.inner_models().values()):
            model._hybrid()

    def add_equation(self, name: str, function: Callable[[float], Any]) -> None:
        """Add a function of time that is evaluated like an element."""
        self._hybrid().replace(name, function)

    @property
    def equations(self) -> MutableMapping[str, Callable[[float], Any]]:
        """The elements by name, each a function of time; a function can be put in the place of one."""
        evaluation = self._evaluation
        replaced = {} if evaluation is None else evaluation.replaced
        return Equations(self.elements, replaced, self.add_equation)

    @property
    def memo(self) -> dict[str, dict[float, float]]:
        """Name → time → value of the elements that were evaluated."""
        return {} if self._evaluation is None else self._evaluation.values()

    @property
    def model(self) -> "Model":
        """The model itself."""
        return self

    def simulate(self, equations: Sequence[str] | str, backend: str | None = None) -> Any:
        """Run the elements without the agents, and return their values; see the model of system dynamics."""
        evaluation = self._evaluation
        if evaluation is None:
            return super().simulate(equations, backend)
        names = [n.strip() for n in equations.split(",")] if isinstance(equations, str) else list(equations)
        for name in names:
            if name not in evaluation.replaced:
                self.known(name, "A request")
        return evaluation.table(names)

    def windows(
        self,
        names: Sequence[str],
        starttime: float | None = None,
        stoptime: float | None = None,
        dt: float | None = None,
    ) -> list[dict[float, float]]:
        """Return time → value of each element; each value is that of the nearest grid point."""
        if self._evaluation is None:
            return super().windows(names, starttime, stoptime, dt)
        shown = RunSpecs(
            self.starttime if starttime is None else starttime,
            self.stoptime if stoptime is None else stoptime,
            self.dt if dt is None else dt,
            name=self.name,
        )
        times = [shown.time(n) for n in range(shown.answers)]
        return [{round(t, shown.decimals): self.evaluate_equation(name, t) for t in times} for name in names]

    def own_names(self) -> frozenset[str]:
        """Return the names of the attributes that every model has."""
        return frozenset(vars(Model())) | {"_instantiated"}

    @property
    def equations_replaced(self) -> Mapping[str, Callable[[float], Any]]:
        """The functions that were put in the place of elements."""
        return {} if self._evaluation is None else self._evaluation.replaced

    def draw_from(self, seed: int, stream: str) -> None:
        """Let random draws of elements depend on a seed and a stream."""
        self.keep_values()
        for name, model in {"": self, **self.inner_models()}.items():
            evaluation = model._hybrid()
            evaluation.seed, evaluation.stream = seed, f"{stream}{name}"

    def element_values(self) -> "State":
        """Return the values of elements as data."""
        values: dict[str, State] = {"": self._hybrid().snapshot()}
        return values | {name: model._hybrid().snapshot() for name, model in self.inner_models().items()}

    def put_element_values(self, state: Any) -> None:
        """Put back what `element_values` returned."""
        for name, model in {"": self, **self.inner_models()}.items():
            model._hybrid().restore(state[name])

    def attributes(self) -> Mapping[str, Any]:
        """Return what the author set on the model besides elements, points and agents."""
        return attributes_of(self, Model) if self._attributes is None else self._attributes

    def _hybrid(self) -> Evaluation:
        """Keep the values of elements from now on."""
        if self._evaluation is None:
            self._evaluation = Evaluation(self)
        return self._evaluation
