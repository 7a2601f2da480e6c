"""What holds for every test: hypothesis has no deadline, since a busy machine is no failure of a law."""

from hypothesis import HealthCheck, settings

settings.register_profile("perdure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("perdure")
