"""Solving a network: phases, components, levels, and results.

A network splits into components that no polymer crosses. Each component is divided by itself; a configuration
combines one division of each. The components are first divided without constraints, for the entropy, and
those with constraints again under them.
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

EXHAUSTION = "exhaustive search in exact arithmetic"
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
    on_found: Callable[[Configuration], None] | None = None,
    state: Mapping[str, Any] | None = None,
    on_state: Callable[[dict[str, Any]], None] | None = None,
) -> Solution:
    """Find the configurations of a network with the most polymers.

    Parameters
    ----------
    network
        A network, or the text or file of its monomers.
    gen
        The number of distinct configurations to find, from the optimum downwards.
    min_polymers
        The least number of polymers of a configuration.
    all
        Whether to find all configurations of the optimum and of `levels` below, regardless of `gen`.
    count
        Whether to count the configurations of the optimum and of `levels` below, without listing them.
    levels
        The number of levels below the optimum for `all` and `count`.
    connected
        Whether bonds must connect each polymer. If not, monomers that bonds could connect may count as one
        polymer, as in StableConfigs; this makes a difference under constraints and below the optimum.
    timeout
        Seconds after which the best result so far is returned.
    cancelled
        Called often; once it returns true, the best result so far is returned.
    on_progress
        Called with the bounds, the best configuration and what is being computed, whenever they have changed.
        An error that it raises ends the solve.
    on_found
        Called with each configuration of the list, in its order, when several are asked for. With a `state`,
        those that were listed before come again. An error that it raises ends the solve.
    state, on_state
        `on_state` is called now and then with plain data, in which `found` is the number of configurations
        listed. Passed as `state`, a solve of the same question continues from there to the same solution.
        Other parameters may differ, but not the network or `connected`.

    Returns
    -------
    Solution
        Every configuration in it is verified. If time ran out after the optimum was proved, its status is
        OPTIMAL and `exhausted` is false.

    Raises
    ------
    NetworkError
        The network is wrong; MinPolymersExceedEntropy if no configuration has `min_polymers` polymers, even
        without constraints.
    ValueError
        The state belongs to another network or another value of `connected`.

    Examples
    --------
    >>> solve("a b\\na* b*\\na\\nb").optimum
    3
    """
    watch = Watch(timeout, cancelled)
    asked = network if isinstance(network, Network) else load_network(network)
    first = 1 if all else min(gen, 1)
    run = _Run(asked, connected, watch, first, on_progress, on_found, state, on_state)
    return run.answer(gen=gen, least=min_polymers, everything=all, count=count, levels=levels)


class _Run:
    """A solve in progress."""

    def __init__(
        self,
        network: Network,
        connected: bool,
        watch: Watch,
        output: int,
        on_progress: Callable[[Progress], None] | None,
        on_found: Callable[[Configuration], None] | None,
        state: Mapping[str, Any] | None,
        on_state: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.network, self.connected, self.watch = network, connected, watch
        self.listens = on_progress is not None
        self.on_found = on_found
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
        self.report = Reporter(on_progress, now, at_once=state is None)
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
        self._report()

    def answer(self, *, gen: int, least: int, everything: bool, count: bool, levels: int) -> Solution:
        """Run all phases."""
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
        self._report(best[0] if best else None)
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
        self._report_and_save()

    def _bound_by_free(self, at: int) -> None:
        """Bound a component by its optimum without constraints, which is the same if it has no demands."""
        known = self.free.known[at]
        if self.questions[at].demands != Demands():
            known = msgspec.structs.replace(known, division=None, proved=False)
        self.optima.take(at, known)

    def _optimum_changed(self, at: int) -> None:
        if self.free is self.optima or self.free.proved:
            self._report_and_save()

    def _report_and_save(self) -> None:
        self._report()
        if time.monotonic() >= self.save_next:
            self._save()

    def _report(self, best: Configuration | None = None) -> None:
        """Report what is known, with a configuration only if assembling takes less time than the search."""
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
        """Return an unsatisfiable solution with constraints that can't hold together."""
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
        """Complete the solution with the requested lists and counts, as far as time allows."""
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
        """List a level; return whether the list is complete."""
        size = listing.most() - depth
        divisions = listing.at(depth)
        while wanted is None or len(found) < wanted:
            self.report.testing(size, len(found) + 1)
            following = next(divisions, None)
            if following is None:
                return True
            found.append(self.assembly.configuration(following))
            if self.on_found is not None:
                self.on_found(found[-1])
            self._save_now_and_then(len(found))
        return next(divisions, None) is None

    def _save_now_and_then(self, listed: int) -> None:
        """Save when the list has grown by half, or when saving takes little of the time that has passed."""
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
