"""Transposed convolutions written as four convolutions give the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402
from hand_pose_ros.networks.onnx_graph import folded  # noqa: E402
from hand_pose_ros.networks.onnx_int8 import to_int8  # noqa: E402
from hand_pose_ros.networks.onnx_operators import violations  # noqa: E402
from hand_pose_ros.networks.onnx_transposed import as_convolutions  # noqa: E402

IMAGE = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))


def run(model: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values: np.ndarray = session.run(None, {"x": IMAGE.numpy()})[0]
    return values


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("fold", [False, True])
def test_four_convolutions_are_the_transposed_one(bias: bool, norm: bool, fold: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    layers = [nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=bias), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU()]
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight), nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean), nn.init.uniform_(layer.running_var, 0.5, 2)
    module = nn.Sequential(*layers).eval()
    path = write_graph(module, tmp_path / "up.onnx", {"x": IMAGE[:1]}, ["y"], {}, batch=2)
    model = folded(path) if fold else onnx.load(str(path))
    as_convolutions(model)
    onnx.checker.check_model(model, full_check=True)
    assert violations(model) == []
    assert [node.op_type for node in model.graph.node] == [*["Conv"] * 4, "Concat", "DepthToSpace", "Relu"]
    with torch.no_grad():
        expected = module(IMAGE).numpy()
    np.testing.assert_allclose(run(model), expected, atol=1e-5)


def test_other_kernels_stay(tmp_path: Path) -> None:
    module = nn.ConvTranspose2d(3, 4, 2, 2)
    model = onnx.load(str(write_graph(module, tmp_path / "up.onnx", {"x": IMAGE[:1]}, ["y"], {}, batch=2)))
    before = run(model)
    as_convolutions(model)
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose"]
    np.testing.assert_array_equal(run(model), before)


class Several(nn.Module):
    """Two layers with equal (zero) biases, a gate that is no layer, a product of many rows, and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.second, self.rows, self.answer = nn.Conv2d(8, 32, 3), nn.Linear(32, 16), nn.Linear(16, 8)
        for layer in (self.first, self.up, self.second):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, 5, 7) -> (B, 96, 8)."""
        gate = (x.amax(dim=(1, 2, 3), keepdim=True) > 0).float()
        features = self.second(self.up(torch.relu(self.first(x))) * gate)
        answer: torch.Tensor = self.answer(torch.softmax(self.rows(features.flatten(2).transpose(1, 2)), dim=2))
        return answer


def test_layers_that_lead_to_others_are_bytes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Several().eval()
    model = folded(write_graph(module, tmp_path / "several.onnx", {"x": IMAGE[:1]}, ["y"], {}, batch=2))
    result = to_int8(model, [{"x": IMAGE.numpy()}])
    makers = {name: node for node in result.graph.node for name in node.output}
    weights = {item.name: item for item in result.graph.initializer}

    def in_bytes(node: Any) -> bool:
        # A weight, and for convolutions a bias in 32 bits, unpacked where it is used.
        packed = [makers[name].input[0] for name in node.input[1:] if name in makers]
        kinds = [weights[name].data_type for name in packed if name in weights]
        return kinds == [onnx.TensorProto.INT8, onnx.TensorProto.INT32][: len(node.input) - 1]

    layers = [node for node in result.graph.node if node.op_type in ("Conv", "MatMul", "Gemm", "ConvTranspose")]
    assert [(node.op_type, in_bytes(node)) for node in layers] == [
        *[("Conv", True)] * 6,
        ("MatMul", True),
        ("MatMul", False),
    ]
    np.testing.assert_allclose(run(result), run(model), atol=0.02)
