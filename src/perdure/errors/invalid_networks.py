"""Errors of binding networks and of the constraints on them."""

import inspect
from typing import Any

from perdure.errors.invalid import Invalid


class NetworkError(Invalid):
    """The binding network is wrong.

    The messages of StableConfigs are its own, letter by letter, and quote the line as it was written, spaces
    and all. Of an error in a line, `values` has the line as `line`, the `part` it is in (monomers or
    constraints), its number there as `line_number`, and the `column` of what is wrong, both from 1.
    """

    def __init__(self, message: str | None = None, /, **values: Any) -> None:
        if message is None:
            template, _, _ = inspect.cleandoc(type(self).__doc__ or "").partition("\n\n")
            message = " ".join(template.split()).format_map(values)
        super().__init__(message, **values)


class EmptyProblem(NetworkError):
    """Input contains no monomers."""


class EmptyMonomerName(NetworkError):
    """Empty Monomer name. '{line}'. Note that any whitespace after the monomer name keyword is ignored."""


class InvalidBindingSiteName(NetworkError):
    """Invalid BindingSite name. '{line}'"""


class DuplicateBindingSiteName(NetworkError):
    """Duplicate BindingSite name. '{line}'"""


class DuplicateMonomerName(NetworkError):
    """Duplicate Monomer name. '{line}'"""


class InvalidCount(NetworkError):
    """The count can't be read: {reason}. '{line}'"""


class NetworkTooLarge(NetworkError):
    """The network has more than {limit} sites, copies counted; lower its counts."""


class InvalidConstraint(NetworkError):
    """Invalid Constraint '{keyword}'. '{line}'"""


class ConstraintArgumentCount(NetworkError):
    """Constraint '{keyword}' takes {expected} arguments, got {actual}. '{line}'"""


class NonexistentBindingSite(NetworkError):
    """BindingSite '{name}' does not exist. '{line}'"""


class NonexistentMonomer(NetworkError):
    """Monomer '{name}' does not exist. '{line}'"""


class AmbiguousMonomer(NetworkError):
    """Monomer '{name}' is one of {count} copies of that name; write the one that is meant on its own line,
    with its own name. '{line}'"""


class TogetherImpossible(NetworkError):
    """Monomer [{first}] and Monomer [{second}] cannot be together in any valid configuration."""


class NotFreeImpossible(NetworkError):
    """Monomer [{name}] cannot be together with any other Monomer in any valid configuration."""


class PairedImpossible(NetworkError):
    """Binding Site [{first}] and Binding Site [{second}] are not complementary."""


class AnyPairedImpossible(NetworkError):
    """Binding Site [{name}] does not have any complementary binding sites in the system."""


class MinPolymersExceedEntropy(NetworkError):
    """Minimum Polymers [{min_polymers}] exceeds the max entropy of TBN system. No Results can be computed.
    Choose a lower value."""


class EarlyTermination(NetworkError):
    """Early Termination at count [{count}] min polymers [{min_polymers}]."""


class NotWritable(NetworkError):
    """The {what} {name!r} can't be written in the syntax of {syntax}: {reason}."""
