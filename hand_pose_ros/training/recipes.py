"""The trainings behind the shipped weights: `hand_pose train NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hand_pose_ros.networks.keypoint_fusion import KeypointFusionConfig
from hand_pose_ros.training import shards
from hand_pose_ros.training.check_crops import CheckAugmentation, check_batch
from hand_pose_ros.training.check_module import CheckModule
from hand_pose_ros.training.crop_images import sample_crops, stored_crops
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.training.fabric import share_of
from hand_pose_ros.training.finder_augmentation import FinderAugmentation
from hand_pose_ros.training.finder_module import FinderModule
from hand_pose_ros.training.finder_targets import finder_batch
from hand_pose_ros.training.hand_crops import VALIDATION, CropAugmentation
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule
from hand_pose_ros.training.optimisation import AveragedModule, Schedule
from hand_pose_ros.training.run import Assemble, Data, RunSettings, train
from hand_pose_ros.training.shards import ShardStream

RECIPES = ("kpt_fusion_lite", "kpt_fusion_r18", "hand_check", "hand_finder")
BATCH_SIZES = {"hand_check": 128}
BATCH_SIZE = 32  # of the others


@dataclass(frozen=True)
class Recipe:
    """A module with the way its batches are made (see `run.Data`)."""

    module: AveragedModule
    assemble: Assemble
    assemble_validation: Assemble
    finish: Callable[[Any], Any] = lambda item: item


def batch_size(name: str) -> int:
    """Samples per optimiser step of a recipe."""
    return BATCH_SIZES.get(name, BATCH_SIZE)


def recipe(name: str, schedule: Schedule, depth_steps: int = 0, muon: bool = False) -> Recipe:
    """The recipe of this name.

    Raises:
        TrainingError: there is none; the text lists those there are.
    """
    if name == "hand_finder":
        return Recipe(
            FinderModule(schedule),
            partial(finder_batch, augmentation=FinderAugmentation()),
            partial(finder_batch, augmentation=None),
        )
    if name == "hand_check":
        upright = CheckAugmentation(center_std=0.008, scale=(1.0, 1.0), no_color=0.0, color_gain=0.0)
        return Recipe(
            CheckModule(schedule),
            partial(check_batch, augmentation=CheckAugmentation()),
            partial(check_batch, augmentation=upright),
        )
    if name in ("kpt_fusion_lite", "kpt_fusion_r18"):
        config = KeypointFusionConfig(size="lite" if name == "kpt_fusion_lite" else "r18")
        module = KeypointFusionModule(config, schedule, depth_steps=depth_steps, muon=muon)
        return fusion_recipe(module, CropAugmentation(), VALIDATION)
    raise TrainingError(f"expected a recipe among {', '.join(RECIPES)}, got {name!r}")


def fusion_recipe(module: KeypointFusionModule, training: CropAugmentation, validation: CropAugmentation) -> Recipe:
    """Keypoint-Fusion on crops varied so."""
    return Recipe(
        module,
        partial(stored_crops, augmentation=training),
        partial(stored_crops, augmentation=validation),
        sample_crops,
    )


def run_recipe(
    name: str,
    training: Sequence[Path],
    validation: Path,
    learning_rate: float,
    settings: RunSettings,
    depth_steps: int = 0,
    muon: bool = False,
) -> Path:
    """Train `name` on shards for `settings.steps` batches, the first `depth_steps` of them on the depth branch alone,
    with `muon` by Muon (pose networks). Returns the checkpoint.

    Raises:
        TrainingError: no shards, another network's checkpoint, or no such accelerator.
    """
    chosen = recipe(name, Schedule(steps=settings.steps, learning_rate=learning_rate), depth_steps, muon)
    shards.refuse_same(training, validation)
    size = share_of(batch_size(name))
    check = ShardStream(validation, size, settings.seed)
    data = Data(
        ShardStream(training, size, settings.seed),
        check,
        check.batches_per_epoch,
        chosen.assemble,
        chosen.assemble_validation,
        chosen.finish,
    )
    return train(chosen.module, data, settings)
