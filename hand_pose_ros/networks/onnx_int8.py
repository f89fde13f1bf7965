"""Convolutions in bytes, for CPUs that multiply bytes (AVX-512 VNNI), by ONNX Runtime's static quantisation."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hand_pose_ros.networks.onnx_float16 import learned_nodes
from hand_pose_ros.networks.onnx_graph import drop_unread
from hand_pose_ros.networks.onnx_transposed import as_convolutions

if TYPE_CHECKING:
    import onnx

# What lies between convolutions is quantised too where it is among these, so that the bytes need not be unpacked.
_BETWEEN: Final = ("Add", "Concat", "DepthToSpace", "MaxPool", "Relu", "Resize")
# A convolution is no answer yet where these lie between it and the next layer.
_THROUGH: Final = (*_BETWEEN, "Gather", "Gemm", "Mul", "Reshape", "Sub", "Transpose")
# A product smaller than this costs less than the packing of its rows.
_ROWS: Final = 64
_INNER: Final = 32


def to_int8(model: onnx.ModelProto, samples: Iterable[Mapping[str, np.ndarray]]) -> onnx.ModelProto:
    """A folded graph (`onnx_graph.folded`) whose convolutions compute in bytes between QuantizeLinear and
    DequantizeLinear; the metadata says "precision: int8".

    Activations are unsigned with a zero point, weights signed per channel: what ONNX Runtime's CPU is fast with. (It is
    not what TensorRT wants.) x86 processors without VNNI add two products in 16 bits, which overflow at times; weights
    of seven bits would not, but then the hand finder loses 1.6 mm. Convolutions whose result no other layer reads stay
    as they are: those are the answers.

    Args:
        model: see above.
        samples: inputs as the graph sees them in use; the range of every tensor is taken from them.

    Raises:
        ImportError: the package `onnx` or `onnxruntime` is missing.
        ValueError: there are no samples, or the graph has no convolution to quantise.
    """
    import onnx
    from onnxruntime import quantization

    model = type(model).FromString(model.SerializeToString())
    as_convolutions(model)
    _own_biases(model.graph)
    chosen = _chosen(model)
    if not chosen:
        raise ValueError("int8: expected a graph with convolutions between others, got one without")
    # Outside of the graph it costs nothing, inside it would be calibrated as well.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            model,
            path,
            _reader(quantization, samples),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=chosen,
            extra_options={"QuantizeBias": True},
        )
        result = onnx.load(str(path))
    kept = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(result, {**kept, "precision": "int8"})
    onnx.checker.check_model(result)
    return result


def _own_biases(graph: onnx.GraphProto) -> None:
    """Folding merges equal constants, and a bias takes the scale of the layer it is quantised with: each its own."""
    values = {item.name: item for item in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type == "Conv" and len(node.input) > 2 and node.input[2] in values:
            own = type(values[node.input[2]]).FromString(values[node.input[2]].SerializeToString())
            own.name = node.input[2] = f"{node.input[2]}.{index}"
            graph.initializer.append(own)
    drop_unread(graph)


def _chosen(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes to quantise: convolutions that others build on, what lies between them, and products of many
    rows with many numbers each (rows of few numbers are coordinates)."""
    graph = model.graph
    learned = learned_nodes(model)
    large = _large_products(model)
    wanted: set[str] = set()  # what layers read, themselves or through what lies between
    reached: set[str] = set()  # and through anything simple
    ahead: set[str] = set()  # and through anything
    chosen: list[str] = []
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        leads = not reached.isdisjoint(node.output)
        product = node.name in large and index in learned
        layer = index in learned and (node.op_type == "Conv" or product)
        between = index in learned and node.op_type in _BETWEEN and not wanted.isdisjoint(node.output)
        if between or (layer and leads) or (product and not ahead.isdisjoint(node.output)):
            chosen.append(node.name)
        if layer or between:
            wanted.update(node.input)
        if layer or (leads and node.op_type in _THROUGH):
            reached.update(node.input)
        if index in learned or not ahead.isdisjoint(node.output):
            ahead.update(node.input)
    return chosen if any(node.op_type == "Conv" and node.name in set(chosen) for node in graph.node) else []


def _large_products(model: onnx.ModelProto) -> set[str]:
    """Names of the products of at least `_ROWS` rows with a constant matrix of at least `_INNER` rows."""
    import onnx

    known = {item.name: item.type.tensor_type for item in onnx.shape_inference.infer_shapes(model).graph.value_info}
    weights = {item.name: item.dims for item in model.graph.initializer if len(item.dims) == 2}
    found = set()
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights or node.output[0] not in known:
            continue
        rows = math.prod(size.dim_value for size in known[node.output[0]].shape.dim[:-1])
        if rows >= _ROWS and weights[node.input[1]][0] >= _INNER:
            found.add(node.name)
    return found


def _reader(quantization: Any, samples: Iterable[Mapping[str, np.ndarray]]) -> Any:
    """The samples as ONNX Runtime asks for them."""

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, left: Iterator[Mapping[str, np.ndarray]]) -> None:
            self.left = left
            self.first = next(left, None)
            if self.first is None:
                raise ValueError("int8: expected samples to calibrate on, got none")

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample, self.first = self.first, None
            sample = sample if sample is not None else next(self.left, None)
            return None if sample is None else dict(sample)

    return Reader(iter(samples))
