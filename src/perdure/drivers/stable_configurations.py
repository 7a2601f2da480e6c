"""The tasks that find stable configurations of binding networks: one for native clients, one for a dialect.

They differ in when a network is read: natively before it is queued, so that a wrong one is refused; in the
dialect of StableConfigs when it is worked on, as its clients look for that in the status of the task.
"""

from time import monotonic
from typing import Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from perdure.errors import LimitExceeded, MinPolymersExceedEntropy, NetworkError
from perdure.solvers.binding_networks import solve
from perdure.solvers.binding_networks.answer import in_detail
from perdure.solvers.binding_networks.configuration import Configuration, Polymer
from perdure.solvers.binding_networks.grammar import parse_network, parse_tokens
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.progress import Progress
from perdure.solvers.binding_networks.solution import Solution, Status
from perdure.tasks import Task, TaskContext, TaskFailed

__all__ = [
    "DIALECT_TASK",
    "NETWORK_ERROR",
    "TASK",
    "StableConfigsQuestion",
    "StableConfigurations",
    "StableConfigurationsQuestion",
]

MOST_REPORTED = 20  # configurations of the list in a partial result
EVERY = 0.2  # seconds between two partial results of a list

NETWORK_ERROR = "network_error"
"""The code of a task that failed because its network is wrong."""


class StableConfigurationsQuestion(BaseModel):
    """A binding network, and what is asked about it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    monomers: list[str | list[str]] = Field(
        description="A monomer each: a line such as `a b* >name`, or its sites as a list.",
        examples=[[["a", "b"], ["a*", "b*"]]],
    )
    constraints: list[str | list[str]] = Field(
        [], description="A constraint each: a line such as `FREE name`, or its words as a list."
    )
    gen: int = Field(
        1, ge=1, description="How many distinct configurations, the ones with most polymers first."
    )
    all: bool = Field(False, description="Find all distinct configurations with most polymers.")
    levels: int = Field(
        0, ge=0, description="With `all` or `count`: how many numbers of polymers below the most."
    )
    count: bool = Field(False, description="Count the distinct configurations.")
    min_polymers: int = Field(0, ge=0, description="The least number of polymers wanted.")
    connected: bool = Field(False, description="Polymers hold together by bonds, also under constraints.")

    def network(self) -> Network:
        """Return the network; raise `NetworkError` if it is wrong."""
        return parse_network(_lines(self.monomers), _lines(self.constraints))

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            self.network()
        except NetworkError as error:
            line, column = error.values.get("line_number"), error.values.get("column")
            place = f" ({error.values['part']}, line {line}, column {column})" if line else ""
            raise ValueError(f"{error}{place}") from None
        return self


class StableConfigsQuestion(BaseModel):
    """What a client of StableConfigs asks; the network isn't read yet."""

    model_config = ConfigDict(extra="forbid", strict=True)

    monomers: list[list[str]]
    constraints: list[list[str]]
    gen: int
    min_polymers: int


class Found(BaseModel):
    """A configuration: its polymers, each a list of monomers, each a list of tokens; and its bonds.

    A polymer has a list of bonds, each of two places [monomer, site] in it, from 0, the unstarred site first.
    """

    polymers: list[list[list[str]]]
    polymers_count: int
    bonds: list[list[list[list[int]]]]


class StableConfigurations(BaseModel):
    """Configurations, and what is proved: the optimum is from `lower` to `upper`, and null if not proved."""

    status: Literal["COMPLETE", "TimedOut"]
    configs: list[Found]
    count: int
    entropy: int | None = Field(description="The most polymers without the constraints.")
    optimum: int | None
    lower: int
    upper: int
    bound_source: str
    total: int | None = Field(description="How many distinct configurations there are, if that is known.")
    exhausted: bool = Field(description="Whether these are all.")
    conflict: list[list[str]] = Field(description="Constraints that can't be kept together.")


def _answer(question: StableConfigurationsQuestion, context: TaskContext) -> StableConfigurations:
    asked = question.model_dump(include={"gen", "all", "levels", "count", "min_polymers", "connected"})
    return _solved(question.network(), asked, context)


def _answer_dialect(question: StableConfigsQuestion, context: TaskContext) -> StableConfigurations:
    try:
        network = parse_tokens(question.monomers, question.constraints)
        solved = _solved(network, {"gen": question.gen, "min_polymers": question.min_polymers}, context)
        if 0 < solved.upper < question.min_polymers and not solved.configs:  # but there are some with fewer
            raise MinPolymersExceedEntropy(min_polymers=question.min_polymers)
    except NetworkError as error:
        raise TaskFailed(NETWORK_ERROR, str(error)) from error
    return solved


def _solved(network: Network, asked: dict[str, Any], context: TaskContext) -> StableConfigurations:
    if context.resumed is not None:
        print(f"Attempt {context.attempt} goes on from {context.resumed['found']} configurations.")
    reports = _Reports(network, context)
    solution = solve(
        network,
        **asked,
        on_progress=reports,
        on_found=reports.found,
        state=context.resumed,
        on_state=context.savepoint,
    )
    return StableConfigurations.model_validate(in_detail(solution))


class _Reports:
    """Reports progress, and as a partial result the best configuration so far, or the first of the list."""

    def __init__(self, network: Network, context: TaskContext) -> None:
        self._network = network
        self._context = context
        self._told: Progress | None = None
        self._listed: list[Configuration] = []
        self._known: Solution | None = None
        self._full = False  # whether no more of the list are reported
        self._next = 0.0  # when the next of them may be

    def __call__(self, progress: Progress) -> None:
        before, self._told = self._told, progress
        if before is None or _known(before) != _known(progress):
            proved = progress.best is not None and progress.lower == progress.upper
            self._known = Solution(
                network=self._network,
                status=Status.OPTIMAL if proved else Status.BOUNDED,
                configurations=() if progress.best is None else (progress.best,),
                lower=progress.lower,
                upper=progress.upper,
                entropy=progress.entropy,
                bound_source=progress.bound_source,
            )
            self._keep(self._known)
        self._context.progress(count=progress.count, k=progress.k, lower=progress.lower, upper=progress.upper)

    def found(self, configuration: Configuration) -> None:
        """Report a configuration of the list, with those before it: the first 20, a few times a second."""
        if self._full or self._known is None:
            return
        self._listed.append(configuration)
        begun = monotonic()
        self._full = len(self._listed) == MOST_REPORTED
        if self._full or begun >= self._next:
            listed = msgspec.structs.replace(self._known, configurations=tuple(self._listed))
            try:
                self._send(listed)
            except LimitExceeded:  # a report has no room for more of them
                self._full = True
            self._next = monotonic() + max(EVERY, 20 * (monotonic() - begun))

    def _keep(self, solution: Solution) -> None:
        for best in (solution.configurations, tuple(map(_without_bonds, solution.configurations)), ()):
            try:
                self._send(msgspec.structs.replace(solution, configurations=best))
                return
            except LimitExceeded:  # a report has less room than a very large configuration takes
                continue

    def _send(self, solution: Solution) -> None:
        known = {**in_detail(solution), "status": "TimedOut"}
        self._context.partial(StableConfigurations.model_validate(known))


def _known(progress: Progress) -> tuple[object, ...]:
    return progress.lower, progress.upper, progress.best, progress.entropy, progress.bound_source


def _without_bonds(configuration: Configuration) -> Configuration:
    return Configuration(tuple(Polymer(polymer.monomers) for polymer in configuration.polymers))


def _lines(given: list[str | list[str]]) -> list[str]:
    return [line if isinstance(line, str) else " ".join(line) for line in given]


TASK = Task(
    name="stable_configurations",
    input=StableConfigurationsQuestion,
    result=StableConfigurations,
    function=_answer,
    version="1",
)
"""For native clients."""

DIALECT_TASK = Task(
    name="stableconfigs",
    input=StableConfigsQuestion,
    result=StableConfigurations,
    function=_answer_dialect,
    version="1",
)
"""For the dialect of StableConfigs."""
