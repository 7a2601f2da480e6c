"""The limits of what is kept."""

import msgspec

__all__ = ["ArtifactLimits"]


class ArtifactLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much an owner may keep.

    Attributes
    ----------
    experiments
        Most experiments of one owner.
    files, bytes
        Most files in one experiment, and most bytes that they have together.
    """

    experiments: int = 1_000
    files: int = 10_000
    bytes: int = 1_000_000_000
