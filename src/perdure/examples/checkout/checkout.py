"""The checkout of a shop: customers come at random, wait in one queue, and are served by some tills.

It is an M/M/c queue, simulated by events (Gillespie's direct method). All times are memoryless, so what is
set holds from the next event on. Times are in minutes.
"""

import random

from perdure.engines.python_script import EngineScript

INPUTS = ("customers_per_minute", "minutes_per_customer", "tills")
OUTPUTS = ("waiting", "served", "mean_stay")
NANOSECOND = 1e-9  # of a timestep, whose unit is a minute here


class Script(EngineScript):
    """The engine's script; its data packs are what clients set and ask for."""

    def initialize(self) -> None:
        """Open the shop, with nobody in it."""
        for name in (
            "customers_per_minute",
            "minutes_per_customer",
            "tills",
            "waiting",
            "served",
            "mean_stay",
        ):
            self._registerDataPack(name)
        self.minute = 0.0
        self.came: list[float] = []  # when each customer came who is in the shop
        self.served = 0
        self.stayed = 0.0  # minutes of all who were served
        self.publish(0)

    def runLoop(self, timestep_ns: int) -> None:
        """Let time pass, event by event."""
        arrivals = self._getDataPack("customers_per_minute")
        tills = int(self._getDataPack("tills"))
        end = self._time_ns * NANOSECOND
        while True:
            departures = min(len(self.came), tills) / self._getDataPack("minutes_per_customer")
            events = arrivals + departures
            wait = random.expovariate(events) if events > 0.0 else end
            if self.minute + wait > end:
                break
            self.minute += wait
            if random.random() * events < arrivals:
                self.came.append(self.minute)
            else:
                self.served += 1
                self.stayed += self.minute - self.came.pop(0)
        self.minute = end
        self.publish(tills)

    def publish(self, tills: int) -> None:
        """Set what clients ask for."""
        self._setDataPack("waiting", max(0, len(self.came) - tills))
        self._setDataPack("served", self.served)
        self._setDataPack("mean_stay", self.stayed / self.served if self.served else 0.0)
