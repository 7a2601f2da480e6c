"""The motor's warmth as a system-dynamics model; time in seconds."""

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd

model = Model(starttime=0.0, stoptime=1000.0, dt=0.05, name="warmth")
heat = model.stock("heat")
heating = model.flow("heating")
cooling = model.flow("cooling")
temperature = model.converter("temperature")
torque_limit = model.converter("torque_limit")
losses = model.constant("losses")
capacity = model.constant("heat_capacity")
surroundings = model.constant("surroundings")

losses.equation = 0.0
capacity.equation = 2.0
surroundings.equation = 20.0
heat.initial_value = 0.0
heat.equation = heating - cooling
heating.equation = losses
cooling.equation = 0.3 * (temperature - surroundings)
temperature.equation = surroundings + heat / capacity
torque_limit.equation = sd.max(0.1, 0.6 - 0.02 * sd.max(0.0, temperature - 30.0))
