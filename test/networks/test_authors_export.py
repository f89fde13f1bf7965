"""A published network behind our inputs and outputs: units, joint order, points, and the same numbers in ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors.export import (  # noqa: E402
    DeployedAuthors,
    authors_depth,
    authors_matrix,
    export_authors,
)
from hand_pose_ros.networks.keypoint_fusion.check import HandCheck  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.config import PRESETS  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.coords import CropGeometry  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.export import INPUT_NAMES, OUTPUT_NAMES, example_inputs  # noqa: E402
from hand_pose_ros.skeleton import CANONICAL_TO_KPT_FUSION, KPT_FUSION_TO_CANONICAL, TIPS, WRIST  # noqa: E402


def narrow(size: str) -> AuthorsKeypointFusion:
    """A published network of this kind with few channels and random weights, away from their initial values."""
    torch.manual_seed(0)
    eight, one = (8, 8, 8, 8), (1, 1, 1, 1)
    few = {"depth": eight, "rgb": eight, "depth_blocks": one, "rgb_blocks": one, "features": 16, "tokens": 16}
    widths = replace(PRESETS[size], **few, layers=1)  # type: ignore[arg-type]
    network = AuthorsKeypointFusion(KeypointFusionConfig(size=size, variant="authors", widths=widths))  # type: ignore[arg-type]
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("running_var"):
            tensor += 0.02 * torch.randn_like(tensor)
    return network


@pytest.fixture(scope="module")
def deployed() -> DeployedAuthors:
    return DeployedAuthors(narrow("r18")).eval()


@pytest.fixture(scope="module")
def real(kpt_fusion_golden: Path) -> dict[str, Any]:
    """The real frame of the goldens as our pipeline would hand it over: metres, RGB bytes, our crop matrix."""
    with np.load(kpt_fusion_golden / "preprocess_real_frame.npz") as arrays:
        frame = {name: arrays[name] for name in ("crop_rgb_raw_bgr_0_255", "crop_depth_mm", "M_float64", "com3D")}
        cube, camera = arrays["cube"], arrays["cam_para"]
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ frame["M_float64"] @ half
    floats = {
        "depth": frame["crop_depth_mm"][None] / 1000,
        "center": frame["com3D"][None] / 1000,
        "crop_matrix": matrix[None],
        "cube": cube[None] / 1000,
        "intrinsics": camera[None],
    }
    rgb = torch.from_numpy(frame["crop_rgb_raw_bgr_0_255"][None, :, :, ::-1].copy())
    return {"rgb": rgb, **{name: torch.tensor(value, dtype=torch.float32) for name, value in floats.items()}}


@pytest.fixture(scope="module")
def golden_inputs(kpt_fusion_golden: Path) -> dict[str, Any]:
    """The same frame as the published loaders give it to the network."""
    with np.load(kpt_fusion_golden / "inputs_batch2.npz") as arrays:
        return {name: torch.from_numpy(arrays[name])[:1] for name in arrays.files if arrays[name].shape[0] == 2}


def test_preprocessing_is_the_published_one(
    real: dict[str, Any], golden_inputs: dict[str, Any], deployed: DeployedAuthors, kpt_fusion_golden: Path
) -> None:
    depth = authors_depth(real["depth"], real["center"], real["cube"])
    differs = (depth - golden_inputs["img_depth"]).abs() > 1e-4
    # The published code also drops the pixels of the crop's greatest depth.
    assert (golden_inputs["img_depth"][differs] == 1).all()
    assert (real["depth"][:, None][differs] == real["depth"].max()).all()
    assert torch.allclose(authors_matrix(real["crop_matrix"]), golden_inputs["M"], atol=1e-4)
    geometry = CropGeometry(*(golden_inputs[name] for name in ("center", "M", "cube", "cam_para")))
    points = deployed.points(golden_inputs["img_depth"], geometry)[0]
    with np.load(kpt_fusion_golden / "preprocess_real_frame_fullpcl.npz") as arrays:
        cloud = torch.from_numpy(arrays["pcl_all"])
    assert torch.cdist(points, cloud).amin(dim=1).max() < 1e-3
    assert len(torch.unique(points, dim=0)) == 1024


def test_joints_come_out_in_our_order_and_metres(
    real: dict[str, Any], golden_inputs: dict[str, Any], deployed: DeployedAuthors
) -> None:
    """Against the network alone, on the published input, with the same points."""
    with torch.no_grad():
        output = deployed(**real)
        depth = authors_depth(real["depth"], real["center"], real["cube"])
        geometry = CropGeometry(*(golden_inputs[name] for name in ("center", "M", "cube", "cam_para")))
        points = deployed.points(depth, geometry)
        direct = deployed.network(golden_inputs["img_rgb"], depth, points, *geometry).joints
    millimetres = direct * geometry.cube[:, None] / 2 + geometry.center[:, None]
    assert torch.allclose(output.joints[:, CANONICAL_TO_KPT_FUSION.copy()] * 1000, millimetres, atol=1e-2)
    # Named, too: their wrist and their thumb's tip (fact sheet section 0).
    assert torch.allclose(output.joints[:, WRIST] * 1000, millimetres[:, 0], atol=1e-2)
    assert torch.allclose(output.joints[:, TIPS[0]] * 1000, millimetres[:, 20], atol=1e-2)
    assert KPT_FUSION_TO_CANONICAL[WRIST] == 0
    assert output.score.tolist() == output.side.tolist() == [1.0]
    assert (output.joint_std > 0).all()


@pytest.mark.parametrize("count", [0, 1, 300, 1024, 5000])
def test_points_whatever_there_is(deployed: DeployedAuthors, count: int) -> None:
    """Fewer readings than points are taken over again, in turn; none at all give zeros."""
    depth = torch.ones(1, 1, 128 * 128)
    depth[..., :count] = torch.linspace(-0.5, 0.5, count)
    inputs = example_inputs()
    geometry = CropGeometry(*(inputs[name] for name in ("center", "crop_matrix", "cube", "intrinsics")))
    points = deployed.points(depth.reshape(1, 1, 128, 128), geometry)[0]
    assert points.shape == (1024, 3)
    distinct, times = torch.unique(points, dim=0, return_counts=True)
    assert len(distinct) == max(1, min(count, 1024))
    assert times.max() - times.min() <= 1
    if count == 0:
        assert not points.any()
    else:
        assert (points[:, 2, None] - depth[0, 0, :count]).abs().amin(dim=1).max() < 1e-5


@pytest.mark.parametrize(("size", "check"), [("r18", None), ("convnext_t", HandCheck())])
def test_onnx_parity(real: dict[str, Any], tmp_path: Path, size: str, check: HandCheck | None) -> None:
    """The frame is real, so that points and balls are neither empty nor tied."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = narrow(size)
    path = export_authors(network, tmp_path / "authors.onnx", {"version": "test"}, check)
    session = onnxruntime.InferenceSession(str(path))
    assert tuple(item.name for item in session.get_inputs()) == INPUT_NAMES
    assert [item.shape for item in session.get_outputs()] == [[1, 21, 3], [1, 21], [1], [1]]
    about = session.get_modelmeta().custom_metadata_map
    assert about["variant"] == "authors"
    assert "NOT calibrated" in about["output.joint_std"]
    for name in ("score", "side"):
        assert ("always 1" if check is None else "probability") in about[f"output.{name}"]
    with torch.no_grad():
        expected = DeployedAuthors(network, check)(**real)
    got = session.run(list(OUTPUT_NAMES), {name: value.numpy() for name, value in real.items()})
    for name, value, reference in zip(OUTPUT_NAMES, got, expected, strict=True):
        assert np.abs(value - reference.numpy()).max() <= 1e-4, name
