"""The trainings behind the shipped weights: `hand_pose train NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hand_pose_ros.networks.keypoint_fusion import KeypointFusionConfig
from hand_pose_ros.training.check_crops import CheckAugmentation, check_batch
from hand_pose_ros.training.check_module import CheckModule
from hand_pose_ros.training.finder_module import FinderModule
from hand_pose_ros.training.finder_targets import FinderAugmentation, finder_batch
from hand_pose_ros.training.hand_crops import VALIDATION, CropAugmentation, crop_batch
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule
from hand_pose_ros.training.optimisation import AveragedModule, Schedule
from hand_pose_ros.training.run import Assemble, RunSettings, train
from hand_pose_ros.training.shards import ShardStream

RECIPES = ("kpt_fusion_lite", "kpt_fusion_r18", "hand_check", "hand_finder")
BATCH_SIZES = {"hand_check": 128}
BATCH_SIZE = 32  # of the others


@dataclass(frozen=True)
class Recipe:
    """A module with the way its batches are made."""

    module: AveragedModule
    assemble: Assemble
    assemble_validation: Assemble


def batch_size(name: str) -> int:
    """Samples per optimiser step of a recipe."""
    return BATCH_SIZES.get(name, BATCH_SIZE)


def recipe(name: str, schedule: Schedule, depth_steps: int = 0) -> Recipe:
    """The recipe of this name.

    Raises:
        ValueError: there is none; the text lists those there are.
    """
    if name == "hand_finder":
        varied = FinderAugmentation()
        return Recipe(
            FinderModule(schedule),
            lambda batch, rng: finder_batch(batch, rng, varied),
            lambda batch, rng: finder_batch(batch, rng, None),
        )
    if name == "hand_check":
        turned = CheckAugmentation()
        upright = CheckAugmentation(center_std=0.008, scale=(1.0, 1.0), no_color=0.0, color_gain=0.0)
        return Recipe(
            CheckModule(schedule),
            lambda batch, rng: check_batch(batch, rng, turned),
            lambda batch, rng: check_batch(batch, rng, upright),
        )
    if name in ("kpt_fusion_lite", "kpt_fusion_r18"):
        size = "lite" if name == "kpt_fusion_lite" else "r18"
        crops = CropAugmentation()
        return Recipe(
            KeypointFusionModule(KeypointFusionConfig(size=size), schedule, depth_steps=depth_steps),  # type: ignore[arg-type]
            lambda batch, rng: crop_batch(batch, rng, crops),
            lambda batch, rng: crop_batch(batch, rng, VALIDATION),
        )
    raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")


def run_recipe(
    name: str,
    training: Sequence[Path],
    validation: Path,
    learning_rate: float,
    settings: RunSettings,
    depth_steps: int = 0,
) -> Path:
    """Train `name` on shards for `settings.steps` batches, the first `depth_steps` of them on the depth branch alone
    (pose networks). Returns the checkpoint.
    """
    chosen = recipe(name, Schedule(steps=settings.steps, learning_rate=learning_rate), depth_steps)
    return train(
        chosen.module,
        ShardStream(training, batch_size(name), settings.seed),
        ShardStream(validation, batch_size(name), settings.seed),
        chosen.assemble,
        chosen.assemble_validation,
        settings,
    )
