"""Any Keypoint-Fusion network is trained by its options: what is built, what precision does, what a run leaves."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion.config import FusionParts, KeypointFusionConfig, Widths  # noqa: E402
from hand_pose_ros.training import checkpoints, fusion_training  # noqa: E402
from hand_pose_ros.training.crop_images import sample_crops, stored_crops  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.fabric import launch  # noqa: E402
from hand_pose_ros.training.fusion_training import FusionOptions, network_config, run_fusion, trained  # noqa: E402
from hand_pose_ros.training.hand_crops import VALIDATION, CropBatch  # noqa: E402
from hand_pose_ros.training.keypoint_fusion_module import KeypointFusionModule  # noqa: E402
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.training.plans import plan  # noqa: E402
from hand_pose_ros.training.run import RunSettings  # noqa: E402

NARROW = Widths(
    depth=(8, 8, 8, 8),
    depth_blocks=(1, 1, 1, 1),
    rgb=(8, 8, 8, 8),
    rgb_blocks=(1, 1, 1, 1),
    stem_kernel=3,
    features=8,
    tokens=8,
    layers=1,
    heads=2,
    feed_forward=8,
    refine_skips=False,
    ball_query=False,
    dropout=0.1,
)


def raw(count: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    focal = 160 * 0.6 / (1.25 * 0.25)
    joints = rng.normal((0.0, 0.0, 0.6), 0.03, (count, 21, 3)).astype(np.float32)
    return {
        "color": rng.integers(1, 255, (count, 160, 160, 3), dtype=np.uint8),
        "depth": rng.integers(5600, 6400, (count, 160, 160)).astype(np.uint16),
        "intrinsics": np.tile(np.array([focal, focal, 79.5, 79.5], np.float32), (count, 1)),
        "joints": joints,
        "center": joints.mean(axis=1),
        "negative": np.arange(count) % 4 == 1,
        "wrong_side": np.arange(count) % 8 == 1,
    }


def crops() -> CropBatch:
    return sample_crops(stored_crops(raw(), np.random.default_rng(0), VALIDATION))


def module(**options: Any) -> KeypointFusionModule:
    torch.manual_seed(0)
    return KeypointFusionModule(KeypointFusionConfig(widths=NARROW), Schedule(steps=10), **options).train()


@pytest.fixture
def shards(tmp_path: Path) -> tuple[str, Path]:
    for name in ("training", "validation"):
        folder = tmp_path / name / "crops-000000"
        folder.mkdir(parents=True)
        for array, values in raw().items():
            np.save(folder / f"{array}.npy", values)
    return str(tmp_path / "training"), tmp_path / "validation"


def test_options_say_which_network() -> None:
    config = network_config(FusionOptions(("synthetic",), size="r18", stages=3, ablate=("refinement", "projected_rgb")))
    assert (config.size, config.stages) == ("r18", 3)
    assert config.parts == FusionParts(refinement=False, projected_rgb=False)
    rebuilt = fusion_training.config_of(dataclasses.asdict(dataclasses.replace(config, widths=NARROW)))
    assert rebuilt == dataclasses.replace(config, widths=NARROW)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ablate": ("colour",)}, "--ablate: expected names among heatmap_weights"),
        ({"stages": 4}, "stages: expected 0 to 3, got 4"),
        ({"fusion": "dense", "ablate": ("refinement",)}, "parts"),
        ({"data": ("nowhere",)}, "--validation: expected a folder of shards"),
        ({"recipe": "theirs"}, "recipe: expected one of ours, paper, authors"),
        ({"data": ("synthetic",), "epochs": 3}, "--epochs: synthetic data has none"),
        ({"data": ("dexycb",), "root": None}, "--root: expected the folder of dexycb"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        run_fusion(FusionOptions(**{"data": ("synthetic",), **options}), RunSettings(tmp_path, 0, accelerator="cpu"))


@pytest.mark.parametrize(
    ("name", "source", "epochs", "falls", "scale", "spatial", "gain"),
    [
        ("paper", "dexycb", 15, 11 / 15, 1.1, 0.2, 0.0),
        ("authors", "dexycb", 15, 11 / 15, 1.2, 1.0, 0.0),
        ("paper", "ho3d", 25, 20 / 25, 1.1, 0.2, 0.2),
        ("authors", "ho3d", 24, 20 / 24, 1.2, 1.0, 0.2),
    ],
)
def test_paper_and_code_where_they_differ(
    name: str, source: Any, epochs: int, falls: float, scale: float, spatial: float, gain: float
) -> None:
    chosen = plan(name, source, 0.28)
    assert (chosen.epochs, chosen.falls, chosen.spatial_part) == (epochs, (falls,), spatial)
    assert chosen.training.scale == pytest.approx((2 - scale, scale))
    assert (chosen.training.color_gain, chosen.training.cube_size, chosen.training.turn) == (gain, 0.28, math.pi)
    assert (chosen.batch_size, chosen.learning_rate, chosen.average) == (64, 8e-4, 0.0)
    assert chosen.schedule(100).decay_all and chosen.training.one_of


def test_a_run_leaves_a_network_that_can_be_rebuilt(shards: tuple[str, Path], tmp_path: Path) -> None:
    training, validation = shards
    options = FusionOptions(
        (training,), validation, stages=1, ablate=("projected_rgb",), batch_size=4, steps=2, recipe="authors"
    )
    last = run_fusion(options, RunSettings(tmp_path / "out", 0, threads=1, accelerator="cpu"))
    network = trained(last)
    assert (network.config.stages, network.config.parts.projected_rgb) == (1, False)
    state = checkpoints.read(last)
    # Without an average the weights themselves are kept.
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, state["state_dict"][f"network.{name}"])
    with pytest.raises(checkpoints.CheckpointError, match="another network"):
        other = dataclasses.replace(options, stages=2)
        run_fusion(other, RunSettings(tmp_path / "out", 0, resume=True, accelerator="cpu"))
    with pytest.raises(TrainingError, match="validation shards of another seed"):
        same = dataclasses.replace(options, validation=Path(training))
        run_fusion(same, RunSettings(tmp_path / "same", 0, accelerator="cpu"))


def test_half_precision_is_for_convolutions_only() -> None:
    batch = crops()
    exact, mixed = module(), module()
    fabric = launch("cpu", "bf16-mixed", leaves_out=False)
    terms, near = exact(batch), fabric.setup(mixed)(batch)
    fabric.backward(near["total"])
    assert all(value.dtype == torch.float32 for value in near.values())
    assert near["total"].item() == pytest.approx(terms["total"].item(), rel=0.02)
    assert near["total"].item() != terms["total"].item()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in mixed.network.parameters())
    assert list(mixed.state_dict()) == list(exact.state_dict())
    # What is measured is the network as it will run.
    assert mixed.evaluate(batch) == exact.evaluate(batch)


def test_muon_is_for_the_depth_branchs_convolutions() -> None:
    """All of them but those that read as few channels as a picture has; the rest is AdamW's."""
    made = module(muon=True)
    groups = made.optimizer().param_groups
    by_muon = [group for group in groups if group.get("momentum")]
    network: Any = made.network
    branch = network.depth_branch
    convolutions = [
        m for part in (branch.encoder, branch.decoder) for m in part.modules() if type(m) is torch.nn.Conv2d
    ]
    assert {id(p) for group in by_muon for p in group["params"]} == {
        id(m.weight) for m in convolutions if m.in_channels > 5
    }
    assert convolutions[0].in_channels == 1 and convolutions[1].in_channels == 8
    everything = [id(p) for group in groups for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in network.parameters())
    assert isinstance(module().optimizer(), torch.optim.AdamW)


def test_weights_of_terms_follow_the_step() -> None:
    batch = crops()
    made = module(depth_steps=2, spatial_steps=4)
    names = []
    for step in (0, 2, 4):
        made.global_step = step
        terms = made(batch)
        names.append({name for name, value in terms.items() if value.item() > 0})
    assert names[0] == {"pixel_depth", "joints_depth", "total"}
    assert {"spatial_1", "final_2", "presence"} <= names[1]
    assert names[1] - names[2] == {"spatial_1", "spatial_2"}
