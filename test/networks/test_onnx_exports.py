"""Every network's graph, in both precisions and in batches: operators TensorRT takes, and torch's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from every_network import NETWORKS, Exported, fusion_inputs  # noqa: E402

from hand_pose_ros.engines.torch_engine import TorchEngine  # noqa: E402
from hand_pose_ros.engines.zoo import find_model  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402
from hand_pose_ros.networks.onnx_float16 import to_float16  # noqa: E402
from hand_pose_ros.networks.onnx_graph import cast_bytes_first, folded  # noqa: E402
from hand_pose_ros.networks.onnx_operators import violations  # noqa: E402
from hand_pose_ros.networks.onnx_rounding import rounding_twin  # noqa: E402

# Metres, or parts of one; pixels where the name says so. 1 px of a crop is some 2 mm on the hand.
FLOAT32 = 1e-4
# These networks are untrained and hang on hairs, where neighbours are chosen above all; a trained one is asked below.
UNTRAINED, FLOAT16 = 6e-3, 1e-3
PIXELS = {"uv", "uv_std", "keypoint_uv"}
# Numbers without a unit, and slots that change places.
LOOSE = {"keypoint_uv", "keypoint_score", "identity", "attention", "camera", "shape", "pose"}
BATCHED = ("kpt_fusion lite", "keypoint_transformer lite", "handformer2t lite")
BATCH = 3

Arrays = dict[str, np.ndarray]
Case = tuple[Exported, Path, Arrays, Any]


def run(model: Any, inputs: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(model) if isinstance(model, Path) else model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def arrays(network: Exported) -> Arrays:
    return {name: value.numpy() for name, value in network.inputs.items()}


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The network, its file, torch's answer, and the file in half precision."""
    torch.manual_seed(0)
    network = NETWORKS[request.param]()
    path = network.write(tmp_path_factory.mktemp("onnx") / "network.onnx", 1)
    with torch.no_grad():
        expected = network.module(*network.inputs.values())
    answer = {name: value.numpy() for name, value in zip(network.outputs, expected, strict=True)}
    return network, path, answer, to_float16(folded(path))


def gaps(got: Arrays, expected: Arrays) -> Arrays:
    assert got.keys() == expected.keys()
    return {name: np.abs(got[name] - value).max() for name, value in expected.items()}


def test_single_precision(case: Case) -> None:
    network, path, expected, _ = case
    model = onnx.load(str(path))
    assert violations(model) == []
    metadata = {item.key: item.value for item in model.metadata_props}
    assert (metadata["precision"], metadata["batch"]) == ("fp32", "1")
    assert len(metadata["weights_sha256"]) == 64
    for name, gap in gaps(run(path, arrays(network)), expected).items():
        assert gap <= FLOAT32 * (100 if name in PIXELS | LOOSE else 1), name


def test_half_precision(case: Case) -> None:
    """Told by the twin that rounds as half precision does: this machine's ONNX Runtime takes the casts away."""
    network, _, expected, half = case
    assert violations(half) == []
    types = {item.name: item.type.tensor_type.elem_type for item in half.graph.value_info}
    layers = [node for node in half.graph.node if node.op_type in ("Conv", "ConvTranspose", "Gemm")]
    in_half = [types.get(node.output[0]) == onnx.TensorProto.FLOAT16 for node in layers]
    assert np.mean(in_half) > 0.6
    single = {"GridSample", "LayerNormalization", "Softmax", "TopK"}
    assert all(
        types.get(node.output[0]) != onnx.TensorProto.FLOAT16 for node in half.graph.node if node.op_type in single
    )
    for name, gap in gaps(run(rounding_twin(half), arrays(network)), expected).items():
        if name not in LOOSE:
            assert gap <= UNTRAINED * (100 if name in PIXELS else 1), name
    assert {item.key: item.value for item in half.metadata_props}["precision"] == "fp16"


def test_torch_engine(case: Case, tmp_path: Path) -> None:
    """The same file on the torch engine: the same numbers, and the half file in real half arithmetic."""
    network, path, expected, half = case
    given = arrays(network)
    for name, gap in gaps(TorchEngine(path).run(given), expected).items():
        assert gap <= FLOAT32 * (100 if name in PIXELS | LOOSE else 1), name
    onnx.save(half, str(tmp_path / "half.onnx"))
    for name, gap in gaps(TorchEngine(tmp_path / "half.onnx").run(given), expected).items():
        if name not in LOOSE:
            assert gap <= UNTRAINED * (100 if name in PIXELS else 1), name


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_gives_what_its_samples_give(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    model = onnx.load(str(network.write(tmp_path / "batch.onnx", BATCH)))
    assert violations(model) == []
    assert {i.type.tensor_type.shape.dim[0].dim_value for i in (*model.graph.input, *model.graph.output)} == {BATCH}
    metadata = {item.key: item.value for item in model.metadata_props}
    assert metadata["batch"] == str(BATCH)
    assert metadata["input.rgb"].startswith(f"({BATCH},")
    rng = np.random.default_rng(5)
    given = {key: np.repeat(value, BATCH, axis=0) for key, value in arrays(network).items()}
    given["rgb"] = rng.integers(0, 256, given["rgb"].shape).astype(np.uint8)
    together = run(model, given)
    for sample in range(BATCH):
        with torch.no_grad():
            values = network.module(*(torch.from_numpy(value[sample : sample + 1]) for value in given.values()))
        alone = {key: value.numpy() for key, value in zip(network.outputs, values, strict=True)}
        for key, gap in gaps({key: value[sample : sample + 1] for key, value in together.items()}, alone).items():
            assert gap <= FLOAT32 * (100 if key in PIXELS | LOOSE else 1), key


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The shipped pose model and its half version."""
    path = find_model("kpt_fusion_lite")
    return path, to_float16(folded(path))


def test_half_precision_of_the_shipped_model(shipped: tuple[Path, Any], tmp_path: Path) -> None:
    path, half = shipped
    given = {name: value.numpy() for name, value in fusion_inputs().items()}
    expected = run(path, given)
    onnx.save(half, str(tmp_path / "half.onnx"))
    for got in (run(rounding_twin(half), given), TorchEngine(tmp_path / "half.onnx").run(given)):
        gap = np.abs(got["joints"] - expected["joints"]).max()
        assert 0 < gap <= FLOAT16
        assert np.abs(got["joint_std"] - expected["joint_std"]).max() <= FLOAT16


def test_half_precision_on_a_real_frame(shipped: tuple[Path, Any], kpt_fusion_golden: Path) -> None:
    path, half = shipped
    with np.load(kpt_fusion_golden / "preprocess_real_frame.npz") as frame:
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        values = {
            "depth": frame["crop_depth_mm"] / 1000,
            "center": frame["com3D"] / 1000,
            "crop_matrix": np.linalg.inv(shift) @ frame["M_float64"] @ shift,
            "cube": frame["cube"] / 1000,
            "intrinsics": frame["cam_para"],
        }
        given = {name: np.asarray(value, dtype=np.float32)[None] for name, value in values.items()}
        given["rgb"] = np.ascontiguousarray(frame["crop_rgb_raw_bgr_0_255"][None, :, :, ::-1]).astype(np.uint8)
    gap = np.abs(run(rounding_twin(half), given)["joints"] - run(path, given)["joints"]).max()
    assert 0 < gap <= FLOAT16


def test_what_tensorrt_refuses_is_found() -> None:
    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Transpose", ["rgb"], ["turned"], "turn", perm=[0, 2, 1]),
        make.make_node("Cast", ["turned"], ["image"], to=kinds.FLOAT),
        make.make_node("TopK", ["image", "count"], ["best", "place"], "best", axis=1, sorted=0),
        make.make_node("Unique", ["best"], ["once"], "once"),
    ]
    tensors = [make.make_tensor_value_info("rgb", kinds.UINT8, [1, 4, 3])]
    results = [make.make_tensor_value_info("once", kinds.FLOAT, None)]
    count = onnx.numpy_helper.from_array(np.array([2]), "count")
    graph = make.make_graph(nodes, "refused", tensors, results, [count])
    found = violations(make.make_model(graph, opset_imports=[make.make_opsetid("", 20)]))
    assert [text.split(":")[0] for text in found] == ["opset 20", "Transpose turn", "TopK best", "Unique once"]
    cast_bytes_first(graph)
    assert [node.op_type for node in graph.node[:2]] == ["Cast", "Transpose"]
    assert not [text for text in violations(make.make_model(graph)) if text.startswith("Transpose")]


def test_weights_too_large_for_half_precision_are_named(tmp_path: Path) -> None:
    layer = torch.nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        layer.weight.fill_(1e5)
    path = write_graph(torch.nn.Sequential(layer), tmp_path / "x.onnx", {"x": torch.zeros(1, 3, 8, 8)}, ["y"], {})
    with pytest.raises(ValueError, match="65504"):
        to_float16(folded(path))
