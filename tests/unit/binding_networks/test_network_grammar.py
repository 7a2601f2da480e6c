"""Networks are read as StableConfigs and stable_tbn read them, and errors are reported with their place."""

import pickle

import pytest

from perdure.errors import (
    AmbiguousMonomer,
    AnyPairedImpossible,
    ConstraintArgumentCount,
    DuplicateBindingSiteName,
    DuplicateMonomerName,
    EarlyTermination,
    EmptyMonomerName,
    EmptyProblem,
    Invalid,
    InvalidBindingSiteName,
    InvalidConstraint,
    InvalidCount,
    MinPolymersExceedEntropy,
    NetworkError,
    NetworkTooLarge,
    NonexistentBindingSite,
    NonexistentMonomer,
    NotFreeImpossible,
    PairedImpossible,
    TogetherImpossible,
)
from perdure.solvers.binding_networks.demands import demands_of
from perdure.solvers.binding_networks.grammar import (
    MOST_SITES,
    Syntax,
    parse_network,
    parse_tokens,
    syntax_of,
)
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, Site

A, B = Site("a"), Site("b")


def only(line: str, syntax: Syntax = Syntax.STABLECONFIGS) -> Monomer:
    """Return the one monomer of a line."""
    (monomer,) = parse_network([line], syntax=syntax).monomers
    return monomer


@pytest.mark.parametrize(
    ("line", "monomer"),
    [
        ("a b", Monomer((A, B))),
        ("  b\ta  ", Monomer((B, A))),
        ("a*", Monomer((Site("a", True),))),
        ("a:s", Monomer((Site("a", name="s"),))),
        ("a*:s", Monomer((Site("a", True, "s"),))),
        ("a:s1*", Monomer((Site("a", name="s1*"),))),
        ("a:s:t", Monomer((Site("a", name="s:t"),))),
        ("a*b", Monomer((Site("a", True),))),
        ("a**", Monomer((Site("a", True),))),
        ("a*b:s", Monomer((Site("a", True, "s"),))),
        ("a >m", Monomer((A,), "m")),
        ("a >m b", Monomer((A,), "m")),
        ("a >m >n a:", Monomer((A,), "m")),
        ("a >m#1", Monomer((A,), "m")),
        ("a >m:x*", Monomer((A,), "m:x*")),
        ("a b>m", Monomer((A, Site("b>m")))),
        ("a#x", Monomer((A,))),
        ("a # b", Monomer((A,))),
        ("1[0] m[7]*", Monomer((Site("1[0]"), Site("m[7]", True)))),
        ("3(a)", Monomer((Site("3(a)"),))),
        ("2[a b]", Monomer((Site("2[a"), Site("b]")))),
        ("a a a*", Monomer((A, A, Site("a", True)))),
    ],
)
def test_a_line_of_stableconfigs_is_a_monomer(line: str, monomer: Monomer) -> None:
    assert only(line) == monomer


@pytest.mark.parametrize("line", ["", "   ", "# a b", ">m", ">m a", ">m#x", "#*"])
def test_a_line_without_sites_vanishes(line: str) -> None:
    assert parse_network([line, "a >m"]).monomers == (Monomer((A,), "m"),)


def test_names_of_sites_and_of_monomers_are_apart() -> None:
    network = parse_network(["a:x >x"], ["FREE x", "NOTANYPAIRED x"])
    assert network.constraints == (
        Constraint(Keyword.FREE, ("x",)),
        Constraint(Keyword.NOTANYPAIRED, ("x",)),
    )


@pytest.mark.parametrize("keyword", Keyword)
def test_every_constraint_is_read(keyword: Keyword) -> None:
    about_sites = "PAIRED" in keyword
    two = keyword in ("TOGETHER", "NOTTOGETHER", "PAIRED", "NOTPAIRED")
    names = (("s", "t") if about_sites else ("m", "n"))[: 1 + two]
    line = f"  {keyword}\t{'  '.join(names)}# as it is"
    network = parse_network(["a:s >m", "a*:t >n"], ["# first", "", line])
    assert network.constraints == (Constraint(keyword, names),)


@pytest.mark.parametrize("names", [(), ("m",), ("m", "n", "o")])
def test_together_takes_any_number_of_names(names: tuple[str, ...]) -> None:
    network = parse_network(["a >m", "a* >n", "a >o"], [" ".join(("TOGETHER", *names))])
    assert network.constraints == (Constraint(Keyword.TOGETHER, names),)


MONOMERS = ["a:s b >m", "a*:t >n", "c:u >o", "a:v"]

MISTAKES = [
    ([], [], EmptyProblem, "Input contains no monomers.", 1, 1),
    (["", ">m"], [], EmptyProblem, "Input contains no monomers.", 1, 1),
    (
        ["a", "b  >"],
        [],
        EmptyMonomerName,
        "Empty Monomer name. 'b  >'. Note that any whitespace after the monomer name keyword is ignored.",
        2,
        4,
    ),
    (
        ["> m"],
        [],
        EmptyMonomerName,
        "Empty Monomer name. '> m'. Note that any whitespace after the monomer name keyword is ignored.",
        1,
        1,
    ),
    (["a >#m"], [], EmptyMonomerName, None, 1, 3),
    (["a *"], [], InvalidBindingSiteName, "Invalid BindingSite name. 'a *'", 1, 3),
    (["*#"], [], InvalidBindingSiteName, "Invalid BindingSite name. '*#'", 1, 1),
    ([":s"], [], InvalidBindingSiteName, "Invalid BindingSite name. ':s'", 1, 1),
    (["a:"], [], InvalidBindingSiteName, "Invalid BindingSite name. 'a:'", 1, 1),
    (["a:#s"], [], InvalidBindingSiteName, "Invalid BindingSite name. 'a:#s'", 1, 1),
    (
        ["b", "  a:s  a:s # x"],
        [],
        DuplicateBindingSiteName,
        "Duplicate BindingSite name. '  a:s  a:s # x'",
        2,
        8,
    ),
    (["a >m", "b", "a >m"], [], DuplicateMonomerName, "Duplicate Monomer name. 'a >m'", 3, 4),
    (MONOMERS, ["", " BOUND s"], InvalidConstraint, "Invalid Constraint 'BOUND'. ' BOUND s'", 2, 2),
    (MONOMERS, ["free m"], InvalidConstraint, "Invalid Constraint 'free'. 'free m'", 1, 1),
    (
        MONOMERS,
        ["PAIRED s"],
        ConstraintArgumentCount,
        "Constraint 'PAIRED' takes 2 arguments, got 1. 'PAIRED s'",
        1,
        1,
    ),
    (
        MONOMERS,
        ["FREE"],
        ConstraintArgumentCount,
        "Constraint 'FREE' takes 1 arguments, got 0. 'FREE'",
        1,
        1,
    ),
    (
        MONOMERS,
        ["NOTPAIRED s  m"],
        NonexistentBindingSite,
        "BindingSite 'm' does not exist. 'NOTPAIRED s  m'",
        1,
        14,
    ),
    (MONOMERS, ["FREE s"], NonexistentMonomer, "Monomer 's' does not exist. 'FREE s'", 1, 6),
    (
        MONOMERS,
        ["TOGETHER m n o"],
        TogetherImpossible,
        "Monomer [m] and Monomer [o] cannot be together in any valid configuration.",
        1,
        14,
    ),
    (
        MONOMERS,
        ["TOGETHER m m"],
        TogetherImpossible,
        "Monomer [m] and Monomer [m] cannot be together in any valid configuration.",
        1,
        12,
    ),
    (
        MONOMERS,
        ["#", "NOTFREE o"],
        NotFreeImpossible,
        "Monomer [o] cannot be together with any other Monomer in any valid configuration.",
        2,
        9,
    ),
    (
        MONOMERS,
        ["PAIRED s v"],
        PairedImpossible,
        "Binding Site [s] and Binding Site [v] are not complementary.",
        1,
        10,
    ),
    (
        MONOMERS,
        ["ANYPAIRED u"],
        AnyPairedImpossible,
        "Binding Site [u] does not have any complementary binding sites in the system.",
        1,
        11,
    ),
]


@pytest.mark.parametrize(
    ("lines", "constraints", "kind", "message", "line_number", "column"),
    MISTAKES,
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_mistake_is_reported_in_the_words_of_stableconfigs_with_its_place(
    lines: list[str],
    constraints: list[str],
    kind: type[NetworkError],
    message: str | None,
    line_number: int,
    column: int,
) -> None:
    with pytest.raises(kind) as mistake:
        parse_network(lines, constraints)
    error = mistake.value
    assert isinstance(error, Invalid)
    assert message is None or str(error) == message
    assert (error.values["line_number"], error.values["column"]) == (line_number, column)
    part = constraints if error.values["part"] == "constraints" else lines
    assert error.values["line"] == (part[line_number - 1] if part else "")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.values) == (str(error), error.values)


def test_the_answers_of_a_task_have_the_words_of_stableconfigs() -> None:
    assert str(MinPolymersExceedEntropy(min_polymers=7)) == (
        "Minimum Polymers [7] exceeds the max entropy of TBN system. No Results can be computed. "
        "Choose a lower value."
    )
    assert (
        str(EarlyTermination(count=1, min_polymers=3)) == "Early Termination at count [1] min polymers [3]."
    )


def test_the_first_line_that_is_wrong_is_reported() -> None:
    with pytest.raises(NonexistentMonomer):
        parse_network(["a >m"], ["FREE x", "WRONG"])
    with pytest.raises(InvalidConstraint):
        parse_network(["a >m"], ["NOTFREE m", "WRONG"])


@pytest.mark.parametrize(
    ("line", "monomers"),
    [
        ("2[a b >m]", [Monomer((A, B), "m")] * 2),
        ("2[ a  b ]", [Monomer((A, B))] * 2),
        ("[a b]", [Monomer((A, B))]),
        ("  3[a] # twice and once more", [Monomer((A,))] * 3),
        ("3(a) b", [Monomer((A, A, A, B))]),
        ("2[2(a*) b]", [Monomer((Site("a", True), Site("a", True), B))] * 2),
        ("2( a ) b", [Monomer((A, A, B))]),
        ("1(a:s)", [Monomer((Site("a", name="s"),))]),
        ("1[a*:s b>m]", [Monomer((Site("a", True, "s"), B), "m")]),
        ("a b>m", [Monomer((A, B), "m")]),
        ("12[a]", [Monomer((A,))] * 12),
    ],
)
def test_a_line_of_stable_tbn_is_monomers(line: str, monomers: list[Monomer]) -> None:
    assert parse_network([line], syntax=Syntax.STABLE_TBN).monomers == tuple(monomers)


def test_copies_share_their_name_also_over_lines() -> None:
    network = parse_network(["2[a b >m]", "b a >m", "c >o"], ["FREE o"])
    assert [monomer.name for monomer in network.monomers] == ["m", "m", "m", "o"]
    with pytest.raises(DuplicateMonomerName) as mistake:
        parse_network(["2[a b >m]", "a >m"])
    assert mistake.value.values["column"] == 4


def test_a_constraint_on_copies_is_refused() -> None:
    with pytest.raises(AmbiguousMonomer, match="'m' is one of 2 copies") as mistake:
        parse_network(["2[a b >m]"], ["FREE m"])
    assert (mistake.value.values["line_number"], mistake.value.values["column"]) == (1, 6)


@pytest.mark.parametrize(
    ("line", "kind", "words", "column"),
    [
        ("0[a b]", InvalidCount, "from 1 on", 1),
        ("02[a b]", InvalidCount, "leading zeros", 1),
        ("1234567890[a b]", InvalidCount, "9 digits", 1),
        (" inf[a b]", InvalidCount, "'inf'", 2),
        ("2[]", InvalidCount, "no sites", 3),
        ("2[ >m ]", InvalidCount, "no sites", 3),
        (">m", InvalidCount, "no sites", 1),
        ("2[a b", InvalidCount, "out of place", 2),
        ("2[a b] c", InvalidCount, "out of place", 2),
        ("2[a b] >m", InvalidCount, "out of place", 2),
        ("a b]", InvalidCount, "out of place", 4),
        ("2[2[a] b]", InvalidCount, "out of place", 4),
        ("2(3(a)) b", InvalidCount, "out of place", 2),
        ("2(a", InvalidCount, "out of place", 2),
        ("3(a)b", InvalidCount, "out of place", 2),
        ("a 3(b c)", InvalidCount, "one site", 3),
        ("a 3()", InvalidCount, "one site", 3),
        ("a 0(b)", InvalidCount, "from 1 on", 3),
        ("2[a >m b]", InvalidCount, "comes last", 8),
        ("2[a >m)]", InvalidCount, "out of place", 7),
        ("2[a >]", EmptyMonomerName, "Empty Monomer name.", 5),
        ("2[a *]", InvalidBindingSiteName, "Invalid", 5),
        ("a 2(*)", InvalidBindingSiteName, "Invalid", 5),
        ("2[a:s b]", DuplicateBindingSiteName, "Duplicate", 3),
        ("b 2(a:s)", DuplicateBindingSiteName, "Duplicate", 5),
        (f"{MOST_SITES + 1}[a]", NetworkTooLarge, "more than", 8),
        ("999999999[999999999(a) b]", NetworkTooLarge, "lower its counts", 21),
    ],
)
def test_a_wrong_count_is_reported_with_its_place(
    line: str, kind: type[NetworkError], words: str, column: int
) -> None:
    with pytest.raises(kind) as mistake:
        parse_network(["a*", line], syntax=Syntax.STABLE_TBN)
    assert words in str(mistake.value)
    assert (mistake.value.values["line_number"], mistake.value.values["column"]) == (2, column)


@pytest.mark.parametrize(
    ("lines", "syntax"),
    [
        (["a b", "a*"], Syntax.STABLECONFIGS),
        (["2[a b]", "a*"], Syntax.STABLE_TBN),
        (["2[ a ]"], Syntax.STABLE_TBN),
        (["2[a", "b"], Syntax.STABLE_TBN),
        (["2[3[a] b]"], Syntax.STABLE_TBN),
        (["[a b]"], Syntax.STABLE_TBN),
        (["inf[a b]"], Syntax.STABLE_TBN),
        (["10[a]", "a*"], Syntax.STABLE_TBN),
        (["3(a) b", "a* b*"], Syntax.STABLE_TBN),
        (["10[a] # many"], Syntax.STABLE_TBN),
        (["a # 2[a b]"], Syntax.STABLECONFIGS),
        (["1[0] 1[1]", "1[0]"], Syntax.STABLECONFIGS),
        (["1[0]", "1[0]*"], Syntax.STABLECONFIGS),
        (["1[0]:s"], Syntax.STABLECONFIGS),
        (["1[0] >m"], Syntax.STABLECONFIGS),
        (["3(a)*", "3(a)"], Syntax.STABLECONFIGS),
        (["m[7] a"], Syntax.STABLECONFIGS),
        (["1[0] 1[1]", "2[a b]"], Syntax.STABLE_TBN),
        ([], Syntax.STABLECONFIGS),
    ],
)
def test_the_syntax_is_detected_by_how_brackets_are_used(lines: list[str], syntax: Syntax) -> None:
    assert syntax_of(lines) is syntax


def test_tokens_are_read_as_stableconfigs_joins_them() -> None:
    network = parse_tokens([["a b", ">m"], ["a*", "b*"]], [["FREE", "m"], ["NOTFREE m"]])
    assert network == parse_network(["a b >m", "a* b*"], ["FREE m", "NOTFREE m"])
    assert parse_tokens("ab") == parse_network(["a", "b"])
    assert parse_tokens(["ab"]) == parse_network(["a b"])
    assert parse_tokens([["2[a", "b]"]]).monomers == (Monomer((Site("2[a"), Site("b]"))),)


def test_a_network_made_by_hand_is_looked_up_as_well() -> None:
    monomers = (Monomer((A,), "m"),)
    for names, kind in ((("x",), NonexistentMonomer), (("m", "m"), ConstraintArgumentCount)):
        with pytest.raises(kind) as mistake:
            demands_of(Network(monomers, (Constraint(Keyword.FREE, names),)))
        assert mistake.value.values["constraint"] == 0
