"""The exported graph gives what torch gives, in metres."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.export import (  # noqa: E402
    INPUT_NAMES,
    OUTPUT_NAMES,
    DeployedKeypointFusion,
    example_inputs,
    export_onnx,
    weights_sha256,
)
from hand_pose_ros.networks.keypoint_fusion.preprocess import normalise_depth  # noqa: E402


@pytest.fixture(scope="module")
def network() -> KeypointFusion:
    """Weights away from their initial values, so that every path of the graph matters."""
    torch.manual_seed(0)
    network = KeypointFusion(KeypointFusionConfig())
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            low_is_bad = name.endswith("running_var")
            tensor += 0.02 * (torch.rand_like(tensor) if low_is_bad else torch.randn_like(tensor))
    return network.eval()


@pytest.fixture(scope="module")
def session(network: KeypointFusion, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path = export_onnx(
        network, tmp_path_factory.mktemp("onnx") / "lite.onnx", {"name": "test"}, std_scale=2.0, std_bias=0.001
    )
    assert path.stat().st_size < 12e6
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


@pytest.mark.parametrize("case", ["plain", "no_rgb", "no_depth", "rotated", "noise"])
def test_parity_with_torch(network: KeypointFusion, session: onnxruntime.InferenceSession, case: str) -> None:
    inputs = example_inputs()
    generator = torch.Generator().manual_seed(3)
    inputs["depth"] = inputs["depth"] + 0.05 * torch.randn(inputs["depth"].shape, generator=generator)
    if case == "no_rgb":
        inputs["rgb"] = torch.zeros_like(inputs["rgb"])
    if case == "no_depth":
        inputs["depth"] = torch.zeros_like(inputs["depth"])
    if case == "rotated":
        turn = torch.tensor([[0.8, -0.6, 38.1], [0.6, 0.8, -25.4], [0, 0, 1]])
        inputs["crop_matrix"] = turn @ inputs["crop_matrix"]
    if case == "noise":
        inputs["rgb"] = torch.randint(0, 256, inputs["rgb"].shape, generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        expected = DeployedKeypointFusion(network, 2.0, 0.001)(**inputs)
    got = session.run(list(OUTPUT_NAMES), {name: value.numpy() for name, value in inputs.items()})
    for name, value, reference in zip(OUTPUT_NAMES, got, expected, strict=True):
        assert np.abs(value - reference.numpy()).max() <= 1e-4, name


def test_graph_contract(network: KeypointFusion, session: onnxruntime.InferenceSession) -> None:
    assert tuple(item.name for item in session.get_inputs()) == INPUT_NAMES
    assert [item.shape for item in session.get_outputs()] == [[1, 21, 3], [1, 21], [1], [1]]
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["name"] == "test"
    assert metadata["weights_sha256"] == weights_sha256(network)


def test_joints_are_camera_metres(network: KeypointFusion) -> None:
    inputs = example_inputs()
    rgb = inputs["rgb"].permute(0, 3, 1, 2) / 255
    depth = normalise_depth(inputs["depth"], inputs["center"], inputs["cube"])
    with torch.no_grad():
        output = network(rgb, depth, *(inputs[name] for name in INPUT_NAMES[2:]))
        deployed = DeployedKeypointFusion(network)(**inputs)
    expected = output.joints * 0.125 + torch.tensor([0.0, 0.0, 0.6])
    assert torch.allclose(deployed.joints, expected, atol=1e-6)
    assert torch.allclose(deployed.score, torch.sigmoid(output.presence_logit))


@pytest.mark.parametrize(
    ("metres", "expected"), [(0.0, 1.0), (0.6, 0.0), (0.7, 0.8), (0.5, -0.8), (0.73, 1.0), (0.47, 1.0)]
)
def test_normalise_depth(metres: float, expected: float) -> None:
    depth = torch.full((1, 128, 128), metres)
    value = normalise_depth(depth, torch.tensor([[0.0, 0.0, 0.6]]), torch.full((1, 3), 0.25))
    assert value.shape == (1, 1, 128, 128)
    assert torch.allclose(value, torch.tensor(expected), atol=1e-5)
