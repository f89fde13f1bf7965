"""What the rewriting of exported graphs shares: constants folded, types known, bytes cast before anything else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

# Operators that move or drop data and compute nothing.
MOVES: Final = frozenset(
    (
        *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "Identity", "Reshape", "Slice"),
        *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    )
)


def folded(path: Path) -> onnx.ModelProto:
    """A model file with constants folded and normalisations merged into convolutions, by ONNX Runtime's own basic
    level, which keeps to standard operators. What normalisations are left become products and sums, and bytes are cast
    before they are moved. Inputs, outputs and metadata stay.

    Raises:
        ImportError: the package `onnx` or `onnxruntime` is missing.
    """
    import onnx
    import onnxruntime

    before = onnx.load(str(path))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        # Its names clash when the same fusion finds more to do in what was written.
        disabled = ["MatMulAddFusion"]
        onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
        )
        model = onnx.load(options.optimized_model_filepath)
    # ONNX Runtime declares every domain it knows.
    del model.opset_import[:]
    model.opset_import.extend(item for item in before.opset_import if item.domain in ("", "ai.onnx"))
    del model.metadata_props[:]
    model.metadata_props.extend(before.metadata_props)
    _settle_normalisations(model)
    cast_bytes_first(model.graph)
    onnx.checker.check_model(model)
    return model


def cast_bytes_first(graph: onnx.GraphProto) -> None:
    """Transpose then Cast of a uint8 input becomes Cast then Transpose: TensorRT takes bytes as inputs, but only Cast
    may read them."""
    import onnx

    inputs = {item.name for item in graph.input if item.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    nodes = list(graph.node)
    for place, node in enumerate(nodes):
        if node.op_type != "Transpose" or node.input[0] not in inputs:
            continue
        readers = [other for other in nodes if node.output[0] in other.input]
        if len(readers) != 1 or readers[0].op_type != "Cast":
            continue
        cast, source = readers[0], node.input[0]
        node.output[0], cast.output[0] = cast.output[0], f"{source}.cast"
        node.input[0], cast.input[0] = cast.output[0], source
        nodes.remove(cast)
        nodes.insert(place, cast)
    replace_nodes(graph, nodes)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor of a graph, as far as it can be inferred."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {item.name: item.data_type for item in graph.initializer}
    for items in (graph.input, graph.output, graph.value_info):
        types.update((item.name, item.type.tensor_type.elem_type) for item in items)
    return types


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Values of a graph's constants."""
    import onnx

    return {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Other nodes in place of a graph's own, which may be among them."""
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Constants that nothing reads any more, and shapes and types told of tensors, are left out."""
    read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]


def _settle_normalisations(model: onnx.ModelProto) -> None:
    """A batch normalisation that no convolution took in becomes x * scale + shift."""
    import onnx

    graph = model.graph
    values = constants(graph)
    known = (*graph.input, *onnx.shape_inference.infer_shapes(model).graph.value_info)
    ranks = {item.name: len(item.type.tensor_type.shape.dim) for item in known}
    nodes = []
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        x, y = node.input[0], node.output[0]
        gain, bias, mean, variance = (values[name].astype(np.float64) for name in node.input[1:])
        epsilon = next((item.f for item in node.attribute if item.name == "epsilon"), 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        shape = (-1,) + (1,) * (ranks[x] - 2)
        for name, value in ((f"{y}.scale", scale), (f"{y}.shift", bias - mean * scale)):
            graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float32).reshape(shape), name))
        nodes.append(onnx.helper.make_node("Mul", [x, f"{y}.scale"], [f"{y}.scaled"], f"{node.name}.scale"))
        nodes.append(onnx.helper.make_node("Add", [f"{y}.scaled", f"{y}.shift"], [y], f"{node.name}.shift"))
    replace_nodes(graph, nodes)
    drop_unread(graph)
