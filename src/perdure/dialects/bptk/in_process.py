"""BPTK in this process: BPTK-Py's `bptk` class on a catalogue, with sessions in memory.

An unknown name is an error with a suggestion, where BPTK-Py logs a line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.dialects.bptk.agent_query import AgentQuery, has_agents
from perdure.dialects.bptk.agent_runs import AgentRuns, agents_frame, run_with_agents
from perdure.dialects.bptk.exporting import Export
from perdure.dialects.bptk.listing import is_of_type, print_equations, print_scenarios, scenario_names
from perdure.dialects.bptk.plotting import PlotOptions
from perdure.dialects.bptk.simulation_scenario import (
    SimulationScenario,
    SimulationScenarios,
    system_dynamics_of,
)
from perdure.dialects.bptk.training import train
from perdure.engines.agents import Model as AgentsModel
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.model import BACKENDS
from perdure.engines.system_dynamics.plots import PlotStyle, frame_of
from perdure.engines.system_dynamics.points import checked_points
from perdure.errors import Invalid, NotFound
from perdure.late_logger import LateLogger
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.bulk import Results
from perdure.scenarios.catalogue import Names, check_outputs, names_of
from perdure.scenarios.files import GivenModel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from perdure.dialects.bptk.local_session import LocalSession

__all__ = ["Bptk"]

SCENARIO_STORAGE = "scenarios/"
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR")

log = LateLogger(__name__)


class Bptk:
    """Models and scenarios, for complete runs and for one session at a time.

    Parameters
    ----------
    loglevel
        Lowest level that is logged from now on: DEBUG, INFO, WARN or ERROR; by default logging isn't changed.
    configuration
        ``scenario_storage``: the folder whose ``*.json`` files are registered (``scenarios/``), and the look
        of plots, with the names of `plots.PlotStyle`. Other keys of BPTK-Py are ignored and logged.

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
            if loglevel not in LOG_LEVELS:
                raise Invalid(f"loglevel is one of {', '.join(LOG_LEVELS)}, not {loglevel!r:.80}.")
            from perdure.observability import configure_logging  # takes long, as in `late_logger`

            configure_logging("WARNING" if loglevel == "WARN" else loglevel, as_json=False)
        configuration = dict(configuration or {})
        self._folder = Path(configuration.pop("scenario_storage", SCENARIO_STORAGE))
        styles = {field.name for field in fields(PlotStyle)}
        self._style = PlotStyle().with_given(configuration)
        if ignored := sorted(configuration.keys() - styles):
            log.warning("configuration_ignored", keys=ignored)
        self._catalogue = Catalogue()
        self._catalogue.load(self._folder)
        self._handed_out = SimulationScenarios()
        self._agent_runs = AgentRuns()

    @cached_property
    def _session(self) -> "LocalSession":
        # With a store and an event loop, which a model's file in the process of an engine has no use for.
        from perdure.dialects.bptk.local_session import LocalSession

        return LocalSession(self._catalogue)

    @property
    def catalogue(self) -> Catalogue:
        """The managers and scenarios, with all changes made to scenarios of `get_scenario`."""
        self._handed_out.register(self._catalogue)
        return self._catalogue

    # Registering and running --------------------------------------------------------------------------------

    def register_model(
        self,
        model: GivenModel | type[Model] | str,
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

    def reset_scenario_cache(self, scenario_manager: str = "", scenario: str = "") -> None:
        """Let the next run of a scenario with agents begin at its start, as other runs always do."""
        self.catalogue.scenario(scenario_manager, scenario)
        self._agent_runs.reset(scenario_manager, scenario)

    def reset_scenario(self, scenario_manager: str, scenario: str) -> None:
        """Read a scenario from its file again; one that was registered in Python is removed."""
        manager = self._catalogue.manager(scenario_manager).copy()
        self._catalogue.scenario(scenario_manager, scenario)
        fresh = Catalogue()
        fresh.load(self._folder)
        in_file = fresh.managers.get(scenario_manager)
        if in_file is not None and scenario in in_file.scenarios:
            manager.scenarios[scenario] = in_file.scenarios[scenario]
        else:
            del manager.scenarios[scenario]
        self._catalogue.managers[scenario_manager] = manager
        self._agent_runs.reset(scenario_manager, scenario)

    def reset_all_scenarios(self) -> None:
        """Read all scenario files again, remove what was registered in Python, and end the session."""
        fresh = Catalogue()
        fresh.load(self._folder)
        self.destroy()
        self.__dict__.pop("_session", None)  # the next one is of the fresh catalogue
        self._catalogue, self._agent_runs = fresh, AgentRuns()

    def run_scenarios(
        self,
        scenarios: Names = (),
        scenario_managers: Names = (),
        agents: Names = (),
        agent_states: Names = (),
        agent_properties: Names = (),
        agent_property_types: Names = (),
        equations: Names = (),
        series_names: Mapping[str, str] | None = None,
        progress_bar: bool = False,
        return_format: str | None = None,
        backend: str | None = None,
    ) -> Results:
        """Run scenarios from start to stop; see `Catalogue.run_scenarios`.

        Parameters
        ----------
        agents, agent_states, agent_properties, agent_property_types
            Types of agents, states, properties, and statistics of these (``total``, ``max``, ``min`` or
            ``mean``), which scenarios with agents answer. They answer no equations, and a scenario is run
            once until it is reset.
        backend
            One of BPTK-Py's two engines, which are one here.

        Returns
        -------
        DataFrame, dict, str or None
            As `Catalogue.run_scenarios`; of agents there are columns
            ``<manager>_<scenario>_<type>_<state>``, or ``…_<property>_<statistic>``. None if scenarios with
            agents were asked for nothing that there is.

        Raises
        ------
        MissingExtra
            If the format is ``"df"`` and pandas isn't installed.
        """
        _check_backend(backend)
        query = AgentQuery.of(agents, agent_states, agent_properties, agent_property_types)
        chosen = self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
        if query.agents or any(map(has_agents, chosen)):
            found: Results = run_with_agents(
                self._agent_runs,
                chosen,
                names_of(equations),
                query,
                series_names or {},
                return_format,
                progress_bar,
            )
            return found
        return self.catalogue.run_scenarios(
            scenarios,
            scenario_managers,
            equations,
            series_names,
            progress_bar=progress_bar,
            return_format=return_format,
        )

    def export_scenarios(
        self,
        scenario_manager: str,
        scenarios: Names | None = None,
        equations: Names | None = None,
        interactive_scenario: str | None = None,
        interactive_equations: Names | None = None,
        interactive_settings: Mapping[str, Sequence[float]] | None = None,
        time_column_name: str = "time",
        scenario_df_name: str = "scenario",
        scenario_column_name: str = "scenario",
        indicator_df_name: str = "indicator",
        interactive_df_name: str = "interactive",
        filename: str | Path | None = None,
    ) -> "dict[str, pd.DataFrame] | None":
        """Return the results of a manager's scenarios as tables, or write them to a spreadsheet.

        Parameters
        ----------
        scenarios, equations
            Names; by default all.
        interactive_scenario, interactive_equations
            A scenario that is run once for each combination of the interactive settings, and the elements
            taken of it; by default `equations`.
        interactive_settings
            Constant → start, stop and step of its values, as `numpy.arange` takes them.
        time_column_name, scenario_column_name
            Columns of the first table.
        scenario_df_name, indicator_df_name, interactive_df_name
            Names of the tables: a column for each element, a column for each scenario, and the interactive
            scenario's.
        filename
            An ``.xlsx`` file, with a sheet for each table.

        Returns
        -------
        dict or None
            The tables by name; None if they were written.

        Raises
        ------
        MissingExtra
            If pandas isn't installed, or openpyxl where a file is written.
        """
        names = {} if scenarios is None else {"scenarios": names_of(scenarios)}
        found = self.catalogue.select([scenario_manager], **names)
        outputs = names_of(equations or ())
        export = Export(found, outputs)
        tables = {
            scenario_df_name: export.by_scenario(scenario_column_name, time_column_name),
            indicator_df_name: export.by_indicator(),
            interactive_df_name: export.interactive(
                None
                if interactive_scenario is None
                else self.catalogue.scenario(scenario_manager, interactive_scenario),
                names_of(interactive_equations or outputs),
                interactive_settings or {},
            ),
        }
        if filename is None:
            return tables
        export.write(tables, filename)
        return None

    def train_scenarios(
        self,
        scenarios: Names,
        scenario_managers: Names,
        episodes: int = 1,
        agents: Names = (),
        agent_states: Names = (),
        agent_properties: Names = (),
        agent_property_types: Names = (),
        series_names: Mapping[str, str] | None = None,
        return_df: bool = False,
        progress_bar: bool = False,
        equations: Names = (),
    ) -> "pd.DataFrame | Axes | None":
        """Run scenarios in episodes, and call their models' `begin_episode` and `end_episode` for each.

        All episodes of a scenario use the same copy of its model. Later runs of the scenario use the model as
        the last episode left it.

        Parameters
        ----------
        episodes
            Number of episodes.
        agents, agent_states, agent_properties, agent_property_types
            As for `run_scenarios`. Agents aren't reset between episodes.
        series_names
            Part of a column's name → its replacement.
        return_df
            Return the DataFrame and draw nothing.
        progress_bar
            Show the progress.
        equations
            Elements, as a list or one text with commas; none mean all.

        Returns
        -------
        pandas.DataFrame or None
            A row for each episode with the last value of each element or column of agents; None if it was
            drawn.

        Raises
        ------
        MissingExtra
            If pandas isn't installed, or matplotlib if something is drawn.
        """
        query = AgentQuery.of(agents, agent_states, agent_properties, agent_property_types)
        if episodes < 1:
            raise Invalid(f"The number of episodes must be at least 1, not {episodes}.")
        options = PlotOptions(
            title="Training Results",
            x_label="Episodes",
            y_label="Results",
            series_names=series_names,
            return_df=return_df,
        )
        outputs = names_of(equations)
        chosen = self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
        check_outputs(outputs, chosen)
        frame_of({})  # says what is missing before anything is computed
        columns, trained = train(chosen, self._agent_runs, episodes, outputs, query, progress_bar)
        for scenario in trained:
            self.catalogue.replace_scenario(scenario)
        return options.plot(frame_of(columns), self._style)

    # Plotting -----------------------------------------------------------------------------------------------

    def plot_scenarios(
        self,
        scenarios: Names,
        scenario_managers: Names,
        agents: Names = (),
        agent_states: Names = (),
        agent_properties: Names = (),
        agent_property_types: Names = (),
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
            Names, as a list or one text with commas. An unknown name is logged, and nothing is drawn.
        agents, agent_states, agent_properties, agent_property_types
            As for `run_scenarios`.
        kind, alpha, stacked, matplotlib_rc_settings
            See `plots.PlotStyle`; by default as in the configuration.
        progress_bar, backend
            As for `run_scenarios`.
        freq, start_date, title, visualize_from_period, visualize_to_period, x_label, y_label
            See `plotting.PlotOptions`.
        series_names, return_df, format
            See `plotting.PlotOptions`.

        Raises
        ------
        MissingExtra
            If pandas isn't installed, or matplotlib if something is drawn.
        """
        _check_backend(backend)
        query = AgentQuery.of(agents, agent_states, agent_properties, agent_property_types)
        options = PlotOptions(
            kind=kind,
            alpha=alpha,
            stacked=stacked,
            matplotlib_rc_settings=matplotlib_rc_settings,
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
            chosen = self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
            frame: Any
            if query.agents or any(map(has_agents, chosen)):
                if query.problem is not None:
                    log.error("nothing_to_plot", reason=query.problem)
                    return None
                frame = agents_frame(
                    self._agent_runs,
                    chosen,
                    names_of(equations),
                    query,
                    prefixed=False,
                    progress_bar=progress_bar,
                )
                if frame is None:
                    return None
            else:
                frame = self.catalogue.run_scenarios(
                    scenarios, scenario_managers, equations, progress_bar=progress_bar, return_format="df"
                )
        except NotFound as error:
            log.error("nothing_to_plot", reason=str(error))
            return None
        return options.plot(frame, self._style)

    def plot_lookup(
        self,
        scenarios: Names,
        scenario_managers: Names,
        lookup_names: Names,
        return_df: bool = False,
        visualize_from_period: int = 0,
        visualize_to_period: int = 0,
        stacked: bool | None = None,
        title: str = "",
        alpha: float | None = None,
        x_label: str = "",
        y_label: str = "",
        start_date: str = "",
        freq: str = "D",
        series_names: Mapping[str, str] | None = None,
        kind: str | None = None,
        format: str = "plot",
        matplotlib_rc_settings: Mapping[str, Any] | None = None,
    ) -> "pd.DataFrame | Axes | None":
        """Draw graphical functions with the points of the scenarios, each over its x values.

        Parameters
        ----------
        lookup_names
            Names of points, as a list or one text with commas.

        The others are those of `plot_scenarios`.

        Raises
        ------
        UnknownElement
            If a scenario's model has no points with that name.
        MissingExtra
            If pandas isn't installed, or matplotlib if something is drawn.
        """
        options = PlotOptions(
            kind=kind,
            alpha=alpha,
            stacked=stacked,
            matplotlib_rc_settings=matplotlib_rc_settings,
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
        tables = {
            f"{found.manager}_{found.name}_{name}": dict(
                checked_points(found.points[name], name)
                if name in found.points
                else system_dynamics_of(found).lookup_points(name)
            )
            for found in self.catalogue.select(names_of(scenario_managers), names_of(scenarios))
            for name in names_of(lookup_names)
        }
        return options.plot(frame_of(tables), self._style)

    # Listing ------------------------------------------------------------------------------------------------

    def get_scenario(self, scenario_manager: str, scenario: str) -> SimulationScenario | AgentsModel:
        """Return a scenario; changes of it take effect in the next run. That of agents is their model."""
        return self._handed(self._catalogue.scenario(scenario_manager, scenario))

    def _handed(self, scenario: Scenario) -> SimulationScenario | AgentsModel:
        return self._agent_runs.model(scenario) if has_agents(scenario) else self._handed_out.of(scenario)

    def get_scenarios(
        self, scenario_managers: Names = (), scenarios: Names = (), scenario_manager_type: str = ""
    ) -> dict[str, SimulationScenario | AgentsModel]:
        """Return scenarios, as `get_scenario` does, by name; for several managers by ``manager_scenario``.

        Parameters
        ----------
        scenario_manager_type
            ``"sd"``, ``"abm"`` or nothing for all.
        """
        found = [
            one
            for one in self._catalogue.select(names_of(scenario_managers), names_of(scenarios))
            if is_of_type(self._catalogue.manager(one.manager), scenario_manager_type)
        ]
        several = len({scenario.manager for scenario in found}) > 1
        return {(f"{one.manager}_{one.name}" if several else one.name): self._handed(one) for one in found}

    def get_scenario_names(
        self, scenario_managers: Names = (), format: str = "list"
    ) -> list[str] | dict[str, list[str]]:
        """Return the names of scenarios, as a list or, with the format ``dict``, by manager."""
        if format not in ("list", "dict"):
            raise Invalid(f"A format is 'list' or 'dict', not {format!r}.")
        named = scenario_names(self.catalogue, names_of(scenario_managers))
        return named if format == "dict" else [name for names in named.values() for name in names]

    def list_scenarios(self, scenario_managers: Names = (), scenario_manager_type: str = "") -> None:
        """Print the scenarios of each manager of a type; of all types by default."""
        print_scenarios(self.catalogue, names_of(scenario_managers), scenario_manager_type)

    def list_equations(self, scenario_managers: Names = (), scenarios: Names = ()) -> None:
        """Print the elements of each scenario, by kind."""
        print_equations(self.catalogue.select(names_of(scenario_managers), names_of(scenarios)))

    # A session ----------------------------------------------------------------------------------------------

    def begin_session(
        self,
        scenarios: Names,
        scenario_managers: Names,
        settings: Mapping[str, Any] | str | None = None,
        agents: Names = (),
        agent_states: Names = (),
        agent_properties: Names = (),
        agent_property_types: Names = (),
        individual_agent_properties: Mapping[str, Names] | None = None,
        equations: Names = (),
        starttime: float = 0.0,
        dt: float | None = None,
        backend: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Begin a session, which replaces an existing one.

        Parameters
        ----------
        scenarios, scenario_managers, equations
            Names, as a list or one text with commas; at least one of each, but for equations if there are
            agents.
        settings
            Initial ``constants`` and ``points``, by manager and scenario; may be JSON text.
        agents, agent_states, agent_properties, agent_property_types
            What is asked of agents, as for `run_scenarios`.
        individual_agent_properties
            Type of agents → properties that are asked of each of them.
        backend
            As for `run_scenarios`.
        starttime
            At most the start of each scenario, where the session begins.
        dt
            Interval between answers; by default 1.0 if that is a multiple of every scenario's dt, else their
            own.
        seed
            Seed of the random draws; by default one is generated.
        """
        _check_backend(backend)
        self._handed_out.register(self._catalogue)
        query = AgentQuery.of(
            agents, agent_states, agent_properties, agent_property_types, individual_agent_properties
        )
        outputs = [*names_of(equations), *query.outputs()]
        self._session.begin(scenarios, scenario_managers, settings, outputs, starttime, dt, seed)

    def run_step(
        self, settings: Mapping[str, Any] | None = None, flat: bool = False
    ) -> dict[str, Any] | None:
        """Take a step.

        Returns
        -------
        dict or None
            Manager → scenario → equation → time → value, without the time if `flat`; what concerns agents is
            under ``agents``, type → state → time → number of agents;
            ``{"msg": "Stoptime reached"}`` after the stop time; None without a session.
        """
        return self._session.step(settings, flat)

    def session_results(self, index_by_time: bool = True, flat: bool = False) -> dict[Any, Any]:
        """Return all results of the session; {} without one.

        Parameters
        ----------
        index_by_time
            Time → result of `run_step`; if False, manager → scenario → ``equations`` → equation → time →
            value.
        flat
            Lists of values in place of time → value, if `index_by_time` is False.
        """
        return self._session.results(index_by_time, flat)

    def progress(self) -> float:
        """Return the share of the session's steps that was taken, from 0.0 to 1.0; 0.0 without a session."""
        return self._session.progress()

    def end_session(self) -> None:
        """End the session; does nothing without one."""
        self._session.end()

    def lock(self) -> None:
        """Mark the session as locked, for `is_locked`."""
        self._session.locked = True

    def unlock(self) -> None:
        """Undo `lock`."""
        self._session.locked = False

    def is_locked(self) -> bool:
        """Return whether the session is marked as locked."""
        return self._session.locked

    def destroy(self) -> None:
        """End the session and its thread; does nothing if that was done."""
        if "_session" in self.__dict__:  # it was used
            self._session.close()

    @classmethod
    def update(cls) -> None:
        """Print how to update Perdure; a running program can't replace itself."""
        print("Update Perdure with: pip install --upgrade perdure")


def _check_backend(backend: str | None) -> None:
    if backend not in BACKENDS:
        raise Invalid(f"backend must be 'python' or 'rust', got {backend!r:.80}")
