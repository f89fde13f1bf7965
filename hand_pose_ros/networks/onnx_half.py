"""Smaller model files: weights stored in half precision, computed with in single precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

# Operators whose second input is a weight; biases (the third) are small and stay as they are.
_WEIGHTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def store_weights_half(path: Path) -> Path:
    """Rewrite an ONNX file so that the weights of convolutions and matrices are float16, each behind a Cast to float32.

    Engines fold the casts when they load the file, so that it runs as fast as before. The rounding (2^-11 of a weight)
    is all that changes; what lies between inputs and outputs gets short names (long ones make a thirtieth of a file).

    Raises:
        ImportError: the `onnx` package is missing.
        ValueError: a weight is too large for float16 (65504).
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("export needs the package onnx; install hand_pose_ros[train]") from error
    model = onnx.load(str(path))
    weights = _weights(model.graph)
    casts = []
    for item in model.graph.initializer:
        name = item.name
        if name not in weights:
            continue
        value = onnx.numpy_helper.to_array(item)
        if np.abs(value).max() > np.finfo(np.float16).max:
            raise ValueError(f"{path}: expected weights below 65504 for float16, {name} has larger ones")
        # What the operators read keeps its name.
        item.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    name_shortly(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def name_shortly(graph: onnx.GraphProto) -> None:
    """Numbers for the values that nodes make, but for the outputs, and for the nodes."""
    outputs = {item.name for item in graph.output}
    made = [name for node in graph.node for name in node.output if name and name not in outputs]
    short = {name: f"v{number}" for number, name in enumerate(made)}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}{number}"
        for names in (node.input, node.output):
            renamed = [short.get(name, name) for name in names]
            del names[:]
            names.extend(renamed)
    for value in graph.value_info:
        value.name = short.get(value.name, value.name)


def _weights(graph: onnx.GraphProto) -> set[str]:
    """Names of the float32 constants that are weights of some operator and nothing else."""
    import onnx

    single = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
    named = {node.input[1] for node in graph.node if node.op_type in _WEIGHTED and len(node.input) > 1}
    read_otherwise = {
        name
        for node in graph.node
        for place, name in enumerate(node.input)
        if not (node.op_type in _WEIGHTED and place == 1)
    }
    return (single & named) - read_otherwise
