"""Models of system dynamics: their elements, points and functions, their run specs, and how they run.

A model is a definition; it holds no state of a run. `SystemDynamicsEngine` and `simulate` run it. A subclass
may create its elements in `instantiate_model`, and learn over episodes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from perdure.engines.numbers import finite
from perdure.engines.run_specs import RunSpecs, is_multiple
from perdure.engines.system_dynamics.attributes import attributes_of
from perdure.engines.system_dynamics.compiling.lowering import lower
from perdure.engines.system_dynamics.compiling.program import Program
from perdure.engines.system_dynamics.elements import Constant
from perdure.engines.system_dynamics.expression import FunctionCall, Operand, operands
from perdure.engines.system_dynamics.identity.fingerprint import fingerprint
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.plots import PlotStyle, draw, frame_of
from perdure.engines.system_dynamics.points import filled
from perdure.engines.system_dynamics.running.evaluation import table_of, value_at, windows_of
from perdure.engines.system_dynamics.user_functions import refuse_past_read
from perdure.errors import DuplicateElement, Invalid, ModelError

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from matplotlib.axes import Axes

    from perdure.engines.system_dynamics.sources.equations import Functions
    from perdure.engines.system_dynamics.sources.form import Form
    from perdure.engines.system_dynamics.sources.loading import Reader
    from perdure.engines.system_dynamics.sources.names import NamingStyle
    from perdure.engines.system_dynamics.sources.specs import Times

__all__ = ["Model"]

BACKENDS = (None, "python", "rust")
"""The names of BPTK-Py's engines; here they all mean the same."""


class Model(ModelElements):
    """A system-dynamics model.

    Parameters
    ----------
    starttime, stoptime
        The first and the last time of a run, in the model's unit of time.
    dt
        The length of a step, in the same unit.
    name
        The model's name, for messages.
    scheduler, data_collector
        Of a model with agents (`perdure.engines.agents.Model`); kept here for subclasses that pass them on.

    Attributes
    ----------
    points
        Graphical functions by name, each a list of [x, y], for `sd.lookup`. They can be overridden in a run.
    method
        ``"euler"`` or ``"rk4"``: how runs integrate unless they say otherwise.
    save_every, pause, time_units
        What a file says of the time between two results (see `timestep`) and between two pauses, and of the
        unit of time; None and an empty text where it says nothing. Runs don't pause by themselves.
    all_overridable
        Whether a scenario may make a constant of any element, as it may of models from files.
    upgrade
        A function ``(state, former_hash) -> state``, or None. It converts the state of a session that began
        with the model whose fingerprint is `former_hash`. It is not part of the fingerprint.

    Examples
    --------
    >>> from perdure.engines.system_dynamics import Model
    >>> model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="teacup")
    >>> temperature, loss = model.stock("temperature"), model.flow("loss")
    >>> temperature.initial_value = 180.0
    >>> temperature.equation = -loss
    >>> loss.equation = (temperature - 70.0) / 10.0
    >>> temperature(2.0)
    159.1
    """

    _instantiated = False
    upgrade: Callable[[dict[str, Any], str], dict[str, Any]] | None = None

    def __init__(
        self,
        starttime: float = 0.0,
        stoptime: float = 0.0,
        dt: float = 1.0,
        name: str = "",
        scheduler: object = None,
        data_collector: object = None,
    ) -> None:
        super().__init__(name)
        self.scheduler = scheduler
        self.data_collector = data_collector
        self.starttime = starttime
        self.stoptime = stoptime
        self.dt = dt
        self.method: Literal["euler", "rk4"] = "euler"
        self.save_every: float | None = None
        self.pause: float | None = None
        self.time_units = ""
        self.all_overridable = False
        self._functions: dict[str, Callable[..., Any]] = {}
        self._impure: frozenset[str] = frozenset()
        self._program: tuple[tuple[str, ...], Program] | None = None
        self._attributes: Mapping[str, Any] | None = None
        self._source: tuple[Form, Functions] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Wrap a subclass's `instantiate_model`, to note that it was called."""
        super().__init_subclass__(**options)
        hook = cls.__dict__.get("instantiate_model")
        if hook is not None:

            @wraps(hook)
            def instantiate_model(self: Model) -> None:
                self._instantiated = True
                hook(self)

            setattr(cls, hook.__name__, instantiate_model)

    def __repr__(self) -> str:
        return f"<Model {self.name!r} with {len(self._elements)} elements>"

    # Hooks of subclasses ------------------------------------------------------------------------------------

    def instantiate_model(self) -> None:
        """Build the elements; called once, before the model is registered. Subclasses override it."""

    def begin_episode(self, episode_no: int) -> None:
        """Prepare for an episode of `bptk.train_scenarios`, counted from 0. Subclasses override it."""

    def end_episode(self, episode_no: int) -> None:
        """Learn from the finished episode. Subclasses override it."""

    def instantiate(self) -> None:
        """Call `instantiate_model`, unless it has been called."""
        if not self._instantiated:
            self._instantiated = True
            self.instantiate_model()

    # Files --------------------------------------------------------------------------------------------------

    @classmethod
    def from_xmile(cls, path: str | Path, *, naming: "NamingStyle" = "file") -> "Self":
        """Return the model of an XMILE file.

        Parameters
        ----------
        path
            The file.
        naming
            ``"file"`` keeps the names that the file writes; ``"bptk"`` makes those of BPTK-Py, in camel case.
            A cell is ``name[element,element]``, a variable of a module ``module.name``.

        Raises
        ------
        InvalidModelFile
            If the file can't be read.
        UnservableModel
            If it holds what can't be served; the error lists all with line and element.
        """
        from perdure.engines.system_dynamics.sources.loading import read_xmile

        return cls._from_file(Path(path), read_xmile, naming)

    @classmethod
    def from_vensim(
        cls, path: str | Path, *, data: Sequence[str | Path] = (), naming: "NamingStyle" = "file"
    ) -> "Self":
        """Return the model of a Vensim file (`.mdl`).

        Parameters
        ----------
        path
            The file. Spreadsheets that it reads are looked for beside it.
        data
            Text files with results of other runs, tab-separated or with commas. Data variables without an
            equation take their values from them, and from text files beside the model that have the name of
            a run which was loaded in Vensim.
        naming
            As for `from_xmile`.

        Raises
        ------
        InvalidModelFile
            If the file can't be read.
        UnservableModel
            If it holds what can't be served; the error lists all with line and element.
        MissingExtra
            If PySD, which parses the equations, isn't installed (extra ``vensim``).
        """
        from perdure.engines.system_dynamics.sources.loading import read_vensim

        read = partial(read_vensim, data=tuple(map(Path, data)))
        return cls._from_file(Path(path), read, naming)

    @classmethod
    def from_json(cls, document: object, *, max_nodes: int | None = None) -> "Self":
        """Return the model that a JSON document describes, as `json_writing.document_of` returns it.

        Parameters
        ----------
        document
            The document, decoded.
        max_nodes
            How many nodes its equations may have.

        Raises
        ------
        ModelError
            If it isn't of that form, or is too large.
        """
        from perdure.engines.system_dynamics.sources.json_model import MAX_NODES, fill

        model = cls()
        model._take_times(fill(model, document, max_nodes=max_nodes or MAX_NODES))
        return model

    @classmethod
    def from_file(cls, path: str | Path, *, naming: "NamingStyle" = "file") -> "Self":
        """Return the model of an XMILE, a Vensim or a JSON file; the ending of its name decides.

        See `from_xmile`, `from_vensim` and `from_json`; a JSON model has its own names in each case.

        Raises
        ------
        InvalidModelFile
            If the ending is that of no model file.
        """
        from perdure.engines.system_dynamics.sources.loading import json_of, reader_of

        path = Path(path)
        if path.suffix.lower() != ".json":
            return cls._from_file(path, reader_of(path), naming)
        model = cls()
        model._take_times(json_of(model, path))
        return model._of_file()

    @classmethod
    def _from_file(cls, path: Path, read: "Reader", naming: "NamingStyle") -> "Self":
        from perdure.engines.system_dynamics.sources.loading import load_into

        model = cls()
        form, functions, times = load_into(model, path, read, naming, program=model.program)
        model.name = form.name
        model._source = (form, functions) if naming == "file" else None
        model._take_times(times)
        return model._of_file()

    def _take_times(self, times: "Times") -> None:
        self.run_specs(times.start, times.stop, times.dt)
        self.method, self.time_units = times.method, times.units
        self.save_every, self.pause = times.save_every, times.pause

    def _of_file(self) -> "Self":
        """Return this model, which a file holds: scenarios may set all of it, by any spelling."""
        self.all_overridable = self.any_spelling = True
        return self

    def to_xmile(self) -> str:
        """Return the model as an XMILE document.

        A model of a file keeps its arrays, modules and macros where XMILE has all that they use. Otherwise a
        cell of an array is a variable of its own.

        Raises
        ------
        UnservableModel
            If it has what XMILE can't say; the error lists all.
        """
        from perdure.engines.system_dynamics.sources.problems import Problems
        from perdure.engines.system_dynamics.sources.specs import Times
        from perdure.engines.system_dynamics.sources.xmile.writing import document_of

        times = Times(
            self.starttime,
            self.stoptime,
            self.dt,
            self.save_every,
            self.pause,
            self.method,
            self.time_units,
        )
        kept = self._document_of_source(times)
        if kept is not None:
            return kept
        problems = Problems()
        document = document_of(self, times, problems)
        problems.check(self.name)
        return document

    def _document_of_source(self, times: "Times") -> str | None:
        """Return the XMILE document of what the model's file says, if the model still is that."""
        from perdure.engines.system_dynamics.sources.building import build
        from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
        from perdure.engines.system_dynamics.sources.xmile.form_writing import document_of_form

        if self._source is None:
            return None
        form, functions = self._source
        made = Model()
        build(form, made, functions, Problems())
        if made.fingerprint() != self.fingerprint():
            return None
        try:
            return document_of_form(form, functions, self.name, times)
        except Unservable:
            return None

    # Defining -----------------------------------------------------------------------------------------------

    def function(
        self, name: str, fn: Callable[..., Any], elementwise: bool = True, *, impure: bool = False
    ) -> Callable[..., FunctionCall]:
        """Make a Python function usable in equations.

        Parameters
        ----------
        name
            Its name in the model.
        fn
            Called as ``fn(model, t, *arguments)`` with a view of the model, the time and floats; it returns a
            number. It must depend on these only, because a resumed run calls it again; past values are
            arguments made with `sd.delay`.
        elementwise
            Whether a call with arrays is an array of calls, one for each cell. Otherwise it is one call, and
            an array is passed as a whole: a list, or a dict by name, of floats or of such rows.
        impure
            Whether its results depend on something else, such as a clock, a file or `random`. They are then
            logged with each step of a session, and a resumed session takes them from the log.

        Returns
        -------
        Callable
            A function that takes operands and returns an expression.

        Raises
        ------
        DuplicateElement
            If another function has the name already.
        """
        if not isinstance(name, str) or not name:
            raise ModelError(f"A function's name is a non-empty string, not {name!r:.80}.")
        if not callable(fn):
            raise ModelError(f"The function {name!r} must be callable, not {fn!r:.80}.")
        if self._functions.setdefault(name, fn) is not fn:
            raise DuplicateElement(name=name, kind="function", other="function")
        if impure:
            self._impure |= {name}
            self.changed()

        def call(*arguments: Operand) -> FunctionCall:
            return FunctionCall(self, name, operands(arguments, f"a call of {name!r}"))

        def call_with_arrays(*arguments: Operand) -> FunctionCall:
            return replace(call(*arguments), elementwise=False)

        return call if elementwise else call_with_arrays

    def run_specs(self, starttime: float, stoptime: float, dt: float) -> None:
        """Set the start time, stop time and step length of runs."""
        self.starttime, self.stoptime, self.dt = starttime, stoptime, dt

    def changed(self) -> None:
        """Discard the compiled program; elements call it when an equation is set."""
        self._program = None

    # Reading ------------------------------------------------------------------------------------------------

    @property
    def table_names(self) -> list[str]:
        """The names of the points that a scenario or a client may set: the model's, and those of lookups."""
        return [*dict.fromkeys((*self.points, *self.program().missing_tables))]

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The user functions by name."""
        return MappingProxyType(self._functions)

    @property
    def impure(self) -> frozenset[str]:
        """The names of the user functions that were declared impure."""
        return self._impure

    def attributes(self) -> Mapping[str, Any]:
        """Return what the author set on the model besides elements and points, for user functions to read."""
        return attributes_of(self, Model) if self._attributes is None else self._attributes

    def program(self) -> Program:
        """Return the model's intermediate form, which is computed again only after a change.

        An element without an equation, and a lookup without points, are errors only in runs that need them.

        Raises
        ------
        UnknownElement, ModelError
            If the definition is wrong.
        """
        names = tuple(sorted(filled(self.points)))
        if self._program is None or self._program[0] != names or self._program[1].model_name != self.name:
            self._program = (names, lower(self, self._functions, self._impure))
        return self._program[1]

    def fingerprint(self) -> str:
        """Return the model's identity: 32 hexadecimal digits over its intermediate form and user functions.

        Names, equations, values and points count, and so do user functions with all they read; run specs,
        comments, the order of definition and the version of Python don't.

        Raises
        ------
        ModelError
            If a user function's source can't be found, or what it reads can't be resolved or hashed; the
            message says what it is and what to do.
        ImpureFunction
            If a user function that wasn't declared impure reads a clock, a file or the like, or changes what
            outlives a call.
        """
        return fingerprint(self.program(), self.tables(), self.attributes())

    # Running ------------------------------------------------------------------------------------------------

    def timestep(self, dt: float) -> float:
        """Return the time between two outputs of runs in steps of `dt`.

        This is `save_every` if it is a whole multiple of `dt`, otherwise `dt`.
        """
        every, step = self.save_every, finite(dt)
        if every is None or step is None or not step > 0.0 or not is_multiple(every, step):
            return dt
        return every

    def evaluate_equation(self, name: str, t: float) -> float:
        """Return the value of the element `name` at the grid point nearest to `t`.

        Computes the run from its start, so it takes time proportional to `t`; `simulate` returns all times at
        once.

        Raises
        ------
        PastRead
            Within a user function, which can't read the past of an element.
        UnknownElement
            If there is no such element.
        EvaluationFailed
            If `t` is before the start, or the model can't be evaluated.
        """
        refuse_past_read(name)
        name = self.known(name, "A request")
        specs = RunSpecs(self.starttime, max(self.stoptime, t), self.dt, method=self.method, name=self.name)
        return value_at(self, specs, name, t)

    def windows(
        self,
        names: Sequence[str],
        starttime: float | None = None,
        stoptime: float | None = None,
        dt: float | None = None,
    ) -> list[dict[float, float]]:
        """Return time → value of each element; each value is that of the nearest grid point.

        Parameters
        ----------
        starttime, stoptime, dt
            The times, in the model's unit; by default those of the model.

        Raises
        ------
        InvalidRunSpecs
            If these times can't be counted.
        EvaluationFailed
            If `starttime` is before the model's, or the model can't be evaluated.
        """
        names = [self.known(name, "A request") for name in names]
        shown = RunSpecs(
            self.starttime if starttime is None else starttime,
            self.stoptime if stoptime is None else stoptime,
            self.dt if dt is None else dt,
            name=self.name,
        )
        stop = max(self.starttime, shown.stoptime)
        specs = RunSpecs(self.starttime, stop, self.dt, method=self.method, name=self.name)
        return windows_of(self, specs, names, shown)

    def plot_lookup(
        self,
        lookup_names: Sequence[str] | str,
        config: Mapping[str, Any] | None = None,
        format: str = "plot",
        matplotlib_rc_settings: Mapping[str, Any] | None = None,
    ) -> "Axes | pd.DataFrame | None":
        """Draw graphical functions of the model.

        Parameters
        ----------
        lookup_names
            Names of `points`, as a list or as one string with commas.
        config
            How the plot looks, by the names of `plots.PlotStyle`.
        format
            ``"plot"`` draws with pyplot and returns None, ``"axes"`` returns axes on a new figure, ``"df"``
            the DataFrame: a column for each name, over the x values of all.
        matplotlib_rc_settings
            Further settings of matplotlib, by its names.

        Raises
        ------
        UnknownElement
            If the model has no points of that name.
        MissingExtra
            If pandas is not installed, or matplotlib where something is drawn.
        """
        names = (
            [n.strip() for n in lookup_names.split(",")] if isinstance(lookup_names, str) else lookup_names
        )
        frame = frame_of({name: dict(self.lookup_points(name)) for name in names})
        if format == "df":
            return frame
        style = PlotStyle().with_given(config or {})
        style = style.with_given({"matplotlib_rc_settings": matplotlib_rc_settings})
        return draw(frame, style, format=format, title=", ".join(names))

    def equation(self, equation: str, t: float) -> float:
        """Return the same as `evaluate_equation`."""
        return self.evaluate_equation(equation, t)

    def memoize(self, equation: str, arg: float) -> float:
        """Return the same as `evaluate_equation`."""
        return self.evaluate_equation(equation, arg)

    @property
    def equations(self) -> Mapping[str, Callable[[float], float]]:
        """The elements by name; each is called with a time and returns its value, see `evaluate_equation`."""
        return self.elements

    def simulate(self, equations: Sequence[str] | str, backend: str | None = None) -> Any:
        """Run the model with Euler's method and return the elements' values.

        Parameters
        ----------
        equations
            Names of elements, as a list or as one string with commas.
        backend
            ``"python"`` or ``"rust"``, the names of BPTK-Py's engines; both mean the same here.

        Returns
        -------
        pandas.DataFrame or dict
            With pandas installed, a frame with a column for each element and the times as its index ``t``;
            otherwise ``{element: {time: value}}``.
        """
        if backend not in BACKENDS:
            raise Invalid(f"backend must be 'python' or 'rust', got {backend!r:.80}")
        names = [n.strip() for n in equations.split(",")] if isinstance(equations, str) else list(equations)
        own = [self.known(name, "A request") for name in names]
        for name in names:
            refuse_past_read(name)
        specs = RunSpecs(
            self.starttime,
            self.stoptime,
            self.dt,
            timestep=self.timestep(self.dt),
            method=self.method,
            name=self.name,
        )
        return table_of(self, specs, own, names)

    def frozen(self) -> "Model":
        """Return a copy that runs as this model does now; later changes of the model don't affect it.

        Raises
        ------
        UnknownElement, ModelError
            If the definition is wrong.
        """
        made = copy(self)
        made._attributes = self.attributes()
        made._elements = {name: copy(element) for name, element in self._elements.items()}
        made._functions = dict(self._functions)
        tables = self.tables()
        made.points = {name: tables.get(name, ()) for name in self.points}
        made._program = (tuple(sorted(tables)), self.program())
        return made

    def with_constants(self, values: Mapping[str, float]) -> "Model":
        """Return a copy in which elements are constants, also such as had an equation or were stocks.

        Raises
        ------
        UnknownElement
            If there is no such element.
        ModelError
            If a value isn't a finite number.
        """
        made = self.frozen()
        made._program = None
        for name, value in values.items():
            name = self.known(name, "A scenario")
            made._elements[name] = constant = Constant(made, name)
            constant.equation = value
        return made

    def thawed(self) -> "Model":
        """Return a copy that can be changed, with elements, points and attributes of its own.

        Attributes that can't be copied, such as locks and connections, are shared.
        """
        made = copy(self)
        made.points = {name: [list(point) for point in table] for name, table in self.points.items()}
        made._elements = {}
        made._attributes = made._program = None
        # Attributes may refer to this model, to the one that it was frozen from, and to their elements.
        mine: dict[int, Any] = {id(self): made}
        for name, element in self._elements.items():
            made._elements[name] = own = copy(element)
            own.model = made
            former = element.model
            assert isinstance(former, ModelElements)
            mine |= {id(each): own for each in (element, former._elements.get(name))} | {id(former): made}
        made._functions = deepcopy(self._functions, mine)
        base = vars(Model())
        for name in vars(self).keys() - base.keys():
            with suppress(Exception):
                vars(made)[name] = deepcopy(vars(self)[name], mine)
        return made
