"""Models with every kind of state, for tests of resume."""

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.scenarios import Catalogue


def everything() -> Model:
    """Delays, smooths, trends, points, constants, random draws and a user function; dt 0.25, start 0."""
    model = Model(starttime=0.0, stoptime=30.0, dt=0.25, name="everything")
    level = model.stock("level")
    other = model.stock("other")
    inflow = model.flow("inflow")
    exchange = model.biflow("exchange")
    rate = model.constant("rate")
    lag = model.constant("lag")
    shape = model.converter("shape")
    late = model.converter("late")
    later = model.converter("later")
    calm = model.converter("calm")
    tendency = model.converter("tendency")
    noise = model.converter("noise")
    jumps = model.converter("jumps")
    squared = model.converter("squared")
    square = model.function("square", lambda view, t, x: x * x + t)

    model.points["curve"] = [[0.0, 0.0], [5.0, 3.0], [10.0, 1.0], [100.0, 8.0]]
    rate.equation = 0.3
    lag.equation = 2.0
    level.initial_value = 10.0
    level.equation = inflow - exchange
    other.initial_value = rate * 5.0
    other.equation = exchange
    noise.equation = sd.normal(0.0, 1.0) + sd.gamma(2.0, 0.5)
    jumps.equation = sd.poisson(3.0) + sd.pulse(model, 2.0, 1.0, 1.5)
    inflow.equation = rate * level + noise + jumps * 0.1
    shape.equation = sd.lookup(level, "curve")
    late.equation = sd.delay(model, shape, 1.25, 0.5)
    later.equation = sd.delay(model, level, lag, 1.0)
    calm.equation = sd.smooth(model, level, 3.0, 10.0)
    tendency.equation = sd.trend(model, calm, 4.0, 10.0)
    squared.equation = square(late) / 100.0
    exchange.equation = (late - later * 0.01) * 0.2 + squared * 0.05
    return model


OUTPUTS = (
    "level",
    "shape",
    "inflow",
    "other",
    "late",
    "later",
    "calm",
    "tendency",
    "noise",
    "jumps",
    "squared",
    "exchange",
)


def catalogue() -> Catalogue:
    """Return a catalogue with the model, under names that are hard to handle."""
    made = Catalogue()
    made.register_model(
        everything(),
        scenario_manager="every thing/1",
        scenario={
            "1": {},
            "a/b": {"constants": {"rate": 0.2}, "runspecs": {"stoptime": 12.0}},
            "größer \N{GREEK SMALL LETTER ALPHA}": {"runspecs": {"dt": 0.125, "method": "rk4"}},
        },
    )
    return made


NAMES = {"every thing/1": ["1", "a/b", "größer \N{GREEK SMALL LETTER ALPHA}"]}


def endless() -> Catalogue:
    """Return a catalogue with the model in a run that no test comes to the end of."""
    made = Catalogue()
    made.register_model(
        everything(),
        scenario_manager="endless",
        scenario={
            "euler": {"runspecs": {"stoptime": 100_000.0}},
            "rk4": {"runspecs": {"stoptime": 100_000.0, "method": "rk4"}},
        },
    )
    return made


Settings = dict[str, dict[str, dict[str, object]]]


def settings_of(step: int) -> Settings:
    """Return what a client sends with a step: constants and points that change midway, often nothing."""
    manager = "every thing/1"
    match step % 17:
        case 3:
            return {manager: {"1": {"constants": {"rate": 0.1 + step / 200.0}}}}
        case 7:
            table = [[0.0, step / 10.0], [7.0, 2.0], [50.0, -1.0]]
            return {manager: {"1": {"points": {"curve": table}}, "a/b": {"constants": {"lag": 0.6}}}}
        case 11:
            return {manager: {NAMES[manager][2]: {"constants": {"lag": 1.0 + step / 40.0, "rate": 0.25}}}}
        case _:
            return {}
