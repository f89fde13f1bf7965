"""Keypoint-Fusion's losses against the published values, and what the masks hide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusionOutput, awr  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry, pixel_grid, xyz_to_uvd  # noqa: E402
from hand_pose_ros.training.losses import (  # noqa: E402
    KeypointFusionLossConfig,
    KeypointFusionTargets,
    heat_maps,
    keypoint_fusion_loss,
    smooth_l1,
)

torch.set_num_threads(1)
Tensors = dict[str, Any]


def _load(path: Path) -> Tensors:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> tuple[Tensors, Tensors, dict[str, float]]:
    """Inputs with truth, arrays of the losses, and the published loss values."""
    folder = shared_dir / "golden" / "keypoint_fusion"
    values = json.loads((folder / "losses_r18_rule.json").read_text())
    return _load(folder / "inputs_train_batch2.npz"), _load(folder / "losses_metrics_arrays.npz"), values


@pytest.mark.parametrize(("error", "expected"), [(0.0, 0.0), (0.005, 1.25e-5), (0.01, 5e-5), (-0.11, 1.05e-3)])
def test_smooth_l1_table(error: float, expected: float) -> None:
    assert smooth_l1(torch.full((1, 3), error), torch.zeros(1, 3)) == pytest.approx(expected, rel=1e-5)


def test_targets_match_published(golden: tuple[Tensors, Tensors, dict[str, float]]) -> None:
    inputs, arrays, _ = golden
    depth_small = inputs["img_depth"][:, :, ::4, ::4]  # the published nearest down-sampling
    target = awr.target(inputs["uvd_gt"], depth_small, pixel_grid(32))
    assert torch.allclose(target, arrays["pixel_gt_4J"], atol=1e-5)
    for stage, sigma in enumerate((3.0, 2.0)):
        assert torch.allclose(heat_maps(inputs["uvd_gt"], sigma), arrays[f"spatial_gt_{stage}"], atol=1e-5)


def test_truth_in_uvd_matches_published(golden: tuple[Tensors, Tensors, dict[str, float]]) -> None:
    inputs, _, _ = golden
    geometry = CropGeometry(inputs["center"], inputs["M"], inputs["cube"], inputs["cam_para"])
    assert torch.allclose(xyz_to_uvd(inputs["xyz_gt"], geometry, pixel_centre=0.0), inputs["uvd_gt"], atol=1e-5)


def test_terms_match_published(golden: tuple[Tensors, Tensors, dict[str, float]]) -> None:
    inputs, arrays, values = golden
    for index in range(6):
        uvd = index < 2
        prediction = arrays[f"joint_uvd_{index}"] if uvd else arrays[f"pred_xyz_nl_{index}"]
        loss = 100 * smooth_l1(prediction, inputs["uvd_gt" if uvd else "xyz_gt"])
        assert loss == pytest.approx(values[f"loss_coord_{index}"], rel=1e-5)
    for stage, sigma in enumerate((3.0, 2.0)):
        loss = 10 * smooth_l1(arrays[f"spatial_pred_{stage}"], heat_maps(inputs["uvd_gt"], sigma))
        assert loss == pytest.approx(values[f"loss_spatial_{stage}"], rel=1e-5)


def _example(batch: int) -> tuple[KeypointFusionOutput, KeypointFusionTargets, CropGeometry]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Any:
        return (0.3 * torch.randn(*shape, generator=generator)).requires_grad_()

    depth = torch.ones(batch, 1, 32, 32)
    depth[:, :, 8:24, 8:24] = 0.1
    output = KeypointFusionOutput(
        joints=random(batch, 21, 3),
        initial_uvd=random(batch, 21, 3),
        depth_map=random(batch, 105, 32, 32),
        rgb_map=random(batch, 105, 32, 32),
        depth_small=depth,
        refined=(random(batch, 21, 3), random(batch, 21, 3)),
        final=(random(batch, 21, 3), random(batch, 21, 3)),
        spatial_weights=(random(batch, 21, 32, 32), random(batch, 21, 32, 32)),
        spread=torch.zeros(batch, 21),
        presence_logit=random(batch),
        side_logit=random(batch),
        has_rgb=torch.ones(batch),
    )
    ones = torch.ones(batch)
    targets = KeypointFusionTargets(random(batch, 21, 3).detach(), ones, ones, ones)
    scale = 128 / 250
    matrix = torch.tensor([[scale, 0, 63.5 - scale * 320], [0, scale, 63.5 - scale * 240], [0, 0, 1]])
    geometry = CropGeometry(
        torch.tensor([[0.0, 0.0, 0.6]]).repeat(batch, 1),
        matrix.repeat(batch, 1, 1),
        torch.full((batch, 3), 0.25),
        torch.tensor([[600.0, 600.0, 320.0, 240.0]]).repeat(batch, 1),
    )
    return output, targets, geometry


def test_negatives_teach_presence_only() -> None:
    output, targets, geometry = _example(2)
    negative = torch.tensor([1.0, 0.0])
    targets = targets._replace(has_joints=negative, presence=negative)
    keypoint_fusion_loss(output, targets, geometry)["total"].backward()
    pose = (output.depth_map, output.rgb_map, output.initial_uvd, *output.refined, *output.final)
    for value in (*pose, *output.spatial_weights, output.side_logit):
        assert value.grad[0].abs().sum() > 0
        assert value.grad[1].abs().sum() == 0
    assert (output.presence_logit.grad != 0).all()


def test_a_hand_of_the_other_side_is_a_hand() -> None:
    """However the data mark it: a wrong side teaches presence and side, but no joints."""
    results = []
    for presence in (0.0, 1.0):
        output, targets, geometry = _example(2)
        one_wrong = torch.tensor([1.0, 0.0])
        targets = targets._replace(has_joints=one_wrong, presence=torch.tensor([1.0, presence]), side=one_wrong)
        keypoint_fusion_loss(output, targets, geometry)["total"].backward()
        assert output.final[1].grad[1].abs().sum() == 0
        assert output.presence_logit.grad[1] < 0  # towards a hand
        assert output.side_logit.grad[1] > 0  # of the other side
        results.append(output.side_logit.grad.clone())
    assert torch.equal(*results)


def test_missing_modalities_do_not_teach_their_branch() -> None:
    output, targets, geometry = _example(3)
    depth_small = output.depth_small.clone()
    depth_small[2] = 1.0
    output = output._replace(has_rgb=torch.tensor([1.0, 0.0, 1.0]), depth_small=depth_small)
    keypoint_fusion_loss(output, targets, geometry)["total"].backward()
    assert output.rgb_map.grad[1].abs().sum() == 0
    assert output.depth_map.grad[1].abs().sum() > 0
    assert output.depth_map.grad[2].abs().sum() == 0
    assert output.final[1].grad[2].abs().sum() > 0


def test_a_batch_without_hands_is_finite() -> None:
    output, targets, geometry = _example(2)
    none = torch.zeros(2)
    terms = keypoint_fusion_loss(output, targets._replace(has_joints=none, presence=none), geometry)
    assert all(torch.isfinite(value) for value in terms.values())
    assert terms["total"].item() == pytest.approx(terms["presence"].item(), rel=1e-6)


def test_published_terms_only_for_the_authors() -> None:
    output, targets, geometry = _example(1)
    terms = keypoint_fusion_loss(output, targets, geometry, KeypointFusionLossConfig(variant="authors"))
    assert set(terms) == {
        *("pixel_depth", "pixel_rgb", "joints_depth", "joints_rgb"),
        *("refined_1", "final_1", "refined_2", "final_2", "spatial_1", "spatial_2", "total"),
    }
