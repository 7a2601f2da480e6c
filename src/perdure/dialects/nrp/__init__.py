"""The dialect of the Neurorobotics Platform's backend: simulations of experiments, by number."""
