"""What can go wrong with a source; every text says what was expected, what came and the remedy."""

from __future__ import annotations


class SourceError(ValueError):
    """A source of frames that cannot be used."""


class DecodeError(SourceError):
    """An image whose bytes do not fit its encoding."""


class BagError(SourceError):
    """A recording that cannot be read or written."""
