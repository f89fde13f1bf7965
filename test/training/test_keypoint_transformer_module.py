"""Training of Keypoint Transformer: what is learnt when, both recipes, killed and resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_scene_shards import toy_scenes, write_toy_scenes  # noqa: E402

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformerConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.config import PRESETS  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.decode import decode  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_figures import metric_joints  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_module import Course, KeypointTransformerModule  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_targets import scene_targets  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_training import (  # noqa: E402
    TransformerOptions,
    network_config,
    run_transformer,
    trained,
)
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.training.run import RunSettings  # noqa: E402
from hand_pose_ros.training.scene_crops import VALIDATION, SceneBatch, scene_crops  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402

# Sixteen channels at least: with fewer, torch 2.13's channels-last convolutions crash on some CPUs.
TINY = dataclasses.replace(
    PRESETS["lite", "small"],
    stem=16,
    backbone=(16, 16, 16, 16),
    blocks=(1, 1, 1, 1),
    ups=(16, 16, 16, 16),
    skips=(16, 16, 16, 16),
    outs=(16, 16, 16, 16),
    map_head=(16,),
    token_hidden=(32,),
    object_hidden=(32,),
    position=16,
    channels=48,
    feed_forward=32,
    hidden=32,
)
CROP = 96
CONFIG = network_config(objects=True, self_layers=1, widths=TINY, crop=CROP)


def _batch(*chosen: int) -> SceneBatch:
    """A right hand, a left one, both, both with a box; or some of these."""
    scenes = toy_scenes(4)
    picked = {name: array[list(chosen or range(4))] for name, array in scenes.items()}
    return scene_crops(picked, np.random.default_rng(0), VALIDATION, CROP)


def _module(config: KeypointTransformerConfig = CONFIG, **given: Any) -> KeypointTransformerModule:
    torch.manual_seed(0)
    return KeypointTransformerModule(config, Schedule(steps=100, learning_rate=3e-3, warmup=1), **given)


def _learning(module: KeypointTransformerModule, step: int) -> set[str]:
    """Parts with a gradient at this step."""
    module.global_step = step
    module.zero_grad()
    module.loss(_batch(0, 3))["total"].backward()
    named = module.network.named_parameters()
    return {name.partition(".")[0] for name, parameter in named if parameter.grad is not None}


def test_the_detector_learns_first_then_all() -> None:
    module = _module(course=Course(detector=2, truth_keypoints=2))
    assert _learning(module, 1) == {"backbone", "decoder"}
    assert {"backbone", "decoder", "hand_token", "self_attention", "queries", "heads"} <= _learning(module, 2)
    assert set(module.loss(_batch(0, 3))) > {"joint_vectors", "identity", "object_corners", "hand_translation", "total"}
    module.global_step = 0
    assert set(module.loss(_batch(0, 3))) == {"heat_map", "segmentation", "total"}
    assert module.leaves_out and not _module().leaves_out


def test_true_keypoints_and_then_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = _module(course=Course(truth_keypoints=1))
    seen = []
    understand = module.transformer.understand
    monkeypatch.setattr(
        module.transformer, "understand", lambda features, points: seen.append(points) or understand(features, points)
    )
    for step in (0, 1):
        module.global_step = step
        module.loss(_batch(0))
    places = scene_targets(_batch(0), CONFIG).places
    # The first valid joints of a right hand are its first keypoints; an untrained map has no peak there.
    inside = ((places[0, 0] >= 0) & (places[0, 0] <= CROP / 2 - 1)).all(dim=1)
    count = int(inside.sum())
    assert count > 15 and torch.allclose(seen[0].xy[0, :count], places[0, 0][inside])
    assert seen[0].valid[0].sum() == count
    assert not seen[1].valid.any() or not torch.allclose(seen[1].xy[0, :count], places[0, 0][inside])


@pytest.mark.parametrize("representation", ["3d", "2p5d", "angles"])
def test_a_batch_is_learnt(representation: Any) -> None:
    """Eight steps lower every representation's loss, and all figures are told."""
    config = dataclasses.replace(CONFIG, representation=representation)
    module = _module(config, course=Course(truth_keypoints=100), decay=0.0)
    optimizer, batch, totals = module.optimizer(), _batch(0, 3), []
    for _ in range(8):
        total = module(batch)["total"]
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        module.average.update(module.network, 100)
        totals.append(total.item())
    assert totals[-1] < 0.85 * totals[0]
    figures = module.evaluate(batch)
    assert {"mpjpe_mm", "single_mm", "interacting_mm", "mrrpe_mm", "presence", "identity", "object_mm"} <= set(figures)
    assert figures["single_mm"][1] == 21 and figures["interacting_mm"][1] == 42 and figures["mrrpe_mm"][1] == 1
    assert all(np.isfinite(value) for value, _ in figures.values())


PLACED = network_config(
    objects=True,
    self_layers=1,
    crop=CROP,
    depth=True,
    placed=True,
    widths=dataclasses.replace(TINY, residual=True, transposed=False, deepest=None),
)


def test_maps_by_place_are_taught_beside() -> None:
    module = _module(PLACED, course=Course(frozen=1), joint_maps=1.0)
    assert module.beside is None and module.leaves_out
    trunk = {"backbone", "maps"}
    frozen, free = _learning(module, 0), _learning(module, 1)
    assert not trunk & frozen and {"decoder", "placed", "heads", "queries"} <= frozen
    assert trunk <= free
    batch = _batch(0, 3)
    terms = module.loss(batch._replace(relief=torch.zeros(2, 2, CROP, CROP)))
    assert {"maps", "expected", "facing", "map_depths", "palms", "side", "pair", "identity"} < set(terms)
    assert torch.allclose(sum(value for name, value in terms.items() if name != "total"), terms["total"])
    figures = module.evaluate(batch)
    assert {"maps_px", "side", "pair", "found", "joint_keypoints"} <= set(figures)
    assert all(np.isfinite(value) for value, _ in figures.values())


def test_a_placed_networks_keypoints_are_taught_for_its_small_maps() -> None:
    targets = scene_targets(_batch(), PLACED)
    assert (targets.heat_spread, targets.joint_radius) == (0.8, 6.0)
    # Beyond the peaks' radius a joint's Gaussian is below their threshold: its flank is no peak.
    edge = 255 * np.exp(-((PLACED.peaks.radius + 1) ** 2) / (2 * targets.heat_spread**2))
    assert edge < PLACED.peaks.hand_threshold
    assert network_config(crop=CROP, placed=True, joint_radius=3.0).joint_radius == 3.0


def test_a_left_hand_alone_is_where_the_camera_says() -> None:
    """Its wrist takes the right one's place: translation zero, and the weak-perspective camera has it to stand on."""
    batch = _batch()
    targets = scene_targets(batch, CONFIG)
    alone = batch.present.tolist().index([False, True])
    assert targets.translation_valid[alone] == 1 and (targets.hand_translation[alone] == 0).all()
    wrist = batch.joints[alone, 1, 0]
    assert torch.allclose(targets.object_translation[alone], batch.object_translation[alone] - wrist)
    right = batch.present.tolist().index([True, False])
    assert targets.translation_valid[right] == 0


def test_metric_joints_of_image_places_and_depths() -> None:
    """2.5D with the true wrist depths gives the true joints."""
    batch = _batch()
    module = _module(dataclasses.replace(CONFIG, representation="2p5d"))
    with torch.no_grad():
        result = decode(module.network(batch.rgb))
    depth = batch.joints[..., 2] - batch.joints[:, :, :1, 2]
    joints = metric_joints(result._replace(uv=batch.uv, depth=depth), batch)
    truth = batch.joints - batch.joints[:, :, :1]
    assert torch.allclose(joints[batch.valid], truth[batch.valid], atol=1e-5)


def test_encoder_and_decoder_have_their_own_rate() -> None:
    module = _module(image_rate=0.1)
    groups = module.optimizer().param_groups
    slow = {id(p) for group in groups if group["rate"] == 0.1 for p in group["params"]}
    network = module.transformer
    images = {id(p) for part in (network.backbone, network.decoder) for p in part.parameters()}
    assert slow == images
    assert sum(len(group["params"]) for group in groups) == len(list(module.network.parameters()))


def _options(tmp_path: Path, **given: Any) -> TransformerOptions:
    for name, seed in (("train", 0), ("val", 1)):
        if not (tmp_path / name).exists():
            write_toy_scenes(tmp_path / name, 4, seed)
    common: dict[str, Any] = {"config": CONFIG, "batch_size": 2, "steps": 3}
    data = SceneData((str(tmp_path / "train"),), tmp_path / "val")
    return TransformerOptions(data, **{**common, **given})


@pytest.mark.parametrize("recipe", ["ours", "interhand", "objects"])
def test_recipes_run_and_can_be_read_back(tmp_path: Path, recipe: str) -> None:
    options = _options(tmp_path, recipe=recipe, detector_steps=1, truth_steps=1)
    settings = RunSettings(tmp_path / "run", steps=0, accelerator="cpu", precision="bf16-mixed")
    path = run_transformer(options, settings)
    network = trained(path)
    assert network.config == CONFIG
    rows = (tmp_path / "run" / "log.csv").read_text()
    assert "val/mpjpe_mm" in rows and "val/object_mm" in rows
    # The first group's (encoder and decoder) at the last step: warming up at 1.5 of the rate, or a tenth as published.
    assert f"rate,{4.5e-5 if recipe == 'ours' else 1e-5:.7g}" in rows


def test_a_placed_recipe_runs_and_can_be_read_back(tmp_path: Path) -> None:
    options = _options(tmp_path, config=PLACED)
    path = run_transformer(options, RunSettings(tmp_path / "run", steps=0, accelerator="cpu", precision="bf16-mixed"))
    assert trained(path).config == PLACED
    assert "val/maps_px" in (tmp_path / "run" / "log.csv").read_text()


def test_stopped_and_resumed_is_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = run_transformer(_options(tmp_path), RunSettings(tmp_path / "whole", steps=0, accelerator="cpu"))
    stopped = RunSettings(tmp_path / "parts", steps=0, accelerator="cpu", minutes=1e-9, validate_every=1)
    torch.manual_seed(0)
    for _ in range(3):
        parts = run_transformer(_options(tmp_path), dataclasses.replace(stopped, resume=True))
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("fields", "text"),
    [({}, "without its network"), ({"size": "xl"}, "size and decoder"), ({"nonsense": 1}, "nonsense")],
)
def test_networks_that_are_none(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(TrainingError, match=text):
        network_config(**fields)


def test_keypoints_of_a_smaller_crop_lie_as_close_in_parts_of_it() -> None:
    assert [network_config(crop=crop).peaks.radius for crop in (96, 160, 256)] == [2, 3, 5]
    with pytest.raises(TrainingError, match="multiple of 32"):
        network_config(crop=100)


def test_unknown_recipe(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="ours, interhand, objects"):
        run_transformer(_options(tmp_path, recipe="paper"), RunSettings(tmp_path / "run", steps=0))
