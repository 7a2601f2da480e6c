"""Schedulers: the order in which events arrive and agents act."""

from typing import TYPE_CHECKING, Any

from perdure.engines.agents.events import DelayedEvent, Event
from perdure.late_logger import LateLogger

if TYPE_CHECKING:
    from perdure.engines.agents.model import Model

__all__ = ["Scheduler", "SimultaneousScheduler"]

_EXACT = 1e-9  # of a step: a delay of less than this is over

log = LateLogger(__name__)


class Scheduler:
    """The base of schedulers, which runs nothing itself.

    Attributes
    ----------
    current_time, current_round, current_step
        Where the run is.
    progress
        The share of the run that is done: time divided by stop time.
    delayed_events
        Events that are still delayed.
    running
        Set it to False to end the run after the present step. It stays False.
    """

    def __init__(self) -> None:
        self.current_time: float = 0
        self.current_round = 0
        self.current_step = 0
        self.progress: float = 0.0
        self.delayed_events: list[DelayedEvent] = []
        self.running = True

    def run(self, model: "Model", progress_widget: Any = None, collect_data: bool = True) -> None:
        """Log that a scheduler of its own is needed."""
        log.error("scheduler_runs_nothing", scheduler=type(self).__name__, model=model.name)

    def run_step(
        self,
        model: "Model",
        sim_round: int,
        step: int,
        progress_widget: Any = None,
        collect_data: bool = True,
    ) -> None:
        """Log that a scheduler of its own is needed."""
        log.error("scheduler_runs_nothing", scheduler=type(self).__name__, model=model.name)

    def handle_delayed_event(self, event: Event, dt: float) -> Event | None:
        """Return an event that is due; one that isn't is delayed for a step less, and None returned."""
        if isinstance(event, DelayedEvent) and event.delay > 0:
            left = event.delay - dt
            # Repeated subtraction leaves rests such as 1e-17, which aren't another step.
            event.delay = left if abs(left) > _EXACT * dt else 0
            self.delayed_events.append(event)
            return None
        return event


class SimultaneousScheduler(Scheduler):
    """A scheduler under which all agents act in each step, in the order of their creation.

    A step: events that were sent before arrive; `begin_round`; each agent handles its events and acts;
    `end_round`; elements of system dynamics are evaluated; data are collected. An event that is sent in a
    step arrives in the next one.
    """

    def run(self, model: "Model", progress_widget: Any = None, collect_data: bool = True) -> None:
        """Run all rounds from the start time to the stop time, each with round(1 / dt) steps.

        Start and stop must be integers. Nothing but the collected data is reset before.
        """
        if model.data_collector is not None:
            model.data_collector.reset()
        steps = round(1 / model.dt)
        start: Any = model.starttime
        stop: Any = model.stoptime
        for sim_round in range(start, stop + 1):
            for step in range(steps):
                if not self.running:
                    return
                last = sim_round == stop and step == steps - 1
                self.run_step(model, sim_round, step, progress_widget, collect_data or last)

    def run_step(
        self,
        model: "Model",
        sim_round: int,
        step: int,
        progress_widget: Any = None,
        collect_data: bool = True,
    ) -> None:
        """Run one step of a round.

        Parameters
        ----------
        progress_widget
            An object whose ``value`` is set to the progress; None for none.
        collect_data
            Whether data are collected.
        """
        self.current_round, self.current_step = sim_round, step
        self.current_time = time = sim_round + step * model.dt
        self.progress = time / model.stoptime
        if progress_widget is not None:
            progress_widget.value = self.progress
        self.advance(model, time, collect_data)

    def advance(self, model: "Model", time: float, collect_data: bool) -> None:
        """Do all that happens at a time."""
        sim_round, step = self.current_round, self.current_step
        collector = model.data_collector
        while model.events:
            event = self.handle_delayed_event(model.events.pop(), model.dt)
            receiver = None if event is None else model.agent(event.receiver_id)
            if event is not None and receiver is not None:
                receiver.receive_event(event)
                if collector is not None:
                    collector.record_event(time, event)
        model.begin_round(time, sim_round, step)
        for agent in model.agents:
            agent.handle_events(time, sim_round, step)
            agent.act(time, sim_round, step)
        model.end_round(time, sim_round, step)
        model.evaluate_step(time)
        if collect_data and collector is not None:
            collector.collect_agent_statistics(time, model.agents)
        model.events += self.delayed_events
        self.delayed_events = []
