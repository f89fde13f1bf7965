"""How long a training is."""

from __future__ import annotations

from typing import Final

from hand_pose_ros.training.fabric import world_size

SAMPLES: Final = 1_000_000  # where there are no epochs, unless told otherwise


def steps_in_all(
    steps: int | None, samples: int | None, epochs: int | None, batch_size: int, batches_per_epoch: int
) -> int:
    """Optimiser steps of the whole training: the first of `steps`, `samples`, `epochs` that is given, else `SAMPLES`.

    Args:
        batch_size: over all processes.
        batches_per_epoch: of one process's share of a batch, in one pass over all data.
    """
    if steps:
        return steps
    if epochs and not samples:
        return max(epochs * batches_per_epoch // world_size(), 1)
    return max((samples or SAMPLES) // batch_size, 1)
