"""Transposed convolutions of stride 2 as plain ones: ONNX Runtime's CPU has a slow kernel for the former, and none in
bytes.

A 4x4 kernel at stride 2 touches each output pixel with 2x2 of its weights, and which these are depends only on whether
row and column are even or odd. So it is four 2x2 convolutions, whose results are the pixels of four interlocking grids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hand_pose_ros.networks.onnx_graph import constants, drop_unread, replace_nodes

if TYPE_CHECKING:
    import onnx

_KNOWN: Final = {
    **{"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1},
    **{"auto_pad": b"NOTSET", "output_padding": [0, 0]},
}
# Rows (and columns) of the kernel that reach an even and an odd output row, by the input row from the top.
_ROWS: Final = ((3, 1), (2, 0))


def as_convolutions(model: onnx.ModelProto) -> None:
    """Write a graph's transposed convolutions (kernel 4, stride 2, padding 1) as convolutions, with the batch norm
    behind them; others stay."""
    graph = model.graph
    values = constants(graph)
    nodes: list[onnx.NodeProto] = []
    absorbed: set[str] = set()
    for node in graph.node:
        if node.name in absorbed:
            continue
        if node.op_type != "ConvTranspose" or node.input[1] not in values or not _is_known(node):
            nodes.append(node)
            continue
        weight = values[node.input[1]].astype(np.float64)
        bias = values[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(weight.shape[1])
        norm = _norm_behind(graph, node, values)
        if norm is not None:
            gain, shift, mean, variance = (values[name].astype(np.float64) for name in norm.input[1:])
            scale = gain / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
            weight, bias = weight * scale[:, None, None], (bias - mean) * scale + shift
            absorbed.add(norm.name)
        nodes += _four(graph, node, weight, bias, (norm or node).output[0])
    replace_nodes(graph, nodes)
    drop_unread(graph)


def _four(
    graph: onnx.GraphProto, node: onnx.NodeProto, weight: np.ndarray, bias: np.ndarray, output: str
) -> list[onnx.NodeProto]:
    """The four convolutions of a (inputs, outputs, 4, 4) kernel, and their results woven together."""
    import onnx

    make, name = onnx.helper.make_node, node.name or node.output[0]
    graph.initializer.append(onnx.numpy_helper.from_array(bias.astype(np.float32), f"{name}.bias"))
    nodes, parts = [], []
    for odd_row, rows in enumerate(_ROWS):
        for odd_column, columns in enumerate(_ROWS):
            part = f"{name}.{odd_row}{odd_column}"
            taps = np.ascontiguousarray(weight[:, :, rows][..., columns].transpose(1, 0, 2, 3), dtype=np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(taps, f"{part}.weight"))
            pads = [1 - odd_row, 1 - odd_column, odd_row, odd_column]
            inputs = [node.input[0], f"{part}.weight", f"{name}.bias"]
            nodes.append(make("Conv", inputs, [part], part, kernel_shape=[2, 2], pads=pads, strides=[1, 1]))
            parts.append(part)
    nodes.append(make("Concat", parts, [f"{name}.parts"], f"{name}.concat", axis=1))
    nodes.append(make("DepthToSpace", [f"{name}.parts"], [output], f"{name}.weave", blocksize=2, mode="DCR"))
    return nodes


def _is_known(node: onnx.NodeProto) -> bool:
    import onnx

    found = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    return {**_KNOWN, **found} == _KNOWN and all(name in found for name in ("kernel_shape", "strides", "pads"))


def _norm_behind(graph: onnx.GraphProto, node: onnx.NodeProto, values: dict[str, np.ndarray]) -> onnx.NodeProto | None:
    """The batch norm that alone reads a node's output."""
    readers = [other for other in graph.node if node.output[0] in other.input]
    if len(readers) != 1 or readers[0].op_type != "BatchNormalization" or not readers[0].name:
        return None
    return readers[0] if all(name in values for name in readers[0].input[1:]) else None


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    import onnx

    return next((onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)
