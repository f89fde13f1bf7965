"""The authors' variant computes what the published code computes: golden tensors, weights by rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import load_checkpoint  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion, AuthorsOutput  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors.points import look_up  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import (  # noqa: E402
    CropGeometry,
    to_camera,
    uvd_to_xyz,
    xyz_to_uvd,
)
from hand_pose_ros.networks.keypoint_fusion.desa import RADII, SAMPLES, ball_query  # noqa: E402
from hand_pose_ros.training.losses import (  # noqa: E402
    KeypointFusionLossConfig,
    KeypointFusionTargets,
    keypoint_fusion_loss,
)

Arrays = dict[str, Any]
MakeState = Callable[[str], Arrays]


def _load(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def network(published_state: MakeState, tmp_path_factory: pytest.TempPathFactory) -> AuthorsKeypointFusion:
    """By way of a file in the authors' layout, so that all goldens below test its loading too."""
    path = tmp_path_factory.mktemp("authors") / "KPFusion_rule.pth"
    adam = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 8e-4}]}
    torch.save({"model": published_state("r18"), "optimizer": adam, "epoch": 14}, path)
    network = load_checkpoint(path)
    path.unlink()
    assert not network.training
    return network


def _run(network: AuthorsKeypointFusion, inputs: Arrays) -> AuthorsOutput:
    names = ("img_rgb", "img_depth", "pcl", "center", "M", "cube", "cam_para")
    with torch.no_grad():
        return network(*(inputs[name] for name in names))


@pytest.fixture(scope="module")
def inputs(kpt_fusion_golden: Path) -> Arrays:
    return _load(kpt_fusion_golden / "inputs_batch2.npz")


@pytest.fixture(scope="module")
def golden(kpt_fusion_golden: Path) -> Arrays:
    return _load(kpt_fusion_golden / "golden_r18_rule.npz")


@pytest.fixture(scope="module")
def computed(network: AuthorsKeypointFusion, inputs: Arrays) -> Arrays:
    """Everything the golden file lists, by its names, from our network."""
    geometry = CropGeometry(inputs["center"], inputs["M"], inputs["cube"], inputs["cam_para"])
    output = _run(network, inputs)
    found: Arrays = {
        "depth_pixel_map": output.depth_map,
        "rgb_pixel_map": output.rgb_map,
        "init_joint_uvd": output.initial_uvd,
        "init_joint_xyz": output.initial_xyz,
        "result2_b1_refined": output.refined[0],
        "result3_b1_final": output.final[0],
        "result4_b2_refined": output.refined[1],
        "result5_b2_final": output.final[1],
        "final_camera_mm": to_camera(output.joints, geometry),
        "final_uvd_nl": xyz_to_uvd(output.joints, geometry, pixel_centre=0.0),
    }
    with torch.no_grad():
        for name, branch, image in (
            ("d", network.depth_branch, inputs["img_depth"]),
            ("rgb", network.rgb_branch, inputs["img_rgb"]),
        ):
            encoded = branch.encoder(image)
            found[f"bb_{name}_layer1"], found[f"bb_{name}_layer4"] = encoded[0], encoded[3]
            found["depth_feat" if name == "d" else "rgb_feat"] = branch.decoder(encoded)
    uvd = torch.cat((network.grid.expand(2, -1, 2), output.depth_small.flatten(2).transpose(1, 2)), dim=2)
    pixels = uvd_to_xyz(uvd, geometry, pixel_centre=0.0)
    found["pcl_closeness"], found["pcl_index"] = look_up(inputs["pcl"], pixels)
    for number, stage in enumerate(output.stages, start=1):
        start = output.initial_xyz if number == 1 else output.final[0]
        places = torch.cat((inputs["pcl"], start), dim=1)
        fields = {
            "pcl_feat": stage.point_features,
            "joint_feat_pre_desa": stage.pooled,
            "joint_feat_desa": stage.aggregated,
            "init_TR_tokens": stage.depth_tokens,
            "GAM": stage.geometry_map,
            "atten_in_heatmap": stage.heatmap,
            "spatial_fc_out": stage.rgb_pooled,
            "crossTR_out_BCJ": stage.crossed.transpose(1, 2),
            "final_TR_tokens": stage.fused_tokens,
            "in_joint_xyz": start,
            "refined_3d": stage.refined,
            "final_xyz": stage.final,
            "img_feat_j": stage.rgb_joints,
            "spatial_weight": stage.spatial_weights,
            **{f"ball_idx_r{i}": ball_query(places, start, radius, SAMPLES) for i, radius in enumerate(RADII)},
        }
        found.update({f"b{number}_{name}": value for name, value in fields.items()})
    return found


def test_every_golden_array_is_compared(golden: Arrays, computed: Arrays) -> None:
    assert set(computed) == set(golden)


STAGE_ARRAYS = (
    *("pcl_feat", "joint_feat_pre_desa", "joint_feat_desa", "ball_idx_r0", "ball_idx_r1", "ball_idx_r2"),
    *("init_TR_tokens", "GAM", "atten_in_heatmap", "spatial_fc_out", "crossTR_out_BCJ", "final_TR_tokens"),
    *("in_joint_xyz", "refined_3d", "final_xyz", "img_feat_j", "spatial_weight"),
)
ARRAYS = (
    *("bb_d_layer1", "bb_d_layer4", "depth_pixel_map", "depth_feat"),
    *("bb_rgb_layer1", "bb_rgb_layer4", "rgb_pixel_map", "rgb_feat"),
    *("init_joint_uvd", "init_joint_xyz", "pcl_closeness", "pcl_index"),
    *(f"b{number}_{name}" for number in (1, 2) for name in STAGE_ARRAYS),
    *("result2_b1_refined", "result3_b1_final", "result4_b2_refined", "result5_b2_final", "final_uvd_nl"),
)


@pytest.mark.parametrize("name", ARRAYS)
def test_golden(golden: Arrays, computed: Arrays, name: str) -> None:
    expected, got = golden[name], computed[name]
    assert got.shape == expected.shape
    if not expected.is_floating_point():
        assert (got == expected).all()
    else:
        # Relative too, for other processors' rounding: measured here 9.4e-6 at worst, at a heat map's peak.
        assert ((got - expected).abs() / (1 + expected.abs())).max() <= 1e-5


def test_golden_millimetres(golden: Arrays, computed: Arrays) -> None:
    assert (golden["final_camera_mm"] - computed["final_camera_mm"]).abs().max() <= 1e-3


def test_published_losses(network: AuthorsKeypointFusion, kpt_fusion_golden: Path) -> None:
    inputs = _load(kpt_fusion_golden / "inputs_train_batch2.npz")
    values = json.loads((kpt_fusion_golden / "losses_r18_rule.json").read_text())
    output = _run(network, inputs)
    ones = torch.ones(2)
    targets = KeypointFusionTargets(inputs["xyz_gt"], ones, ones, ones)
    geometry = CropGeometry(inputs["center"], inputs["M"], inputs["cube"], inputs["cam_para"])
    terms = keypoint_fusion_loss(output, targets, geometry, KeypointFusionLossConfig(variant="authors"))
    names = {
        "pixel_depth": "loss_pixel_0",
        "joints_depth": "loss_coord_0",
        "pixel_rgb": "loss_pixel_1",
        "joints_rgb": "loss_coord_1",
        "refined_1": "loss_coord_2",
        "final_1": "loss_coord_3",
        "refined_2": "loss_coord_4",
        "final_2": "loss_coord_5",
        "spatial_1": "loss_spatial_0",
        "spatial_2": "loss_spatial_1",
        "total": "total",
    }
    assert set(terms) == set(names)
    for ours, theirs in names.items():
        assert terms[ours].item() == pytest.approx(values[theirs], rel=2e-5), ours


def test_coordinates_match_published(kpt_fusion_golden: Path) -> None:
    cases = _load(kpt_fusion_golden / "coords.npz")
    geometry = CropGeometry(cases["center"], cases["M"], cases["cube"], cases["cam_para"])
    xyz = uvd_to_xyz(cases["uvd"], geometry, pixel_centre=0.0)
    assert torch.allclose(xyz, cases["xyz"], atol=1e-5)
    assert torch.allclose(xyz_to_uvd(cases["xyz"], geometry, pixel_centre=0.0), cases["uvd_back"], atol=1e-5)
