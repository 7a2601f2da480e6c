"""The text of binding networks: the grammar of StableConfigs, and the detection of a text's syntax.

A line is a monomer. Its tokens are sites, ``domain[*][:name]``, and optionally the monomer's ``>name`` at the
end; ``#`` begins a comment, even inside a token. The grammar follows StableConfigs exactly, including its
oddities: text after the monomer's name is ignored, a line without sites is ignored, and between the first
star of a site and the colon everything is dropped. `counts` reads lines of stable_tbn, which have counts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from perdure.errors import (
    DuplicateBindingSiteName,
    DuplicateMonomerName,
    EmptyProblem,
    InvalidConstraint,
    NetworkError,
    NetworkTooLarge,
)
from perdure.solvers.binding_networks.counts import looks_counted, read_counted_monomer
from perdure.solvers.binding_networks.demands import Names, demands_of
from perdure.solvers.binding_networks.lines import Line, Part, Token
from perdure.solvers.binding_networks.monomers import read_monomer
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network

__all__ = ["MOST_SITES", "Syntax", "parse_network", "parse_tokens", "syntax_of"]

MOST_SITES = 100_000  # sites of a network, including copies: more than any solver can use


class Syntax(StrEnum):
    """A syntax that networks are written in."""

    STABLECONFIGS = "stableconfigs"
    STABLE_TBN = "stable_tbn"


def parse_network(
    lines: Iterable[str], constraint_lines: Iterable[str] = (), *, syntax: Syntax | None = None
) -> Network:
    """Read a network from its lines.

    Parameters
    ----------
    lines
        The monomers, one a line.
    constraint_lines
        The constraints, one a line: a keyword and names. They are the same in both syntaxes.
    syntax
        The syntax of the monomers; detected by `syntax_of` by default.

    Raises
    ------
    NetworkError
        One of its subclasses, with the line and column of the first error.

    Examples
    --------
    >>> network = parse_network(["a b >mon1", "a* b*"], ["FREE mon1"])
    >>> network.monomers[0].name
    'mon1'
    """
    texts = list(lines)
    monomers = _monomers(_lines(texts, Part.MONOMERS), syntax or syntax_of(texts))
    if not monomers:
        raise EmptyProblem(part=str(Part.MONOMERS), line="", line_number=1, column=1)
    written = [(line, list(line.tokens())) for line in _lines(constraint_lines, Part.CONSTRAINTS)]
    written = [(line, tokens) for line, tokens in written if tokens]
    names = Names(monomers)
    network = Network(monomers, tuple(_constraint(line, tokens, names) for line, tokens in written))
    try:
        demands_of(network)
    except NetworkError as error:
        raise _located(error, *written[error.values["constraint"]]) from None
    return network


def parse_tokens(
    monomers: str | Sequence[str | Sequence[str]], constraints: Sequence[str | Sequence[str]] = ()
) -> Network:
    """Read a network from lists of tokens, in the syntax of StableConfigs, as its HTTP interface takes them.

    The tokens of a list are joined by spaces, so a token may contain several; the same applies to the
    characters of a string in place of a list.
    """
    return parse_network(
        [" ".join(monomer) for monomer in monomers],
        [" ".join(constraint) for constraint in constraints],
        syntax=Syntax.STABLECONFIGS,
    )


def syntax_of(lines: Sequence[str]) -> Syntax:
    """Return the syntax of a text: stable_tbn if it has counts.

    ``1[0]`` and ``3(a)`` are counts in stable_tbn and domains in StableConfigs. The whole text decides, see
    `counts.looks_counted`.
    """
    counted = looks_counted([line.content for line in _lines(lines, Part.MONOMERS)])
    return Syntax.STABLE_TBN if counted else Syntax.STABLECONFIGS


def _lines(texts: Iterable[str], part: Part) -> list[Line]:
    return [Line(text, number, part) for number, text in enumerate(texts, 1)]


def _monomers(lines: Sequence[Line], syntax: Syntax) -> tuple[Monomer, ...]:
    """Read the monomers of all lines, check their names, and make copies."""
    read = read_counted_monomer if syntax is Syntax.STABLE_TBN else read_monomer
    monomers: list[Monomer] = []
    named: dict[str, Counter[str]] = {}
    site_names: set[str] = set()
    count = 0
    for line in lines:
        written = read(line)
        if written is None:
            continue
        count += written.copies * sum(entry.copies for entry in written.sites)
        if count > MOST_SITES:
            raise line.wrong(NetworkTooLarge, written.sites[0].column, limit=MOST_SITES)
        for entry in written.sites:
            if entry.site.name is None:
                continue
            if entry.site.name in site_names or written.copies * entry.copies > 1:
                raise line.wrong(DuplicateBindingSiteName, entry.column)
            site_names.add(entry.site.name)
        sites = tuple(entry.site for entry in written.sites for _ in range(entry.copies))
        name = None
        if written.name is not None:
            name, column = written.name
            made_of = Counter(site.text for site in sites)
            # In stable_tbn a name belongs to a kind of monomer, in StableConfigs to a single one.
            if name in named and (syntax is Syntax.STABLECONFIGS or named[name] != made_of):
                raise line.wrong(DuplicateMonomerName, column)
            named[name] = made_of
        monomers += [Monomer(sites, name)] * written.copies
    return tuple(monomers)


def _constraint(line: Line, tokens: Sequence[Token], names: Names) -> Constraint:
    """Read a constraint and check that its names exist."""
    keyword, *arguments = (token.text for token in tokens)
    if keyword not in Keyword.__members__:
        raise line.wrong(InvalidConstraint, tokens[0].column, keyword=keyword)
    constraint = Constraint(Keyword(keyword), tuple(arguments))
    try:
        names.look_up(constraint)
    except NetworkError as error:
        raise _located(error, line, tokens) from None
    return constraint


def _located(error: NetworkError, line: Line, tokens: Sequence[Token]) -> NetworkError:
    """Return an error about a constraint with the line and column of the wrong word."""
    return line.wrong(type(error), tokens[error.values["word"]].column, **error.values)
