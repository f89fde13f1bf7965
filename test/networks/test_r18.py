"""The repaired network at the paper's size, and the slips it repairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import (  # noqa: E402
    CropGeometry,
    invert_3x3,
    pixel_grid,
    uvd_to_xyz,
    xyz_to_uvd,
)
from hand_pose_ros.networks.keypoint_fusion.desa import ball_query  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.points import offsets, squared_distances  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.stage import FusionStage, StageInput, render_heatmap  # noqa: E402

MakeInputs = Callable[[int, int], dict[str, Any]]


def test_r18_trains_every_parameter(make_inputs: MakeInputs) -> None:
    torch.manual_seed(0)
    network = KeypointFusion(KeypointFusionConfig(size="r18")).train()
    output = network(**make_inputs(2, 0))
    supervised = (output.depth_map, output.rgb_map, output.initial_uvd, *output.refined, *output.final)
    loss = sum(value.square().sum() for value in (*supervised, *output.spatial_weights))
    (loss + output.presence_logit.square().sum() + output.side_logit.square().sum()).backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()]
    # A bias before a batch norm goes with the mean (the published module has them); elsewhere rounding hides it.
    assert [name for name in dead if ".desa.position." not in name or not name.endswith(".bias")] == []
    assert all(p.grad is not None for p in network.parameters())
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("pixel_centre", [0.0, 0.5])
@pytest.mark.parametrize("rotated", [False, True])
def test_coordinates_invert(make_inputs: MakeInputs, pixel_centre: float, rotated: bool) -> None:
    inputs = make_inputs(3, 1)
    matrix = inputs["crop_matrix"]
    if rotated:
        turn = torch.tensor([[0.8, -0.6, 38.1], [0.6, 0.8, -25.4], [1e-4, 2e-4, 1]])
        matrix = turn @ matrix
    geometry = CropGeometry(inputs["center"], matrix, inputs["cube"], inputs["intrinsics"])
    uvd = torch.rand(3, 21, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    back = xyz_to_uvd(uvd_to_xyz(uvd, geometry, pixel_centre), geometry, pixel_centre)
    assert torch.allclose(uvd, back, atol=2e-5)
    assert torch.allclose(invert_3x3(matrix) @ matrix, torch.eye(3).expand(3, 3, 3), atol=1e-4)


def test_centre_of_the_cube_is_the_centre_of_the_crop(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(2, 2)
    geometry = CropGeometry(inputs["center"], inputs["crop_matrix"], inputs["cube"], inputs["intrinsics"])
    assert xyz_to_uvd(torch.zeros(2, 1, 3), geometry).abs().max() < 1e-4


def _stage_input(inputs: dict[str, Any], valid: Any) -> StageInput:
    """A flat surface at the cube's centre depth, seen where `valid` (B, 1, P) is 1; made-up features."""
    generator = torch.Generator().manual_seed(5)
    geometry = CropGeometry(inputs["center"], inputs["crop_matrix"], inputs["cube"], inputs["intrinsics"])
    batch, pixels = valid.shape[0], valid.shape[2]
    uvd = torch.cat((pixel_grid(32).expand(batch, -1, 2), torch.zeros(batch, pixels, 1)), dim=2)
    channels = KeypointFusionConfig().network_widths.features
    features = torch.randn(2, batch, channels, pixels, generator=generator)
    weights = valid.expand(-1, 21, -1) / valid.sum(dim=2, keepdim=True)
    rotation = torch.eye(3).expand(batch, 3, 3)
    points = uvd_to_xyz(uvd, geometry).transpose(1, 2) * valid
    return StageInput(features[0], features[1], points, valid, weights, geometry, rotation)


def test_heat_map_peaks_where_the_joint_projects(make_inputs: MakeInputs) -> None:
    """The published code reads xyz as uvd, which misses by several cells for joints off the cube's centre plane."""
    given = _stage_input(make_inputs(1, 3), torch.ones(1, 1, 1024))
    joints = torch.zeros(1, 21, 3)
    joints[0, :, 0] = torch.linspace(-0.7, 0.7, 21)
    joints[0, :, 2] = 0.9
    uv = xyz_to_uvd(joints, given.geometry)[0, :, :2]
    peak = render_heatmap(given, joints)[0].argmax(dim=1)
    assert (pixel_grid(32)[peak] - uv).abs().max() <= 1 / 32 + 1e-5
    assert (uv[:, 0] - joints[0, :, 0]).abs().max() > 2 / 32  # the two readings do differ here


def test_background_has_no_say_in_a_stage(make_inputs: MakeInputs) -> None:
    """With every reading gone from a cell, the geometry map and the neighbourhoods do not see its depth."""
    torch.manual_seed(0)
    stage = FusionStage(KeypointFusionConfig().network_widths).eval()
    valid = torch.ones(1, 1, 1024)
    valid[..., 512:] = 0
    given = _stage_input(make_inputs(1, 4), valid)
    joints = 0.1 * torch.randn(1, 21, 3)
    squared = squared_distances(joints, given.points)
    lie = offsets(given.points, joints, squared, valid)
    assert lie[..., 512:].abs().max() == 0
    assert lie[..., :512].abs().max() > 0
    query = torch.zeros(1, 21, given.depth_features.shape[1])
    changed = given.depth_features.clone()
    changed[..., 512:] += 10
    pooled = [stage.aggregate(f, query, given.points, joints, squared, valid) for f in (given.depth_features, changed)]
    assert torch.equal(*pooled)


def test_ball_query_table() -> None:
    candidates = torch.tensor([[[0.0, 0, 0], [0.3, 0, 0], [0.05, 0, 0], [0.1, 0, 0]]])
    queries = torch.tensor([[[0.0, 0, 0], [0.3, 0, 0], [9.0, 0, 0]]])
    found = ball_query(candidates, queries, 0.1, 3)
    assert found.tolist() == [[[0, 2, 0], [1, 1, 1], [0, 0, 0]]]  # strict radius, index order, first hit pads
