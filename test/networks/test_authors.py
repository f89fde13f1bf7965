"""The authors' variant computes what the published code computes: golden tensors, weights by rule."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion.authors import (  # noqa: E402
    AuthorsKeypointFusion,
    AuthorsOutput,
    load_authors_state_dict,
    read_authors_checkpoint,
)
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
STORED, LIVE = 46_257_338, 28_699_804
# The published position tables have 512 rows, 21 of them used; there are four.
UNUSED_ROWS = 4 * (512 - 21) * 128


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "golden" / "keypoint_fusion"


@pytest.fixture(scope="module")
def published_state(folder: Path) -> dict[str, Any]:
    """The state dict by rule, under the published names with the prefix of the checkpoint; word tables left out."""
    spec = importlib.util.spec_from_file_location("weights_rule", folder / "weights_rule.py")
    assert spec is not None and spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    state = {}
    for line in (folder / "keys_r18.txt").read_text().splitlines():
        key, shape, _ = line.split("\t")
        if "word_embeddings" not in key:
            state[f"module.{key}"] = torch.from_numpy(rule.make(key, tuple(json.loads(_as_json(shape)))))
    return state


def _as_json(shape: str) -> str:
    return shape.replace("(", "[").replace(",)", "]").replace(")", "]")


def _load(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def network(published_state: dict[str, Any]) -> AuthorsKeypointFusion:
    network = AuthorsKeypointFusion()
    load_authors_state_dict(network, published_state)
    return network.eval()


def _run(network: AuthorsKeypointFusion, inputs: Arrays) -> AuthorsOutput:
    names = ("img_rgb", "img_depth", "pcl", "center", "M", "cube", "cam_para")
    with torch.no_grad():
        return network(*(inputs[name] for name in names))


@pytest.fixture(scope="module")
def inputs(folder: Path) -> Arrays:
    return _load(folder / "inputs_batch2.npz")


@pytest.fixture(scope="module")
def golden(folder: Path) -> Arrays:
    return _load(folder / "golden_r18_rule.npz")


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


def test_published_losses(network: AuthorsKeypointFusion, folder: Path) -> None:
    inputs = _load(folder / "inputs_train_batch2.npz")
    values = json.loads((folder / "losses_r18_rule.json").read_text())
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


def test_parameter_counts(network: AuthorsKeypointFusion, folder: Path) -> None:
    dead = sum(int(line.split("\t")[1]) for line in (folder / "dead_params_r18.txt").read_text().splitlines())
    assert STORED - dead == LIVE
    assert sum(p.numel() for p in network.parameters()) == LIVE - UNUSED_ROWS


def test_checkpoint_file(published_state: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"model": published_state, "optimizer": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    assert read_authors_checkpoint(tmp_path / "checkpoint.pth").keys() == published_state.keys()
    torch.save({"state": {}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="expected a checkpoint with the key 'model'"):
        read_authors_checkpoint(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop", r"missing \['stages.0.mix'\]"),
        ("add", r"unknown \['fc.weight'\]"),
        ("resize", r"another shape \['stages.0.mix \(2,\) for \(1,\)'\]"),
    ],
)
def test_wrong_state_is_refused(
    network: AuthorsKeypointFusion, published_state: dict[str, Any], change: str, message: str
) -> None:
    state = dict(published_state)
    if change == "drop":
        del state["module.block1.weight_dis"]
    if change == "add":
        state["module.fc.weight"] = torch.zeros(1)
    if change == "resize":
        state["module.block1.weight_dis"] = torch.zeros(2)
    with pytest.raises(ValueError, match=message):
        load_authors_state_dict(network, state)


def test_coordinates_match_published(folder: Path) -> None:
    cases = _load(folder / "coords.npz")
    geometry = CropGeometry(cases["center"], cases["M"], cases["cube"], cases["cam_para"])
    xyz = uvd_to_xyz(cases["uvd"], geometry, pixel_centre=0.0)
    assert torch.allclose(xyz, cases["xyz"], atol=1e-5)
    assert torch.allclose(xyz_to_uvd(cases["xyz"], geometry, pixel_centre=0.0), cases["uvd_back"], atol=1e-5)
