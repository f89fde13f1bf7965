"""Weights stored in half precision, given back in single precision: for engines that want weights as constants.

`hand_pose export` stores large weights as float16 behind a Cast (networks/onnx_half.py). ONNX Runtime folds such casts
when it loads a file; a strongly typed TensorRT network would see a convolution whose weights another layer computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from hand_pose_ros.engines import onnx_wire as wire

_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_GRAPH_INITIALIZER: Final = 5
_GRAPH_OUTPUT: Final = 12
_FLOAT: Final = 1
_FLOAT16: Final = 10


class _Tensor(NamedTuple):
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9."""

    name: str
    kind: int
    shape: list[int]
    raw: memoryview | None


class _Node(NamedTuple):
    """NodeProto: input 1, output 2, op_type 4, attribute 5 (name 1, i 3)."""

    inputs: list[str]
    outputs: list[str]
    kind: str
    to: int | None


def widen_half_weights(model: bytes) -> bytes:
    """The same ONNX file with every Cast of a float16 constant to float32 computed; all else byte for byte.

    Raises:
        hand_pose_ros.engines.onnx_wire.WireError: the bytes are no ONNX file.
    """
    return b"".join(
        wire.encode(_MODEL_GRAPH, _graph(item.content)) if item.number == _MODEL_GRAPH else bytes(item.raw)
        for item in wire.fields(memoryview(model))
    )


def _graph(graph: memoryview) -> bytes:
    items = list(wire.fields(graph))
    halves = {
        tensor.name: tensor
        for item in items
        if item.number == _GRAPH_INITIALIZER
        and (tensor := _tensor(item.content)).kind == _FLOAT16
        and tensor.raw is not None
    }
    nodes = {place: _node(item.content) for place, item in enumerate(items) if item.number == _GRAPH_NODE}
    casts = {place: node for place, node in nodes.items() if _widens(node, halves)}
    kept = {name for place, node in nodes.items() if place not in casts for name in node.inputs}
    kept |= {_text(item.content, 1) for item in items if item.number == _GRAPH_OUTPUT}
    replaced = {node.inputs[0] for node in casts.values()} - kept
    out = bytearray()
    for place, item in enumerate(items):
        if place in casts:
            node = casts[place]
            out += wire.encode(_GRAPH_INITIALIZER, _widened(node.outputs[0], halves[node.inputs[0]]))
        elif item.number != _GRAPH_INITIALIZER or _text(item.content, 8) not in replaced:
            out += item.raw
    return bytes(out)


def _widens(node: _Node, halves: Mapping[str, _Tensor]) -> bool:
    return node.kind == "Cast" and node.to == _FLOAT and len(node.inputs) == 1 and node.inputs[0] in halves


def _widened(name: str, half: _Tensor) -> bytes:
    values = np.frombuffer(half.raw or b"", dtype="<f2").astype("<f4")
    dims = b"".join(wire.encode_integer(1, size) for size in half.shape)
    return dims + wire.encode_integer(2, _FLOAT) + wire.encode(8, name.encode()) + wire.encode(9, values.tobytes())


def _tensor(message: memoryview) -> _Tensor:
    name, kind, shape, raw = "", 0, [], None
    for item in wire.fields(message):
        if item.number == 1:
            shape += wire.integers(item)
        elif item.number == 2:
            kind = item.integer
        elif item.number == 8:
            name = item.text
        elif item.number == 9:
            raw = item.content
    return _Tensor(name, kind, shape, raw)


def _node(message: memoryview) -> _Node:
    inputs, outputs, kind, to = [], [], "", None
    for item in wire.fields(message):
        if item.number == 1:
            inputs.append(item.text)
        elif item.number == 2:
            outputs.append(item.text)
        elif item.number == 4:
            kind = item.text
        elif item.number == 5 and _text(item.content, 1) == "to":
            to = next((entry.integer for entry in wire.fields(item.content) if entry.number == 3), None)
    return _Node(inputs, outputs, kind, to)


def _text(message: memoryview, number: int) -> str:
    return next((item.text for item in wire.fields(message) if item.number == number), "")
