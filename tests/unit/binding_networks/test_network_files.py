"""What is written in either syntax is read back as the same network."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.networks import networks

from perdure.errors import NotWritable
from perdure.solvers.binding_networks.formats import load_network, write_constraints, write_monomers
from perdure.solvers.binding_networks.grammar import Syntax, parse_network
from perdure.solvers.binding_networks.network import Monomer, Network, Site


@given(networks(), st.sampled_from(Syntax))
def test_what_is_written_is_read_back(network: Network, syntax: Syntax) -> None:
    written = write_monomers(network, syntax), write_constraints(network)
    assert load_network(*written, syntax=syntax) == network


@given(networks(copies=True))
def test_copies_are_written_as_counts_and_read_back(network: Network) -> None:
    written = write_monomers(network, Syntax.STABLE_TBN)
    assert load_network(written, write_constraints(network), syntax=Syntax.STABLE_TBN) == network


# Names with everything that a syntax might take for something else.
odd_names = st.text(st.sampled_from("ab*:#>[]()  \t23\x85\x1c"), max_size=4)


@given(odd_names, odd_names, odd_names, st.sampled_from(Syntax))
def test_whatever_a_name_holds_is_written_right_or_refused(
    domain: str, site: str, monomer: str, syntax: Syntax
) -> None:
    network = Network((Monomer((Site(domain, True, site), Site(domain)), monomer),))
    try:
        written = write_monomers(network, syntax)
    except NotWritable:
        return
    assert load_network(written, syntax=syntax) == network


def test_runs_of_copies_are_counted() -> None:
    network = parse_network(["2[a 3(b*) >m]", "c", "[a 3(b*) >m]"])
    assert write_monomers(network, Syntax.STABLE_TBN) == "2[a 3(b*) >m]\nc\na 3(b*) >m\n"


@pytest.mark.parametrize(
    ("monomer", "syntax", "words"),
    [
        (Monomer((Site("a b"),)), Syntax.STABLECONFIGS, "domain 'a b'"),
        (Monomer((Site(""),)), Syntax.STABLECONFIGS, "it is empty"),
        (Monomer((Site("1[0]"),)), Syntax.STABLE_TBN, r"'\['"),
        (Monomer((Site("a", name="s#"),)), Syntax.STABLECONFIGS, "site name 's#'"),
        (Monomer((Site("a"),), "m n"), Syntax.STABLECONFIGS, "monomer name 'm n'"),
        (Monomer(()), Syntax.STABLECONFIGS, "no sites"),
    ],
)
def test_what_a_syntax_has_no_way_to_write_is_refused(monomer: Monomer, syntax: Syntax, words: str) -> None:
    with pytest.raises(NotWritable, match=words):
        write_monomers(Network((monomer,)), syntax)


def test_a_shared_name_is_for_stable_tbn_only() -> None:
    for lines in (["2[a >m]"], ["[a >m]", "b", "a >m"]):
        network = parse_network(lines, syntax=Syntax.STABLE_TBN)
        with pytest.raises(NotWritable, match="several monomers have it"):
            write_monomers(network)


def test_files_are_read_whatever_their_line_ends(tmp_path: Path) -> None:
    path, constraints = tmp_path / "net.txt", tmp_path / "constraints.txt"
    path.write_bytes(b"\xef\xbb\xbfa b >m\r\na* b*\r\n\r\n")
    constraints.write_bytes(b"FREE m\r# and no more")
    network = parse_network(["a b >m", "a* b*"], ["FREE m"])
    assert load_network(path, constraints) == network
    assert load_network("a b >m\ra* b*", "FREE m\n") == network
