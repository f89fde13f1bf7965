"""What strongly typed TensorRT wants of an ONNX file, done to files that do not have it yet; the numbers stay the same.

1. Weights as constants. Files may hold them as float16 behind a Cast (networks/onnx_half.py); ONNX Runtime folds such
   casts when it loads a file, TensorRT would see a convolution whose weights another layer computes.
2. Bytes are cast first: TensorRT takes uint8 as an input of the network, but no layer other than a Cast may read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from hand_pose_ros.engines import onnx_wire as wire

# onnx.proto3: field numbers, and values of TensorProto.DataType.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_GRAPH_INITIALIZER: Final = 5
_GRAPH_INPUT: Final = 11
_GRAPH_OUTPUT: Final = 12
_GRAPH_VALUE_INFO: Final = 13
_NODE_KIND: Final = 4
_NODE_ATTRIBUTE: Final = 5
_TENSOR_NAME: Final = 8
_FLOAT: Final = 1
_UINT8: Final = 2
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
    message: memoryview


def prepare(model: bytes) -> bytes:
    """The same ONNX file as TensorRT wants it; what needs no change is kept byte for byte.

    Raises:
        hand_pose_ros.engines.onnx_wire.WireError: the bytes are no ONNX file.
    """
    return b"".join(
        wire.encode(_MODEL_GRAPH, _graph(item.content)) if item.number == _MODEL_GRAPH else bytes(item.raw)
        for item in wire.fields(memoryview(model))
    )


def _graph(graph: memoryview) -> bytes:
    items = list(wire.fields(graph))
    nodes = {place: _node(item.content) for place, item in enumerate(items) if item.number == _GRAPH_NODE}
    outputs = {_text(item.content, 1) for item in items if item.number == _GRAPH_OUTPUT}
    changed = {**_wide_weights(items, nodes, outputs), **_bytes_first(items, nodes, outputs)}
    return b"".join(changed.get(place, bytes(item.raw)) for place, item in enumerate(items))


def _wide_weights(items: Sequence[wire.Field], nodes: Mapping[int, _Node], outputs: set[str]) -> dict[int, bytes]:
    """Every Cast of a float16 constant to float32 as a constant; the float16 one goes where nothing else reads it."""
    tensors = {place: _tensor(item.content) for place, item in enumerate(items) if item.number == _GRAPH_INITIALIZER}
    halves = {item.name: item for item in tensors.values() if item.kind == _FLOAT16 and item.raw is not None}
    casts = {
        place: node
        for place, node in nodes.items()
        if node.kind == "Cast" and node.to == _FLOAT and node.inputs[0] in halves
    }
    read = {name for place, node in nodes.items() if place not in casts for name in node.inputs} | outputs
    replaced = {node.inputs[0] for node in casts.values()} - read
    changed = {
        place: wire.encode(_GRAPH_INITIALIZER, _widened(node.outputs[0], halves[node.inputs[0]]))
        for place, node in casts.items()
    }
    return {**changed, **{place: b"" for place, item in tensors.items() if item.name in replaced}}


def _bytes_first(items: Sequence[wire.Field], nodes: Mapping[int, _Node], outputs: set[str]) -> dict[int, bytes]:
    """Transpose then Cast of a uint8 input as Cast then Transpose: the two nodes exchange what they do."""
    inputs = [item.content for item in items if item.number == _GRAPH_INPUT]
    images = {_text(item, 1) for item in inputs if _element_type(item) == _UINT8}
    readers = Counter(name for node in nodes.values() for name in node.inputs)
    changed: dict[int, bytes] = {}
    for place, node in nodes.items():
        if node.kind != "Transpose" or node.inputs[0] not in images:
            continue
        (between,) = node.outputs
        after = [where for where, other in nodes.items() if other.inputs[:1] == [between] and other.kind == "Cast"]
        if len(after) != 1 or readers[between] != 1 or between in outputs:
            continue
        cast = nodes[after[0]]
        changed[place] = wire.encode(_GRAPH_NODE, _doing(node.message, cast.message))
        changed[after[0]] = wire.encode(_GRAPH_NODE, _doing(cast.message, node.message))
        told = [
            where
            for where, item in enumerate(items)
            if item.number == _GRAPH_VALUE_INFO and _text(item.content, 1) == between
        ]
        changed.update((where, b"") for where in told)  # its type and shape are others now
    return changed


def _doing(node: memoryview, other: memoryview) -> bytes:
    """A node with its own name, inputs and outputs, which does what another node does."""
    action = (_NODE_KIND, _NODE_ATTRIBUTE)
    own = [bytes(item.raw) for item in wire.fields(node) if item.number not in action]
    return b"".join([*own, *(bytes(item.raw) for item in wire.fields(other) if item.number in action)])


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
        elif item.number == _TENSOR_NAME:
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
        elif item.number == _NODE_KIND:
            kind = item.text
        elif item.number == _NODE_ATTRIBUTE and _text(item.content, 1) == "to":
            to = next((entry.integer for entry in wire.fields(item.content) if entry.number == 3), None)
    return _Node(inputs, outputs, kind, to, message)


def _element_type(value_info: memoryview) -> int:
    """ValueInfoProto: type 2 > tensor_type 1 > elem_type 1."""
    message = value_info
    for number in (2, 1):
        message = next((item.content for item in wire.fields(message) if item.number == number), memoryview(b""))
    return next((item.integer for item in wire.fields(message) if item.number == 1), 0)


def _text(message: memoryview, number: int) -> str:
    return next((item.text for item in wire.fields(message) if item.number == number), "")
