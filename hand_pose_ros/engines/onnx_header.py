"""What an ONNX file says of itself: inputs, outputs and metadata, read without the package onnx or an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hand_pose_ros.engines import onnx_wire as wire
from hand_pose_ros.engines.base import EngineError, TensorSpec

# onnx.proto3: field numbers of the messages and values of TensorProto.DataType.
_MODEL_GRAPH: Final = 7
_MODEL_METADATA: Final = 14
_GRAPH_NODE: Final = 1
_GRAPH_INITIALIZER: Final = 5
_GRAPH_INPUT: Final = 11
_GRAPH_OUTPUT: Final = 12
_NODE_INPUT: Final = 1
_TENSOR_NAME: Final = 8
_DTYPES: Final[Mapping[int, Any]] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
}


@dataclass(frozen=True)
class OnnxHeader:
    """Inputs, outputs and metadata of a file; `unread` are the inputs that no node reads."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    unread: frozenset[str] = frozenset()


def read_header(model: bytes, name: str) -> OnnxHeader:
    """Read the bytes of an ONNX file.

    Args:
        model: the whole file.
        name: of the file, for errors.

    Raises:
        EngineError: it is no ONNX file, or has inputs or outputs of a type that numpy does not have.
    """
    try:
        return _header(memoryview(model))
    except (wire.WireError, UnicodeDecodeError) as error:
        raise EngineError(f"cannot load {name}: it is no ONNX file ({error}); fetch or export it anew") from error


def _header(model: memoryview) -> OnnxHeader:
    top = list(wire.fields(model))
    graphs = [item.content for item in top if item.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise wire.WireError(f"expected one graph, got {len(graphs)}")
    graph = list(wire.fields(graphs[0]))
    constants = {_text(item.content, _TENSOR_NAME) for item in graph if item.number == _GRAPH_INITIALIZER}
    inputs = [_spec(item.content) for item in graph if item.number == _GRAPH_INPUT]
    outputs = [_spec(item.content) for item in graph if item.number == _GRAPH_OUTPUT]
    read = {
        entry.text
        for item in graph
        if item.number == _GRAPH_NODE
        for entry in wire.fields(item.content)
        if entry.number == _NODE_INPUT
    }
    given = tuple(spec for spec in inputs if spec.name not in constants)
    if not given or not outputs:
        raise wire.WireError("a graph without inputs or outputs")
    metadata = dict(_pair(item.content) for item in top if item.number == _MODEL_METADATA)
    unread = frozenset(spec.name for spec in given if spec.name not in read)
    return OnnxHeader(given, tuple(outputs), metadata, unread)


def _spec(value_info: memoryview) -> TensorSpec:
    """ValueInfoProto: name 1, type 2 > tensor_type 1 > elem_type 1, shape 2 > dim 1 > dim_value 1."""
    name = _text(value_info, 1)
    tensor = _inner(_inner(value_info, 2), 1)
    kind = next((item.integer for item in wire.fields(tensor) if item.number == 1), 0)
    if kind not in _DTYPES:
        raise EngineError(f"tensor {name} has ONNX type {kind}; known: {', '.join(map(str, _DTYPES))}")
    sizes: list[int | None] = []
    for item in wire.fields(_inner(tensor, 2)):
        if item.number == 1:
            sizes.append(next((entry.integer for entry in wire.fields(item.content) if entry.number == 1), None))
    return TensorSpec(name, tuple(sizes), np.dtype(_DTYPES[kind]))


def _pair(entry: memoryview) -> tuple[str, str]:
    """StringStringEntryProto: key 1, value 2."""
    return _text(entry, 1), _text(entry, 2)


def _text(message: memoryview, number: int) -> str:
    return next((item.text for item in wire.fields(message) if item.number == number), "")


def _inner(message: memoryview, number: int) -> memoryview:
    return next((item.content for item in wire.fields(message) if item.number == number), memoryview(b""))
