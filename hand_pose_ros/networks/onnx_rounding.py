"""What a half-precision graph would say on a machine that computes in half, told by one that does not.

ONNX Runtime's CPU takes the casts of a float16 graph away and computes in float32 (measured: not a bit of difference to
the float32 graph), so that running it there says nothing about its precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hand_pose_ros.networks.onnx_graph import MOVES, element_types, replace_nodes

if TYPE_CHECKING:
    import onnx

# Values that are float16 already stay so in these.
_EXACT: Final = MOVES | {"MaxPool", "Pad", "Relu"}
# Veltkamp's splitting: c = x (2^13 + 1), and c - (c - x) is x rounded to 24 - 13 = 11 bits, those of float16.
_SPLIT: Final = float(2**13 + 1)


def rounding_twin(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 graph that rounds every tensor which is float16 in `model`, as float16 stores it.

    Sums inside a layer are not rounded, as in the tensor cores of a GPU. Left out: the coarser steps below 6e-5, and
    what happens beyond 65504 (compare the results: it does not stay small).

    Raises:
        ImportError: the package `onnx` is missing.
    """
    import onnx

    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    graph, types = twin.graph, element_types(model)
    half = {name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT16}
    for item in graph.initializer:
        if item.name in half:
            value = onnx.numpy_helper.to_array(item).astype(np.float32)
            item.CopyFrom(onnx.numpy_helper.from_array(value, item.name))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(_SPLIT, dtype=np.float32), "float16.split"))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type == "Cast" and {*node.input, *node.output} & half:
            kept = onnx.helper.make_node("Identity", node.input, node.output, node.name)
            node.CopyFrom(kept)
        elif node.op_type in _EXACT:
            continue
        for place, name in enumerate(node.output):
            if name in half:
                node.output[place] = f"{name}.exact"
                nodes.extend(_rounded(f"{name}.exact", name))
    replace_nodes(graph, nodes)
    del graph.value_info[:]
    onnx.checker.check_model(twin)
    return twin


def _rounded(source: str, target: str) -> list[onnx.NodeProto]:
    import onnx

    make = onnx.helper.make_node
    large, rest = f"{target}.large", f"{target}.rest"
    return [
        make("Mul", [source, "float16.split"], [large]),
        make("Sub", [large, source], [rest]),
        make("Sub", [large, rest], [target]),
    ]
