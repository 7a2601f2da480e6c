"""What computes a run, as text: equal for equal things, and what a host lacks of it in words."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.drivers.computed_by import ComputedBy, hash_of, installed

NAMES = st.text("ab-1.", max_size=4)
PACKAGES = st.dictionaries(NAMES, NAMES, max_size=3)
ANY = st.builds(
    ComputedBy,
    task=NAMES,
    version=NAMES,
    sha256=NAMES,
    engines=st.lists(NAMES, max_size=2).map(tuple),
    packages=PACKAGES,
    python=NAMES,
    numerics=NAMES,
    earlier_numerics=st.lists(NAMES, max_size=2).map(tuple),
)
BEGUN = ComputedBy(task="primes", version="1.2", sha256="a" * 64, packages={"p": "3"}, python="3.12")


def but(**fields: Any) -> ComputedBy:
    return ComputedBy(**{name: getattr(BEGUN, name) for name in BEGUN.__struct_fields__} | fields)


@given(ANY)
def test_it_comes_back_from_its_text(one: ComputedBy) -> None:
    assert ComputedBy.from_text(one.to_text()) == one


@given(ANY, ANY)
def test_two_have_one_text_if_and_only_if_they_are_equal(one: ComputedBy, other: ComputedBy) -> None:
    assert (one.to_text() == other.to_text()) == (one == other)


@given(PACKAGES, st.randoms())
def test_the_order_of_packages_is_no_difference(packages: dict[str, str], random: Any) -> None:
    shuffled = [*packages.items()]
    random.shuffle(shuffled)
    assert ComputedBy(packages=packages).to_text() == ComputedBy(packages=dict(shuffled)).to_text()


def test_nothing_is_the_empty_text() -> None:
    assert ComputedBy().to_text() == ""
    assert ComputedBy(task="primes").to_text() == '{"task":"primes"}'


@given(ANY)
def test_a_host_with_the_same_may_go_on(one: ComputedBy) -> None:
    assert one.differs(one) == ""


@given(ANY, ANY)
def test_a_run_that_has_not_begun_takes_any_version(one: ComputedBy, there: ComputedBy) -> None:
    assume(not one.python)
    assert one.differs(there) == ""


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (
            but(version="1.3"),
            r"the task 'primes' in version 1\.2; this server has it in version 1\.3\. Serve the former",
        ),
        (
            but(version="", sha256="b" * 64),
            r"version 1\.2, source a{12}; this server has it in an unknown version, source b{12}\.",
        ),
        (but(version="", packages={"p": "4"}), r"p 3; this server has it in an unknown version, p 4\."),
        (
            but(version="", python="3.13"),
            r"Python 3\.12; this server has it in an unknown version, Python 3\.13\.",
        ),
        (but(version="", packages={}), r"p 3; this server has it in an unknown version, no package p\."),
    ],
)
def test_what_is_different_is_said(there: ComputedBy, words: str) -> None:
    assert re.search(words, BEGUN.differs(there)), BEGUN.differs(there)


def test_a_task_that_is_the_same_but_in_no_package_is_said_to_be() -> None:
    begun, there = but(version=""), but(version="", packages={})
    assert begun.differs(there) == (
        "It has begun with the task 'primes' in p 3; this server has it in no package p. Serve the former "
        "version, or stop the run."
    )


@given(ANY, ANY)
def test_both_sides_of_a_difference_are_named(one: ComputedBy, other: ComputedBy) -> None:
    there = replace(other, task=one.task)
    if words := one.differs(there):
        assert re.search(r"has begun with (the task '.*' in )?\S.*; this server has (it in )?[^.]", words)
        assert "begun with ;" not in words
        assert "has ." not in words


@pytest.mark.parametrize(
    "there",
    [
        but(sha256="b" * 64, packages={"p": "4"}, python="3.13"),  # of an equal version
        but(version=""),  # whose version isn't known, but all else is the same
    ],
)
def test_an_equal_version_or_an_equal_source_goes_on(there: ComputedBy) -> None:
    assert BEGUN.differs(there) == ""


@given(ANY, ANY, NAMES)
def test_who_goes_on_says_which_arithmetic_was_used_before(
    one: ComputedBy, needed: ComputedBy, here: str
) -> None:
    there = one.at(here, needed)
    assert there.numerics == here
    assert replace(there, numerics="", earlier_numerics=()) == replace(one, numerics="", earlier_numerics=())
    if needed.numerics in ("", here):
        assert there.earlier_numerics == needed.earlier_numerics
    else:
        assert set(there.earlier_numerics) == {*needed.earlier_numerics, needed.numerics}
        assert len(there.earlier_numerics) == len(set(there.earlier_numerics))


@given(ANY)
def test_where_nothing_was_recorded_before_nothing_is_said_of_it(one: ComputedBy) -> None:
    assert one.at("a", ComputedBy()) == replace(one, numerics="a", earlier_numerics=())


FILES = st.dictionaries(st.text("ab/\n1", max_size=3), st.binary(max_size=3), max_size=3)


@given(FILES, FILES)
def test_files_have_one_hash_if_and_only_if_they_are_equal(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    assert (hash_of(one) == hash_of(other)) == (one == other)


def test_the_versions_of_packages_are_those_installed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed(["msgspec", "no-such-package"]).keys() == {"msgspec"}
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    assert installed(["msgspec"]) == {"msgspec": "9.9"}
