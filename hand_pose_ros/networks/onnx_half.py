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
    is all that changes.

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
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


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
