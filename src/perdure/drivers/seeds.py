"""Seeds: what the random draws of a run begin with, given by its maker or drawn here."""

from typing import Final

from perdure.errors import Invalid

__all__ = ["LARGEST_SEED", "chosen_seed"]

LARGEST_SEED: Final = 2**53 - 1
"""So that every reader of JSON takes a seed as it is, and it can be sent back."""


def chosen_seed(given: int | None) -> int:
    """Return the seed that is given, or draw one; `Invalid` if it isn't from 0 to `LARGEST_SEED`."""
    if given is None:
        import secrets  # the help of commands needs the limit only

        return secrets.randbelow(LARGEST_SEED + 1)
    if not 0 <= given <= LARGEST_SEED:
        raise Invalid(f"A seed is a whole number from 0 to {LARGEST_SEED}, not {given}.")
    return given
