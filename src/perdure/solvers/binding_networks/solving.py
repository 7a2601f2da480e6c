"""The whole of a solve: phases, components, levels, and what leaves.

A network falls into components that no polymer crosses; each is divided by itself, and a configuration is one
division of each. First without constraints, for the entropy, then again those components that constraints are
on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import takewhile

# ections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from perdure.errors import MinPolymersExceedEntropy
from perdure.solvers.binding_networks.assembly import Assembly
from perdure.solvers.binding_networks.configuration import Configuration, Solution, Status
from perdure.solvers.binding_networks.conflict import core, keeping
from perdure.solvers.binding_networks.demands import Demands, components, demands_of
from perdure.solvers.binding_networks.enumeration import Levels
from perdure.solvers.binding_networks.formats import load_network
from perdure.solvers.binding_networks.listing import Listing
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.optimum import Division, Listener, Optimum, Question, divide
from perdure.solvers.binding_networks.polymers import TimeIsUp
from perdure.solvers.binding_networks.progress import Progress, Reporter
from perdure.solvers.binding_networks.reduction import of_component
from perdure.solvers.binding_networks.watch import Watch

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
    asked = network if isinstance(network, Network) else load_network(network)
    run = _Run(asked, connected, Watch(timeout, cancelled), on_progress, state, on_state)
    return run.answer(gen=gen, least=min_polymers, everything=all, count=count, levels=levels)


class _Run:
    """One solve under way."""

    def __init__(
        self,
        network: Network,
        connected: bool,
        watch: Watch,
        on_progress: Callable[[Progress], None] | None,
        state: Mapping[str, Any] | None,
        on_state: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.network, self.connected, self.watch = network, connected, watch
        self.demands = demands_of(network)
        members: dict[int, list[int]] = {}
        for index, first in enumerate(components(network)):
            members.setdefault(first, []).append(index)
        self.free = [Question(network, tuple(each), Demands(), connected) for each in members.values()]
        self.questions = [
            msgspec.structs.replace(each, demands=of_component(self.demands, each.monomers))
            for each in self.free
        ]
        self.assembly = Assembly(network, self.questions, connected=connected)
        self.report = Reporter(on_progress, len(network.monomers))
        self.listens = on_progress is not None
        self.on_state = on_state
        self.key = [sha256(msgspec.msgpack.encode(network)).hexdigest(), connected]
        if state is not None and state["key"] != self.key:
            raise ValueError("the state is of another network, or of another meaning of connected")
        self.state: dict[str, Any] = dict(state or {"key": self.key, "free": [], "optima": [], "found": 0})
        self.levels: list[Levels] = []
        self.saved_at = 0
        self.save_next = time.monotonic() + EVERY

    def answer(self, *, gen: int, least: int, everything: bool, count: bool, levels: int) -> Solution:
        """Go through all phases."""
        free = self._optima("free", self.free)
        above = sum(each.upper for each in free)
        if above < least:
            raise MinPolymersExceedEntropy(min_polymers=least)
        entropy = above if _lower(free) == above else None
        optima = self._optima("optima", self.questions, free)
        if any(each.division is None and each.proved for each in optima):
            return self._unsatisfiable(optima, entropy, None)
        lower, upper = _lower(optima), min(above, sum(each.upper for each in optima))
        solution = Solution(
            network=self.network,
            status=Status.OPTIMAL if lower == upper else Status.BOUNDED,
            lower=lower,
            upper=upper,
            entropy=entropy,
            bound_source="; ".join(dict.fromkeys(each.source for each in optima)),
        )
        if solution.upper < least:
            return self._unsatisfiable(optima, entropy, least)
        best: tuple[Configuration, ...] = ()
        if solution.lower >= max(1, least):
            divisions = [each.division for each in optima if each.division is not None]
            best = (self.assembly.configuration(divisions),)
            self.report.improved(best[0])
        solution = msgspec.structs.replace(solution, configurations=best[:gen])
        if solution.status is Status.BOUNDED or not (gen > 1 or everything or count):
            return solution
        return self._enumerated(solution, gen, least, everything, count, levels)

    def _optima(
        self, name: str, questions: Sequence[Question], free: Sequence[Optimum] | None = None
    ) -> list[Optimum]:
        """Divide every component, or take from the state what is there."""
        known = [msgspec.convert(each, Optimum) for each in self.state[name]]
        known = list(takewhile(lambda each: each.proved, known))  # what time ran out for is tried again
        uppers = [len(each.monomers) if free is None else free[at].upper for at, each in enumerate(questions)]
        for at, each in enumerate(known):
            uppers[at] = each.upper
        best: list[Division | None] = [each.division for each in known] + [None] * (
            len(questions) - len(known)
        )
        for at, question in enumerate(questions):
            if at < len(known):
                continue
            if free is not None and question.demands == Demands():
                found = free[at]
            else:
                found = divide(question, self.watch, self._listener(at, uppers, best, name))
            known.append(found)
            uppers[at], best[at] = found.upper, found.division
            self.report.bounded(sum(uppers))
            if found.proved and len(question.monomers) > 1:
                self._save(**{name: msgspec.to_builtins(known)})
        return known

    def _listener(self, at: int, uppers: list[int], best: list[Division | None], name: str) -> Listener:
        """Return what makes of news of one component news of the network."""

        def testing(k: int) -> None:
            others = sum(len(each or ()) for which, each in enumerate(best) if which != at)
            self.report.testing(min(others + k, self.report.now.upper))

        def improved(division: Division) -> None:
            best[at] = division
            divisions = [each for each in best if each is not None]
            of_network = name == "optima" or not self.network.constraints
            if self.listens and of_network and len(divisions) == len(best):
                self.report.improved(self.assembly.configuration(divisions))

        def bounded(upper: int) -> None:
            uppers[at] = min(uppers[at], upper)
            self.report.bounded(sum(uppers))

        return Listener(testing, improved, bounded)

    def _unsatisfiable(self, optima: Sequence[Optimum], entropy: int | None, least: int | None) -> Solution:
        """Say so, and which constraints can't be kept together."""

        def conflicts(constraints: frozenset[int]) -> bool:
            kept = keeping(self.demands, constraints)
            total = 0
            for question in self.questions:
                under = msgspec.structs.replace(question, demands=of_component(kept, question.monomers))
                found = divide(under, self.watch)
                if found.division is None:
                    return found.proved
                total += found.upper
            return least is not None and total < least

        upper = 0 if least is None else sum(each.upper for each in optima)
        return Solution(
            network=self.network,
            status=Status.UNSATISFIABLE,
            lower=upper,
            upper=upper,
            entropy=entropy,
            conflict=core(range(len(self.network.constraints)), conflicts, self.watch),
            bound_source="; ".join(dict.fromkeys(each.source for each in optima)),
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
                self.report.testing(most, len(found) + 1)
                total = listing.count(asked)
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
        self.report.testing(size, len(found) + 1)
        for divisions in listing.at(depth):
            if wanted is not None and len(found) >= wanted:
                return False
            found.append(self.assembly.configuration(divisions))
            self.report.testing(size, len(found) + 1)
            self._save_now_and_then(len(found))
        return True

    def _save_now_and_then(self, listed: int) -> None:
        """Save when half as many again are listed or time has passed, much more than saving takes."""
        if listed >= self.saved_at * 1.5 or time.monotonic() >= self.save_next:
            begun = time.monotonic()
            self._save(levels=[each.state for each in self.levels], found=listed)
            self.saved_at = listed
            self.save_next = time.monotonic() + max(EVERY, 20 * (time.monotonic() - begun))

    def _save(self, **fields: Any) -> None:
        if self.on_state is not None:
            self.state |= fields
            self.on_state(msgspec.json.decode(msgspec.json.encode(self.state)))


def _lower(optima: Sequence[Optimum]) -> int:
    """Return how many polymers the best divisions have together, 0 as long as a component has none."""
    return sum(each.lower for each in optima) if all(each.division is not None for each in optima) else 0
