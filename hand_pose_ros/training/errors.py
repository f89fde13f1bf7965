"""What a user can mend about a training."""

from __future__ import annotations


class TrainingError(ValueError):
    """A training that cannot be run as asked for; the text says what was expected, what came and the remedy."""
