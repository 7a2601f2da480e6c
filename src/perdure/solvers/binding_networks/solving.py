"""The whole of a solve: phases, components, levels, and what leaves.

A network falls into components that no polymer crosses; each is divided by itself, and a configuration is one
division of each. First without constraints, for the entropy, then again those components that constraints are
on.
"""

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from perdure.errors import MinPolymersExceedEntropy
from perdure.solvers.binding_networks.assembly import Assembly
from perdure.solvers.binding_networks.configuration import Configuration
from perdure.solvers.binding_networks.conflict import core, keeping
from perdure.solvers.binding_networks.demands import Demands, components, demands_of
from perdure.solvers.binding_networks.enumeration import Levels
from perdure.solvers.binding_networks.formats import load_network
from perdure.solvers.binding_networks.listing import Listing
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.optima import Optima
from perdure.solvers.binding_networks.optimum import Division, Prepared, Question, Source, divide, prepare
from perdure.solvers.binding_networks.progress import Progress, Reporter
from perdure.solvers.binding_networks.reduction import by_component
from perdure.solvers.binding_networks.solution import Solution, Status
from perdure.solvers.binding_networks.watch import TimeIsUp, Watch

__all__ = ["solve"]

EXHAUSTION = "every polymer and every way to combine them tried, in exact arithmetic"
EVERY = 1.0  # seconds between two states while configurations are listed


def solve(
    network: Network | str | Path,
    *,
    gen: int = 1,
    min_polymers: int = 0,
    all: bool = False,
    count: bool = False,
    levels: int = 0,
    connected: bool = False,
    timeout: float | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    state: Mapping[str, Any] | None = None,
    on_state: Callable[[dict[str, Any]], None] | None = None,
) -> Solution:
    """Find the configurations of a network with the most polymers.

    Parameters
    ----------
    network
        A network, or the text or file of its monomers.
    gen
        How many distinct configurations are wanted, from the optimum downwards.
    min_polymers
        How many polymers a configuration has at least.
    all
        Whether all configurations are wanted, whatever `gen`, of the optimum and of `levels` below.
    count
        Whether the total of the optimum and of `levels` below is wanted; they aren't listed for it.
    levels
        How many levels below the optimum are asked for.
    connected
        Whether bonds have to hold each polymer together. If not, monomers may count as one polymer that only
        could be held together, as in StableConfigs; this makes a difference under constraints and below the
        optimum.
    timeout
        Seconds until the answer is what is known by then.
    cancelled
        Asked often; once it answers true, the answer is what is known by then.
    on_progress
        Is given bounds and best configuration whenever they have changed, and what is being computed. An
        error that it raises ends the solve.
    state, on_state
        `on_state` is given plain data now and then, of which `found` is the number of configurations listed;
        with it as `state` the same question goes on from there, to the same answer. What is asked for may
        differ, but not the network or `connected`.

    Returns
    -------
    Solution
        Every configuration in it is verified. If time ran out while more were sought than the optimum, its
        status is OPTIMAL, and `exhausted` false.

    Raises
    ------
    NetworkError
        The network isn't right; MinPolymersExceedEntropy if not even without constraints there are so many
        polymers.
    ValueError
        The state is of another question.

    Examples
    --------
    >>> solve("a b\\na* b*\\na\\nb").optimum
    3
    """
    watch = Watch(timeout, cancelled)
    asked = network if isinstance(network, Network) else load_network(network)
    first = 1 if all else min(gen, 1)
    run = _Run(asked, connected, watch, first, on_progress, state, on_state)
    return run.answer(gen=gen, least=min_polymers, everything=all, count=count, levels=levels)


class _Run:
    """One solve under way."""

    def __init__(
        self,
        network: Network,
        connected: bool,
        watch: Watch,
        output: int,
        on_progress: Callable[[Progress], None] | None,
        state: Mapping[str, Any] | None,
        on_state: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.network, self.connected, self.watch = network, connected, watch
        self.listens = on_progress is not None
        self.on_state = on_state
        self.key = [sha256(msgspec.msgpack.encode(network)).hexdigest(), connected]
        if state is not None and state["key"] != self.key:
            raise ValueError("the state is of another network, or of another meaning of connected")
        self.state: dict[str, Any] = dict(state or {"key": self.key, "free": [], "optima": [], "found": 0})
        self.levels: list[Levels] = []
        self.saved_at = 0
        self.save_next = 0.0
        count = len(network.monomers)
        now = Progress(lower=0, upper=count, count=output, bound_source=str(Source.TRIVIAL))
        self.report = Reporter(on_progress, now, told=state is None)
        self.begun, self.assembling = time.monotonic(), 0.0
        self.assembled: tuple[list[Division], Configuration] | None = None
        self.demands = demands_of(network)
        component = components(network)
        members: dict[int, list[int]] = {}
        for index, first in enumerate(component):
            members.setdefault(first, []).append(index)
        demands = by_component(self.demands, component)
        self.questions = [
            Question(network, tuple(each), demands.get(first, Demands()), connected)
            for first, each in members.items()
        ]
        self.assembly = Assembly(network, self.questions, connected=connected)
        prepared = [prepare(each, watch) for each in self.questions]
        self.optima = Optima(prepared, self.state["optima"], self._optimum_changed)
        self.free = self.optima
        if self.demands != Demands():
            without = [_without_demands(each, watch) for each in prepared]
            self.free = Optima(without, self.state["free"], self._free_changed)
            for at in range(len(self.questions)):
                self._bound_by_free(at)
        self._tell()

    def answer(self, *, gen: int, least: int, everything: bool, count: bool, levels: int) -> Solution:
        """Go through all phases."""
        self.free.search(self.watch, self._test)
        self._save()
        if self.free.upper < least:
            raise MinPolymersExceedEntropy(min_polymers=least)
        self.optima.search(self.watch, self._test)
        self._save()
        if self.optima.impossible:
            return self._unsatisfiable(None)
        lower, upper = self.optima.lower, self.optima.upper
        if upper < least:
            return self._unsatisfiable(least)
        best: tuple[Configuration, ...] = ()
        divisions = self.optima.divisions
        if divisions is not None and lower >= max(1, least):
            best = (self._configuration(divisions),)
        self._tell(best[0] if best else None)
        solution = Solution(
            network=self.network,
            status=Status.OPTIMAL if lower == upper else Status.BOUNDED,
            configurations=best[:gen],
            lower=lower,
            upper=upper,
            entropy=self._entropy(),
            bound_source=self.optima.source,
        )
        if solution.status is Status.BOUNDED or not (gen > 1 or everything or count):
            return solution
        return self._enumerated(solution, gen, least, everything, count, levels)

    def _entropy(self) -> int | None:
        return self.free.upper if self.free.proved else None

    def _test(self, k: int) -> None:
        self.report.testing(min(k, self.report.now.upper))

    def _free_changed(self, at: int) -> None:
        self._bound_by_free(at)
        self._tell_and_save()

    def _bound_by_free(self, at: int) -> None:
        """Without constraints a component has at least as many polymers; without demands it is the same."""
        known = self.free.known[at]
        if self.questions[at].demands != Demands():
            known = msgspec.structs.replace(known, division=None, proved=False)
        self.optima.take(at, known)

    def _optimum_changed(self, at: int) -> None:
        if self.free is self.optima or self.free.proved:
            self._tell_and_save()

    def _tell_and_save(self) -> None:
        self._tell()
        if time.monotonic() >= self.save_next:
            self._save()

    def _tell(self, best: Configuration | None = None) -> None:
        """Report what is known; a configuration only if that doesn't take more time than the search."""
        if self.optima.impossible:
            return
        divisions = self.optima.divisions
        affordable = 2 * self.assembling <= time.monotonic() - self.begun
        if (
            best is None
            and divisions
            and self.listens
            and self.optima.lower > self.report.now.lower
            and affordable
        ):
            best = self._configuration(divisions)
        self.report.knows(self.optima.upper, self.optima.source, best, self._entropy())

    def _configuration(self, divisions: list[Division]) -> Configuration:
        if self.assembled is None or self.assembled[0] != divisions:
            begun = time.monotonic()
            self.assembled = divisions, self.assembly.configuration(divisions)
            self.assembling += time.monotonic() - begun
        return self.assembled[1]

    def _unsatisfiable(self, least: int | None) -> Solution:
        """Say so, and which constraints can't be kept together."""
        indices = range(len(self.network.constraints))

        def conflicts(constraints: frozenset[int]) -> bool:
            component = {index: at for at, each in enumerate(self.questions) for index in each.monomers}
            demands = by_component(keeping(self.demands, constraints), component)
            total = sum(each.upper for at, each in enumerate(self.free.known) if at not in demands)
            for at, kept in demands.items():
                found = divide(msgspec.structs.replace(self.questions[at], demands=kept), self.watch)
                if found.division is None and found.proved:
                    return True
                total += found.upper
            return least is not None and total < least

        upper = 0 if least is None else self.optima.upper
        return Solution(
            network=self.network,
            status=Status.UNSATISFIABLE,
            lower=upper,
            upper=upper,
            entropy=self._entropy(),
            conflict=core(indices, conflicts, self.watch),
            bound_source=self.optima.source,
        )

    def _enumerated(
        self, solution: Solution, gen: int, least: int, everything: bool, count: bool, levels: int
    ) -> Solution:
        """Return the solution with what else is asked for, as far as time allows."""
        found: list[Configuration] = []
        complete, total = False, None
        saved = self.state.get("levels", [None] * len(self.questions))
        try:
            self.levels = [
                Levels(question, self.watch, each)
                for question, each in zip(self.questions, saved, strict=True)
            ]
            listing = Listing(self.levels)
            most = listing.most()
            self._save()
            source = f"{solution.bound_source}; {EXHAUSTION}"
            solution = msgspec.structs.replace(solution, lower=most, upper=most, bound_source=source)
            down = most - max(least, len(self.questions))
            asked = min(levels, down)
            complete, depth = True, 0
            while complete and depth <= (down if not everything and len(found) < gen else asked):
                complete = self._list(listing, depth, found, None if everything else gen)
                if complete and depth == asked:
                    total = len(found)
                depth += 1
            if count and total is None:
                self.report.testing(most)
                total = listing.count(asked, self._save)
        except TimeIsUp:
            complete = False
        return msgspec.structs.replace(
            solution,
            configurations=tuple(found) or solution.configurations,
            exhausted=complete,
            total=total,
        )

    def _list(self, listing: Listing, depth: int, found: list[Configuration], wanted: int | None) -> bool:
        """List a level; return whether it is all there."""
        size = listing.most() - depth
        divisions = listing.at(depth)
        while wanted is None or len(found) < wanted:
            self.report.testing(size, len(found) + 1)
            following = next(divisions, None)
            if following is None:
                return True
            found.append(self.assembly.configuration(following))
            self._save_now_and_then(len(found))
        return next(divisions, None) is None

    def _save_now_and_then(self, listed: int) -> None:
        """Save when half as many again are listed or time has passed, much more than saving takes."""
        self.state["found"] = max(self.state["found"], listed)
        if listed >= self.saved_at * 1.5 or time.monotonic() >= self.save_next:
            self.saved_at = listed
            self._save()

    def _save(self) -> None:
        if self.on_state is None:
            return
        begun = time.monotonic()
        self.state |= {"free": self.free.state, "optima": self.optima.state}
        if self.levels:
            self.state["levels"] = [each.state for each in self.levels]
        self.on_state(dict(self.state))
        self.save_next = time.monotonic() + max(
            EVERY if self.levels else 0.0, 20 * (time.monotonic() - begun)
        )


def _without_demands(prepared: Prepared, watch: Watch) -> Prepared:
    if prepared.question.demands == Demands():
        return prepared
    return prepare(msgspec.structs.replace(prepared.question, demands=Demands()), watch)
