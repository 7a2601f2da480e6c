"""BPTK in this process: the names of BPTK-Py's `bptk` class on a catalogue and sessions in memory.

A name that isn't known is an error with a suggestion, where BPTK-Py logs a line. System dynamics only.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from perdure.dialects.bptk.overrides import known_overrides, overrides_of
from perdure.dialects.bptk.plotting import PlotOptions
from perdure.dialects.bptk.session_clock import session_dt
from perdure.dialects.bptk.shapes import STOPTIME_REACHED
from perdure.drivers.portal import Portal
from perdure.drivers.requests import Log, NewSession, StepRequest, StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model, RunSpecs
from perdure.engines.system_dynamics.plots import PlotStyle, frame_of
from perdure.engines.system_dynamics.points import checked_points
from perdure.errors import Invalid, NotFound, RunFinished
from perdure.observability import Metrics, configure_logging
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.bulk import Results
from perdure.scenarios.catalogue import Names, check_outputs, names_of
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Bptk"]

SCENARIO_STORAGE = "scenarios/"
PAGE = 1000  # steps read at once
BACKENDS = ("python", "rust")
LOCAL = "local"  # whose the session is
NO_AGENTS = "expecting the model to have agents"

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Bptk:
    """Models and scenarios to be run as a whole, or step by step in one session at a time.

    Parameters
    ----------
    loglevel
        Least level that is logged from now on: DEBUG, INFO, WARN or ERROR; by default logging stays as it is.
    configuration
        ``scenario_storage``: the folder whose ``*.json`` files are registered (``scenarios/``), and how plots
        look, by the names of `plots.PlotStyle`. What else BPTK-Py takes is left out with a log line.

    Examples
    --------
    >>> from perdure.bptk import Model, bptk
    >>> model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="growth")
    >>> size = model.stock("size")
    >>> size.initial_value = 1.0
    >>> size.equation = size * 1.0
    >>> made = bptk()
    >>> made.register_model(model)
    >>> made.begin_session(scenarios=["base"], scenario_managers=["smGrowth"], equations=["size"])
    >>> made.run_step()
    {'smGrowth': {'base': {'size': {0.0: 1.0}}}}
    >>> made.destroy()
    """

    def __init__(self, loglevel: str | None = None, configuration: Mapping[str, Any] | None = None) -> None:
        if loglevel is not None:
            configure_logging("WARNING" if loglevel == "WARN" else loglevel, as_json=False)
        configuration = dict(configuration or {})
        folder = Path(configuration.pop("scenario_storage", SCENARIO_STORAGE))
        styles = {field.name for field in fields(PlotStyle)}
        self._style = PlotStyle().with_given(configuration)
        if ignored := sorted(configuration.keys() - styles):
            log.warning("configuration_ignored", keys=ignored)
        self.catalogue = Catalogue()
        self.catalogue.load(folder)
        self._portal: Portal | None = None
        self._sessions: Sessions | None = None
        self._run: str | None = None
        self._spec: SessionSpec | None = None
        self._locked = False

    # Registering and running --------------------------------------------------------------------------------

    def register_model(
        self,
        model: Model | str,
        scenario_manager: str | None = None,
        scenario: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Register a model with a manager of its own; see `Catalogue.register_model`."""
        self.catalogue.register_model(model, scenario_manager, scenario)

    def register_scenario_manager(self, scenario_manager: Mapping[str, Mapping[str, Any]]) -> None:
        """Register managers; see `Catalogue.register_scenario_manager`."""
        self.catalogue.register_scenario_manager(scenario_manager)

    def register_scenarios(self, scenarios: Mapping[str, Mapping[str, Any]], scenario_manager: str) -> None:
        """Add scenarios to a manager."""
        self.catalogue.register_scenarios(scenarios, scenario_manager)

    def run_scenarios(
        self,
        scenarios: Names = (),
        scenario_managers: Names = (),
        agents: Sequence[str] = (),
        equations: Names = (),
        series_names: Mapping[str, str] | None = None,
        progress_bar: bool = False,
        return_format: str | None = None,
        backend: str | None = None,
    ) -> Results:
        """Run scenarios from start to stop; see `Catalogue.run_scenarios`.

        Parameters
        ----------
        agents
            None: there are no agents.
        backend
            One of BPTK-Py's two engines, which are one here.
        """
        _check(agents, backend)
        return self.catalogue.run_scenarios(
            scenarios,
            scenario_managers,
            equations,
            series_names,
            progress_bar=progress_bar,
            return_format=return_format,
        )

    # Plotting -----------------------------------------------------------------------------------------------

    def plot_scenarios(
        self,
        scenarios: Names,
        scenario_managers: Names,
        agents: Sequence[str] = (),
        agent_states: Sequence[str] = (),
        agent_properties: Sequence[str] = (),
        agent_property_types: Sequence[str] = (),
        equations: Names = (),
        kind: str | None = None,
        alpha: float | None = None,
        stacked: bool | None = None,
        freq: str = "D",
        start_date: str = "",
        title: str = "",
        visualize_from_period: int = 0,
        visualize_to_period: int = 0,
        x_label: str = "",
        y_label: str = "",
        series_names: Mapping[str, str] | None = None,
        progress_bar: bool = False,
        return_df: bool = False,
        format: str = "plot",
        backend: str | None = None,
        matplotlib_rc_settings: Mapping[str, Any] | None = None,
    ) -> "pd.DataFrame | Axes | None":
        """Run scenarios from start to stop and draw the equations over time.

        Parameters
        ----------
        scenarios, scenario_managers, equations
            Names, as a list or one text with commas. A name that isn't known is a log line, and nothing is
            drawn.
        agents, agent_states, agent_properties, agent_property_types
            Empty: there are no agents.
        kind, alpha, stacked, matplotlib_rc_settings
            See `plots.PlotStyle`; by default as the configuration says.
        progress_bar, backend
            As for `run_scenarios`.
        freq, start_date, title, visualize_from_period, visualize_to_period, x_label, y_label
            See `plotting.PlotOptions`.
        series_names, return_df, format
            See `plotting.PlotOptions`.

        Raises
        ------
        MissingExtra
            If pandas isn't installed, or matplotlib where something is drawn.
        """
        _check([*agents, *agent_states, *agent_properties, *agent_property_types], backend)
        options = PlotOptions(
            self._styled(kind, alpha, stacked, matplotlib_rc_settings),
            start_date=start_date,
            freq=freq,
            title=title,
            x_label=x_label,
            y_label=y_label,
            visualize_from_period=visualize_from_period,
            visualize_to_period=visualize_to_period,
            series_names=series_names,
            return_df=return_df,
            format=format,
        )
        frame_of({})  # says what is missing before anything is computed
        try:
            frame: Any = self.catalogue.run_scenarios(
                scenarios, scenario_managers, equations, progress_bar=progress_bar, return_format="df"
            )
        except NotFound as error:
            log.error("nothing_to_plot", reason=str(error))
            return None
        return options.plot(frame)

    def plot_lookup(
        self,
        scenarios: Names,
        scenario_managers: Names,
        lookup_names: Names,
        return_df: bool = False,
        kind: str | None = None,
        alpha: float | None = None,
        stacked: bool | None = None,
        title: str = "",
        x_label: str = "",
        y_label: str = "",
        visualize_from_period: int = 0,
        visualize_to_period: int = 0,
        series_names: Mapping[str, str] | None = None,
        format: str = "plot",
        matplotlib_rc_settings: Mapping[str, Any] | None = None,
    ) -> "pd.DataFrame | Axes | None":
        """Draw graphical functions as the scenarios set them, each over its x values.

        Parameters
        ----------
        lookup_names
            Names of points, as a list or one text with commas.

        The others are those of `plot_scenarios`.

        Raises
        ------
        UnknownElement
            If a scenario's model has no points of that name.
        MissingExtra
            If pandas isn't installed, or matplotlib where something is drawn.
        """
        options = PlotOptions(
            self._styled(kind, alpha, stacked, matplotlib_rc_settings),
            title=title,
            x_label=x_label,
            y_label=y_label,
            visualize_from_period=visualize_from_period,
            visualize_to_period=visualize_to_period,
            series_names=series_names,
            return_df=return_df,
            format=format,
        )
        tables = {
            f"{found.manager}_{found.name}_{name}": dict(
                checked_points(found.points[name], name)
                if name in found.points
                else found.model.lookup_points(name)
            )
            for found in self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
            for name in names_of(lookup_names)
        }
        return options.plot(frame_of(tables))

    # Listing ------------------------------------------------------------------------------------------------

    def get_scenario(self, scenario_manager: str, scenario: str) -> Scenario:
        """Return a scenario."""
        return self.catalogue.scenario(scenario_manager, scenario)

    def get_scenarios(self, scenario_managers: Names = (), scenarios: Names = ()) -> dict[str, Scenario]:
        """Return scenarios by name; of several managers by ``manager_scenario``."""
        found = self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
        several = len({scenario.manager for scenario in found}) > 1
        return {(f"{one.manager}_{one.name}" if several else one.name): one for one in found}

    def get_scenario_names(
        self, scenario_managers: Names = (), format: str = "list"
    ) -> list[str] | dict[str, list[str]]:
        """Return the names of scenarios, as a list or, with ``dict``, by manager."""
        if format not in ("list", "dict"):
            raise Invalid(f"A format is 'list' or 'dict', not {format!r}.")
        managers = names_of(scenario_managers) or list(self.catalogue.managers)
        named = {name: list(self.catalogue.manager(name).scenarios) for name in managers}
        return named if format == "dict" else [name for names in named.values() for name in names]

    def list_scenarios(self, scenario_managers: Names = ()) -> None:
        """Print the scenarios of each manager."""
        named = self.get_scenario_names(scenario_managers, format="dict")
        assert isinstance(named, dict)
        for manager, names in named.items():
            print("\n".join([f"*** {manager} ***", *(f"\t{name}" for name in names)]))

    def list_equations(self, scenario_managers: Names = (), scenarios: Names = ()) -> None:
        """Print the elements of each scenario, by kind."""
        for scenario in self.catalogue.select(names_of(scenario_managers), names_of(scenarios)):
            print(f"{scenario.manager}, {scenario.name}:")
            for kind in ("stock", "flow", "biflow", "converter", "constant"):
                for name, element in sorted(scenario.model.elements.items()):
                    if element.kind == kind:
                        print(f"\t{kind}:\t{name}")

    # A session ----------------------------------------------------------------------------------------------

    def begin_session(
        self,
        scenarios: Names,
        scenario_managers: Names,
        settings: Mapping[str, Any] | str | None = None,
        agents: Sequence[str] = (),
        equations: Names = (),
        starttime: float = 0.0,
        dt: float | None = None,
        backend: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Begin a session in place of the one there is.

        Parameters
        ----------
        scenarios, scenario_managers, equations
            Names, as a list or one text with commas; at least one of each.
        settings
            Manager → scenario → ``constants`` and ``points`` that it begins with; may be JSON text.
        agents, backend
            As for `run_scenarios`.
        starttime
            At most the start of each scenario, where its session begins.
        dt
            Distance of answers; by default 1.0 where that is a multiple of every scenario's dt, else theirs.
        seed
            Of the random draws; by default one is made.
        """
        _check(agents, backend)
        outputs = names_of(equations)
        found = self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
        if not outputs:
            raise Invalid("expecting either equations or agents to be set")
        check_outputs(outputs, found)
        for scenario in found:
            begins = scenario.config((), seed=0)["starttime"]
            if starttime > begins:
                raise Invalid(f"A session begins where its scenarios do, at {begins}, not at {starttime}.")
        given = json.loads(settings) if isinstance(settings, str) else settings
        named: dict[str, list[str]] = {}
        for scenario in found:
            named.setdefault(scenario.manager, []).append(scenario.name)
        request = NewSession(
            scenarios=named,
            outputs=outputs,
            dt=session_dt(found) if dt is None else dt,
            seed=seed,
            settings=known_overrides(overrides_of(given), found),
        )
        self.end_session()
        created = self._call(lambda sessions: sessions.create(LOCAL, request))
        self._run, self._spec = created.run.id, SessionSpec.from_blob(created.run.spec)

    def run_step(
        self, settings: Mapping[str, Any] | None = None, flat: bool = False
    ) -> dict[str, Any] | None:
        """Take a step.

        Returns
        -------
        dict or None
            Manager → scenario → equation → time → value, flat without the time;
            ``{"msg": "Stoptime reached"}`` past the end; None without a session.
        """
        run, spec = self._run, self._spec
        if run is None or spec is None:
            return None
        in_session = [self.catalogue.scenario(part.manager, part.scenario) for part in spec.scenarios]
        request = StepRequest(settings=known_overrides(overrides_of(settings), in_session))
        try:
            answer = self._call(lambda sessions: sessions.step(LOCAL, run, request))
        except RunFinished:
            return dict(STOPTIME_REACHED)
        return _tree(spec, answer.steps[0], flat)

    def session_results(self, index_by_time: bool = True, flat: bool = False) -> dict[Any, Any]:
        """Return all that the session answered; {} without one.

        Parameters
        ----------
        index_by_time
            Time → what `run_step` returned; if not, manager → scenario → ``equations`` → equation → time →
            value.
        flat
            Lists of values in place of time → value, where it isn't indexed by time.
        """
        spec = self._spec
        if spec is None:
            return {}
        steps = self._steps()
        if index_by_time:
            return {_time(spec, step): _tree(spec, step, False) for step in steps}
        results: dict[str, Any] = {}
        for step in steps:
            for manager, scenarios in _tree(spec, step, False).items():
                for scenario, values in scenarios.items():
                    equations = results.setdefault(manager, {}).setdefault(scenario, {"equations": {}})
                    for name, at in values.items():
                        if flat:
                            equations["equations"].setdefault(name, []).extend(at.values())
                        else:
                            equations["equations"].setdefault(name, {}).update(at)
        return results

    def progress(self) -> float:
        """Return how much of the session's steps is taken, from 0.0 to 1.0; 0.0 without a session."""
        run, spec = self._run, self._spec
        if run is None or spec is None:
            return 0.0
        found = self._call(lambda sessions: sessions.run(LOCAL, run))
        steps = max(
            RunSpecs(
                part.config["starttime"],
                part.config["stoptime"],
                part.config["dt"],
                timestep=part.config.get("timestep"),
            ).answers
            for part in spec.scenarios
        )
        return found.position / steps

    def end_session(self) -> None:
        """End the session; harmless without one."""
        run, self._run, self._spec, self._locked = self._run, None, None, False
        if run is not None:
            self._call(lambda sessions: sessions.delete(LOCAL, run))

    def lock(self) -> None:
        """Mark the session as locked, for whoever asks `is_locked`."""
        self._locked = True

    def unlock(self) -> None:
        """Undo `lock`."""
        self._locked = False

    def is_locked(self) -> bool:
        """Return whether the session is marked as locked."""
        return self._locked

    def destroy(self) -> None:
        """End the session and what it runs in; harmless when done twice."""
        self.end_session()
        if self._portal is not None:
            if self._sessions is not None:
                self._portal.call(self._sessions.aclose)
            self._portal.close()
            self._portal = self._sessions = None

    def _styled(
        self,
        kind: str | None,
        alpha: float | None,
        stacked: bool | None,
        matplotlib_rc_settings: Mapping[str, Any] | None,
    ) -> PlotStyle:
        given = {
            "kind": kind,
            "alpha": alpha,
            "stacked": stacked,
            "matplotlib_rc_settings": matplotlib_rc_settings,
        }
        return self._style.with_given(given)

    def _call(self, work: Callable[[Sessions], Awaitable[T]]) -> T:
        if self._portal is None or self._sessions is None:
            self._portal = Portal()
            given: dict[str, Any] = {}  # all as the environment says
            self._sessions = Sessions(MemoryStore(), self.catalogue, Settings(**given), Metrics())
        sessions = self._sessions
        return self._portal.call(lambda: work(sessions))

    def _steps(self) -> list[StepRows]:
        run = self._run
        assert run is not None
        steps: list[StepRows] = []

        def read(sessions: Sessions) -> Awaitable[Log]:
            return sessions.log(LOCAL, run, len(steps), PAGE)

        while True:
            page = self._call(read)
            steps += [given.step for given in page.steps]
            if len(steps) >= page.run.position:
                return steps


def _check(agents: Sequence[str], backend: str | None) -> None:
    if agents:
        raise Invalid(NO_AGENTS)
    if backend is not None and backend not in BACKENDS:
        raise Invalid(f"backend must be 'python' or 'rust', got {backend!r}")


def _time(spec: SessionSpec, step: StepRows) -> float:
    time: float = next(
        round(row[0], part.decimals)
        for part, row in zip(spec.scenarios, step.rows, strict=True)
        if row is not None
    )
    return time


def _tree(spec: SessionSpec, step: StepRows, flat: bool) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for part, row in zip(spec.scenarios, step.rows, strict=True):
        if row is not None:
            values = dict(zip(part.outputs, row[1:], strict=True))
            time = round(row[0], part.decimals)
            tree.setdefault(part.manager, {})[part.scenario] = (
                values if flat else {name: {time: value} for name, value in values.items()}
            )
    return tree
