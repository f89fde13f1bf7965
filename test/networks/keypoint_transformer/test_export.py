"""One graph: static shapes, opset 17, no operation that TensorRT refuses, and torch's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from keypoint_transformer_toys import with_peaks  # noqa: E402

from hand_pose_ros.hand_model.model import HandModel  # noqa: E402
from hand_pose_ros.hand_model.torch_model import TorchHandModel  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import (  # noqa: E402
    KeypointTransformer,
    KeypointTransformerConfig,
    PeakSettings,
)
from hand_pose_ros.networks.keypoint_transformer.export import (  # noqa: E402
    DeployedKeypointTransformer,
    export_onnx,
    output_names,
)
from hand_pose_ros.skeleton import Side  # noqa: E402

# Shapes that depend on data, control flow, and what makes shapes at run time.
REFUSED = {"NonZero", "NonMaxSuppression", "If", "Loop", "Scan", "Unique", "Compress", "Shape", "Range"}
QUICK = PeakSettings(rounds=2)
CASES = {
    "3d": KeypointTransformerConfig(),
    "2p5d with object": KeypointTransformerConfig(representation="2p5d", objects=True, cross_layers=2, peaks=QUICK),
    "angles": KeypointTransformerConfig(representation="angles", self_layers=0, peaks=QUICK),
    "placed with depth and object": KeypointTransformerConfig(
        crop=96, objects=True, self_layers=1, depth=True, placed=True, peaks=PeakSettings(radius=2, rounds=2)
    ),
    "placed with a look by depth": KeypointTransformerConfig(
        crop=96,
        objects=True,
        self_layers=1,
        depth=True,
        placed=True,
        depth_look=True,
        peaks=PeakSettings(radius=2, rounds=2),
    ),
    "authors with object": KeypointTransformerConfig(
        size="r18", variant="authors", objects=True, left_object=True, self_layers=1, peaks=QUICK
    ),
}


def _network(config: KeypointTransformerConfig) -> KeypointTransformer:
    """Weights away from their initial values, so that every path of the graph matters, and maps with peaks."""
    torch.manual_seed(0)
    network = KeypointTransformer(config)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            low_is_bad = name.endswith("running_var")
            tensor += 0.02 * (torch.rand_like(tensor) if low_is_bad else torch.randn_like(tensor))
    for module in network.decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return with_peaks(network.eval())


@pytest.fixture(scope="module", params=sorted(CASES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    layers = None
    if request.param == "angles":
        layers = tuple(TorchHandModel(HandModel.bundled(side)) for side in (Side.RIGHT, Side.LEFT))
    network = _network(CASES[request.param])
    path = export_onnx(network, tmp_path_factory.mktemp("onnx") / "network.onnx", {"name": "test"}, layers)
    return DeployedKeypointTransformer(network, layers), path


def test_graph(exported: tuple[Any, Path]) -> None:
    model = onnx.load(str(exported[1]))
    assert {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")} == {17}
    assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    assert not {node.op_type for node in model.graph.node} & REFUSED
    for node in model.graph.node:
        if node.op_type == "GridSample":
            modes = [a.s for a in node.attribute if a.name == "mode"]
            assert modes == [b"bilinear"]
        if node.op_type == "TopK":
            # TensorRT's limit of k.
            assert node.input[1] in _constants(model) and int(_constants(model)[node.input[1]].max()) <= 3840
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    assert len(values) > 300
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        assert all(size.HasField("dim_value") and size.dim_value > 0 for size in sizes), value.name


def _constants(model: Any) -> dict[str, np.ndarray]:
    found = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return found


def test_runtime_agrees(exported: tuple[Any, Path]) -> None:
    deployed, path = exported
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    names = output_names(deployed)
    assert tuple(output.name for output in session.get_outputs()) == names
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["name"] == "test" and all(f"output.{name}" in metadata for name in names)
    generator, side = np.random.default_rng(3), deployed.network.config.crop
    given = {"rgb": np.zeros((1, side, side, 3), np.uint8)}
    if deployed.network.config.depth:
        given["relief"] = np.zeros((1, 2, side, side), np.float32)
    if deployed.network.config.depth_look:
        given["view"] = np.zeros((1, 2), np.float32)
    assert [put.name for put in session.get_inputs()] == list(given) and "input.rgb" in metadata
    for _ in range(2):
        shown = {"rgb": generator.integers(0, 255, (1, side, side, 3)).astype(np.uint8)}
        if "relief" in given:
            shown["relief"] = generator.uniform(-1, 1, (1, 2, side, side)).astype(np.float32)
        if "view" in given:
            shown["view"] = np.float32([[1.1, 0.5]])
        with torch.no_grad():
            expected = deployed(*(torch.from_numpy(value) for value in shown.values()))
        got = dict(zip(names, session.run(None, shown), strict=True))
        assert (got["keypoint_score"] > 0).sum() > 20
        for name, want in zip(names, expected, strict=True):
            assert got[name].shape == tuple(want.shape)
            error = np.abs(got[name] - want.numpy()).max() / max(1.0, float(want.abs().max()))
            assert error <= 1e-4, name
    # On a black image the maps are flat and rounding decides which of equal peaks are taken.
    black = session.run(None, given)
    assert all(np.isfinite(value).all() for value in black)
