"""Optimiser, schedule and augmentation of Keypoint-Fusion: ours, the paper's, and what the authors' code does.

Paper and code differ (fact sheet, sections 11, 12 and 15): the range of the scale augmentation (0.1 or 0.2), the
epochs on HO-3D (25 or 24), and for how long the heat-map weights are supervised (the first epochs, or all). Where the
paper is silent (optimiser, schedule, ranges) the code's values stand in both.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final, Literal

from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.hand_crops import VALIDATION, CropAugmentation
from hand_pose_ros.training.losses import KeypointFusionLossConfig
from hand_pose_ros.training.optimisation import Schedule

Source = Literal["synthetic", "dexycb", "ho3d"]
PLANS: Final = ("ours", "paper", "authors")


@dataclass(frozen=True)
class Plan:
    """How a training goes.

    Attributes:
        batch_size: samples per optimiser step, over all processes.
        learning_rate: the schedule's peak.
        falls: fractions of the training from which the rate is a tenth; empty: warm-up, constant, linear fall.
        decay_all: weight decay on norms and biases too.
        average: decay of the averaged weights; 0: the weights themselves.
        epochs: passes over a data set; synthetic data has none.
        spatial_part: fraction of the training in which the heat-map weight maps are supervised.
        losses, training, validation: weights of the losses, and how crops are varied.
    """

    batch_size: int
    learning_rate: float
    falls: tuple[float, ...]
    decay_all: bool
    average: float
    epochs: int
    spatial_part: float
    losses: KeypointFusionLossConfig
    training: CropAugmentation
    validation: CropAugmentation

    def schedule(self, steps: int, learning_rate: float | None = None) -> Schedule:
        """The schedule of a training of so many steps; `learning_rate` overrides the plan's."""
        rate = self.learning_rate if learning_rate is None else learning_rate
        return Schedule(steps, rate, falls=self.falls, decay_all=self.decay_all)


_PLAIN: Final = dataclasses.replace(VALIDATION, center_std=0.0)


def plan(name: str, source: Source, cube: float = 0.25) -> Plan:
    """The plan of this name for a source of data; `cube` (m) is the edge of the crop's cube.

    Raises:
        TrainingError: there is none of this name.
    """
    if name not in PLANS:
        raise TrainingError(f"recipe: expected one of {', '.join(PLANS)}, got {name!r}")
    if name == "ours":
        return Plan(
            batch_size=32,
            learning_rate=8e-4,
            falls=(),
            decay_all=False,
            average=0.999,
            epochs=15,
            spatial_part=1.0,
            losses=KeypointFusionLossConfig(),
            training=CropAugmentation(cube_size=cube),
            validation=dataclasses.replace(VALIDATION, cube_size=cube),
        )
    ho3d, paper = source == "ho3d", name == "paper"
    epochs = (25 if paper else 24) if ho3d else 15
    spread = 0.1 if paper else 0.2
    varied = dataclasses.replace(
        _PLAIN,
        cube_size=cube,
        one_of=True,
        turn=math.pi,
        center_range=0.01,
        scale=(1 - spread, 1 + spread),
        color_gain=0.2 if ho3d else 0.0,  # the code varies colours on HO-3D only
    )
    return Plan(
        batch_size=64,
        learning_rate=8e-4,
        # Stepped at the end of epochs numbered from 0: ten epochs and one more (19 and one more on HO-3D).
        falls=((20 if ho3d else 11) / epochs,),
        decay_all=True,
        average=0.0,
        epochs=epochs,
        # "The first few epochs" says the paper, with no number: the first fifth.
        spatial_part=0.2 if paper else 1.0,
        losses=KeypointFusionLossConfig(presence=0.0, side=0.0),
        training=varied,
        validation=dataclasses.replace(_PLAIN, cube_size=cube),
    )
