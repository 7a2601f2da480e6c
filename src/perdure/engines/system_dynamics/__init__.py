"""System dynamics: a modelling language, its compiler, and an engine that can be stopped and resumed exactly.

The modules of the language (`elements`, `expression`, `functions`, `points`, `model_elements`) define a
model. `compiling` turns it into Python functions, `identity` computes its fingerprint, `running` simulates
it. `model` combines these, and `engine` runs a model behind the engine port.

>>> from perdure.engines.system_dynamics import Model, functions as sd
>>> model = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="growth")
>>> population, births = model.stock("population"), model.flow("births")
>>> population.initial_value = 100.0
>>> population.equation = births
>>> births.equation = population * 0.5
>>> population(2.0)
225.0
"""

from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics import functions
from perdure.engines.system_dynamics.elements import Biflow, Constant, Converter, Element, Flow, Stock
from perdure.engines.system_dynamics.engine import SystemDynamicsEngine, simulate, validate_inputs
from perdure.engines.system_dynamics.expression import Expression, Operand
from perdure.engines.system_dynamics.model import Model
from perdure.engines.system_dynamics.module import Module

__all__ = [
    "Biflow",
    "Constant",
    "Converter",
    "Element",
    "Expression",
    "Flow",
    "Model",
    "Module",
    "Operand",
    "RunSpecs",
    "Stock",
    "SystemDynamicsEngine",
    "functions",
    "simulate",
    "validate_inputs",
]
