"""The solution of a binding network as text for a terminal."""

from collections import Counter
from collections.abc import Hashable, Iterator

from perdure.errors import NetworkError
from perdure.solvers.binding_networks.answer import tokens_of
from perdure.solvers.binding_networks.configuration import Configuration
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network
from perdure.solvers.binding_networks.progress import Progress
from perdure.solvers.binding_networks.solution import Solution, Status

__all__ = ["answer_in_words", "looks_like_constraints", "mistake_in_words", "progress_in_words"]

BEFORE, AFTER = 60, 40  # characters of a long line that are shown around the wrong one


def answer_in_words(solution: Solution, *, cut: str = "") -> Iterator[str]:
    """Yield the lines that describe a solution.

    Parameters
    ----------
    cut
        What ended the search before it was complete, if anything did.
    """
    if solution.status is Status.UNSATISFIABLE:
        if solution.upper:  # there are configurations, but none with the requested number of polymers
            yield f"Under the constraints there are at most {_counted(solution.upper, 'polymer')}."
        else:
            yield "No saturated configuration satisfies the constraints."
        if solution.conflict:
            yield "These can't be satisfied together:"
        for index in solution.conflict:
            yield f"  {_line_of(solution.network.constraints[index])}"
        return
    yield from _optimum(solution)
    total = solution.total
    stable = sum(len(each.polymers) == solution.optimum for each in solution.configurations)
    if solution.optimum is not None and stable < len(solution.configurations):
        below = len(solution.configurations) - stable
        yield f"Listed: {_counted(stable, 'stable configuration')}, and {below} below the optimum."
    elif total is not None:
        yield f"There {'is' if total == 1 else 'are'} {_counted(total, 'such configuration')}."
    if cut:
        yield f"{cut}; what follows is the best so far." if solution.configurations else f"{cut}."
    for number, configuration in enumerate(solution.configurations, 1):
        yield ""
        yield f"Configuration {number}, {_counted(len(configuration.polymers), 'polymer')}"
        yield from _polymers(solution.network, configuration)


def looks_like_constraints(monomers: str) -> bool:
    """Return whether each line of a text begins with the keyword of a constraint."""
    lines = [tokens for line in monomers.splitlines() if (tokens := line.partition("#")[0].split())]
    return bool(lines) and all(len(tokens) > 1 and tokens[0] in set(Keyword) for tokens in lines)


def mistake_in_words(error: NetworkError, file: str) -> str:
    """Return a text about an error in a network, with the line and a caret under the wrong place."""
    line, column = error.values["line"], error.values["column"]
    start = max(0, column - 1 - BEFORE)
    shown = line[start : column - 1 + AFTER]
    # Control characters are escaped; a tab is repeated below itself to keep its width.
    quoted = "".join(
        each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in shown
    )
    under = "".join("\t" if each == "\t" else " " for each in quoted[: column - 1 - start])
    message = "".join(each if each.isprintable() else " " for each in str(error))
    return f"{file}, line {error.values['line_number']}, column {column}: {message}\n  {quoted}\n  {under}^"


def progress_in_words(progress: Progress) -> str:
    """Return the progress of a search as text."""
    if progress.lower < progress.upper:
        return f"{progress.lower} to {progress.upper} polymers"
    return f"{_counted(progress.lower, 'polymer')}, configuration {progress.count}"


def _optimum(solution: Solution) -> Iterator[str]:
    proof = f" (proof: {solution.bound_source})" if solution.bound_source else ""
    if solution.status is Status.BOUNDED:
        yield f"The optimum is between {solution.lower} and {_counted(solution.upper, 'polymer')}{proof}."
        return
    yield f"The optimum is {_counted(solution.lower, 'polymer')}{proof}."
    if solution.network.constraints and solution.entropy not in (None, solution.lower):
        yield f"Without the constraints it would be {solution.entropy}."


def _polymers(network: Network, configuration: Configuration) -> Iterator[str]:
    """Yield a line for all polymers with the same monomers, in their order."""
    copies: Counter[Hashable] = Counter()
    lines: dict[Hashable, str] = {}
    for polymer in configuration.polymers:
        monomers = [network.monomers[index] for index in polymer.monomers]
        kind: Hashable = frozenset(Counter(monomers).items())
        copies[kind] += 1
        lines.setdefault(kind, " + ".join(_monomer(each) for each in monomers))
    width = len(str(max(copies.values(), default=1)))
    for kind, line in lines.items():
        yield f"  {copies[kind]:>{width}} × {line}"


def _monomer(monomer: Monomer) -> str:
    return f"[{' '.join(tokens_of(monomer))}]"


def _line_of(constraint: Constraint) -> str:
    return " ".join((constraint.keyword, *constraint.names))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
