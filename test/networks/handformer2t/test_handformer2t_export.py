"""Decoding, and one graph: static shapes, opset 17, no operation that TensorRT refuses, no flow, torch's numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig, Handformer2TOutput  # noqa: E402
from hand_pose_ros.networks.handformer2t.decode import Decoded, decode, encode, metric_std  # noqa: E402
from hand_pose_ros.networks.handformer2t.export import (  # noqa: E402
    DeployedHandformer2T,
    example_inputs,
    export_onnx,
    output_names,
)

# Shapes that depend on data, control flow, and what makes shapes at run time.
REFUSED = {"NonZero", "NonMaxSuppression", "If", "Loop", "Scan", "Unique", "Compress", "Shape", "Range"}
ROBOT = {"presence": True, "relative_depth": True}
CASES = {
    "lite": Handformer2TConfig(**ROBOT),
    "joint tokens": tiny(tokens="joint", feature_norm=True, **ROBOT),
    "nearest, learned, delta, bare": tiny(
        patch_sampling="nearest", patch_channels="learned", delta=True, residual=False, stages=4
    ),
    "placed": tiny(maps=True, order="place", delta=True, patch_channels="learned", **ROBOT),
    "depth and a closer look": tiny(
        maps=True,
        order="place",
        delta=True,
        depth=True,
        closer=True,
        **ROBOT,
        widths=replace(TINY_WIDTHS, decoder=(16,) * 3),
    ),
    "no patches": tiny(keypoint_features=False, presence=True),
}
CASES["depth, a closer look and one by depth"] = replace(CASES["depth and a closer look"], depth_look=True)


def _network(config: Handformer2TConfig) -> Handformer2T:
    """Weights away from their initial values, so that every path of the graph matters."""
    torch.manual_seed(0)
    network = Handformer2T(config)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor += 0.05 * (torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor))
    return network.eval()


@pytest.fixture(scope="module", params=sorted(CASES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Handformer2T, Path]:
    network = _network(CASES[request.param])
    return network, export_onnx(network, tmp_path_factory.mktemp("onnx") / "network.onnx", {"name": "test"}, 1.5)


def test_graph(exported: tuple[Handformer2T, Path]) -> None:
    network, path = exported
    model = onnx.load(str(path))
    assert {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")} == {17}
    assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    operators = [node.op_type for node in model.graph.node]
    assert not set(operators) & REFUSED
    config = network.config
    # A closer look's windows, and the depths at the joints before and after.
    closer = (3 if config.closer else 0) + (2 if config.depth_look else 0)
    assert operators.count("GridSample") == (config.stages - 1 if config.keypoint_features else 0) + closer
    # Flows are the only users of these.
    assert not {"LeakyRelu", "Tanh", "Exp"} & set(operators)
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    assert len(values) > 100
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        assert all(size.HasField("dim_value") and size.dim_value > 0 for size in sizes), value.name


def test_runtime_agrees(exported: tuple[Handformer2T, Path]) -> None:
    network, path = exported
    deployed = DeployedHandformer2T(network, 1.5)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    names = output_names(network)
    assert tuple(output.name for output in session.get_outputs()) == names
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["name"] == "test" and all(f"output.{name}" in metadata for name in names)
    side = network.config.picture
    generator = np.random.default_rng(3)
    for _ in range(2):
        given = {"rgb": generator.integers(0, 255, (1, side, side, 3)).astype(np.uint8)}
        if network.config.depth:
            given["relief"] = generator.uniform(-2, 2, (1, 2, side, side)).astype(np.float32)
        if network.config.depth_look:
            given["view"] = np.float32([[1.1, 0.5]])
        with torch.no_grad():
            expected = deployed(*(torch.from_numpy(value) for value in given.values()))
        for name, want, got in zip(names, expected, session.run(None, given), strict=True):
            assert got.shape == tuple(want.shape)
            assert np.abs(got - want.numpy()).max() / max(1.0, float(want.abs().max())) <= 1e-4, name


def test_of_colour_alone_it_is_less_sure(tmp_path: Path) -> None:
    network = _network(CASES["depth and a closer look"])
    path = export_onnx(network, tmp_path / "a.onnx", {}, 2.0, color_factor=3.0)
    session = onnxruntime.InferenceSession(str(path))
    given = {name: value.numpy() for name, value in example_inputs(network).items()}
    for factor in (2.0, 3.0):
        told = dict(zip(output_names(network), session.run(None, given), strict=True))
        plain = DeployedHandformer2T(network).decoded(*(torch.from_numpy(value) for value in given.values()))
        np.testing.assert_allclose(told["uv_std"], factor * plain.uv_std.detach().numpy(), rtol=1e-3)
        np.testing.assert_allclose(told["depth_std"], factor * plain.depth_std.detach().numpy(), rtol=1e-3)
        given["relief"] = np.zeros_like(given["relief"])


def test_lite_is_a_small_file(tmp_path: Path) -> None:
    path = export_onnx(_network(CASES["lite"]), tmp_path / "lite.onnx", {})
    assert path.stat().st_size <= 12e6


def _output(pose: Any, scale: Any) -> Handformer2TOutput:
    return Handformer2TOutput(pose[None], scale[None], torch.zeros(2, 2), torch.tensor([0.5, -0.25]))


def test_decoding_is_in_pixels_and_metres() -> None:
    pose = torch.zeros(2, 2, 21, 3)
    pose[..., 0], pose[..., 1], pose[..., 2] = -0.5, 0.25, 0.5
    decoded = decode(_output(pose, torch.full((2, 2, 21), 0.1)), 256, std_factor=2.0)
    assert isinstance(decoded, Decoded)
    # The outer edge of the first pixel, and three quarters down.
    torch.testing.assert_close(decoded.uv[0, 0, 0], torch.tensor([-0.5, 191.5]))
    torch.testing.assert_close(decoded.depth, torch.full((2, 2, 21), 0.2))
    torch.testing.assert_close(decoded.uv_std, torch.full((2, 2, 21), 2 * math.sqrt(2) * 25.6))
    torch.testing.assert_close(decoded.depth_std, torch.full((2, 2, 21), 2 * math.sqrt(2) * 0.04))
    torch.testing.assert_close(decoded.wrist_depth, torch.tensor([0.2, -0.1]))
    torch.testing.assert_close(decoded.presence, torch.full((2, 2), 0.5))


def test_encoding_is_the_inverse() -> None:
    uv, depth = 256 * torch.rand(2, 2, 21, 2), 0.2 * torch.randn(2, 2, 21)
    decoded = decode(_output(encode(uv, depth, 256), torch.ones(2, 2, 21)), 256)
    torch.testing.assert_close(decoded.uv, uv, atol=1e-3, rtol=0)
    torch.testing.assert_close(decoded.depth, depth)


def test_standard_deviation_in_metres_is_a_mean_over_axes() -> None:
    ones = torch.ones(2, 2, 21)
    # At 1 m a focal length of 500 px makes 5 px one centimetre.
    same = metric_std(5 * ones, 0.01 * ones, ones, torch.tensor([500.0, 500.0]))
    torch.testing.assert_close(same, 0.01 * ones)
    only_depth = metric_std(0 * ones, 0.03 * ones, ones, torch.tensor([500.0, 500.0]))
    torch.testing.assert_close(only_depth, 0.03 / math.sqrt(3) * ones)
