"""What strongly typed TensorRT wants of an ONNX file, done to files that do not have it yet; the numbers stay the same.

1. Weights as constants. Files may hold them as float16 behind a Cast (networks/onnx_half.py); ONNX Runtime folds such
   casts when it loads a file, TensorRT would see a convolution whose weights another layer computes.
2. Bytes are cast first: TensorRT takes uint8 as an input of the network, but no layer other than a Cast may read it.
"""

from __future__ import annotations

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
# Operators that only move values about.
_MOVES: Final = ("Transpose", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Split", "Identity")


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
    """One Cast to float32 for each uint8 input that others read; the casts that follow do nothing then."""
    inputs = [item.content for item in items if item.number == _GRAPH_INPUT]
    changed: dict[int, bytes] = {}
    for image in sorted(_text(item, 1) for item in inputs if _element_type(item) == _UINT8):
        readers = [place for place, node in nodes.items() if image in node.inputs]
        moved = _moved(image, nodes)
        if moved is None or moved & outputs or all(nodes[place].kind == "Cast" for place in readers):
            continue
        name = f"{image}.float"
        for place in readers:
            changed[place] = wire.encode(_GRAPH_NODE, _reading(nodes[place].message, image, name))
        changed[readers[0]] = wire.encode(_GRAPH_NODE, _cast(image, name)) + changed[readers[0]]
        told = (place for place, item in enumerate(items) if item.number == _GRAPH_VALUE_INFO)
        changed.update((place, b"") for place in told if _text(items[place].content, 1) in moved)  # other types now
    return changed


def _moved(image: str, nodes: Mapping[int, _Node]) -> set[str] | None:
    """The image and what only moves its values about, up to the casts; None where something computes with bytes."""
    moved = {image}
    for node in nodes.values():  # a graph's nodes are in order
        if moved & set(node.inputs) and node.kind != "Cast":
            if node.kind not in _MOVES or moved & set(node.inputs[1:]):
                return None
            moved.update(node.outputs)
    return moved


def _reading(node: memoryview, name: str, other: str) -> bytes:
    """A node that reads `other` where it read `name`."""
    return b"".join(
        wire.encode(1, other.encode()) if item.number == 1 and item.text == name else bytes(item.raw)
        for item in wire.fields(node)
    )


def _cast(name: str, output: str) -> bytes:
    """NodeProto of a Cast to float32; AttributeProto: name 1, i 3, type 20 (2 is an integer)."""
    attribute = wire.encode(1, b"to") + wire.encode_integer(3, _FLOAT) + wire.encode_integer(20, 2)
    ends = wire.encode(1, name.encode()) + wire.encode(2, output.encode())
    return ends + wire.encode(3, output.encode()) + wire.encode(_NODE_KIND, b"Cast") + wire.encode(5, attribute)


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
