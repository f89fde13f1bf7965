"""Half precision written into the graph: every tensor's type stands in the file, no engine chooses one.

TensorRT 11 knows no precision flags: a network computes in the types its file names ("strong typing"), and TensorRT 10
does the same when it is asked to. The converter of onnxruntime.transformers casts the graph's inputs to half and back
before anything reads them; a camera's matrix is then no longer what it was. Here learned layers become half, and with
them what lies between; everything that has touched a coordinate stays single.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hand_pose_ros.networks.onnx_graph import MOVES, constants, drop_unread, element_types, replace_nodes

if TYPE_CHECKING:
    import onnx

# Layers with weights; a product with fewer constants than this is geometry (a rotation, a camera), not a layer.
_LAYERS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MIN_WEIGHTS: Final = 64
# Half when everything they read is. Not among them: GridSample, LayerNormalization, Softmax, sums, roots, exponentials.
_SIMPLE: Final = MOVES | {"Add", "Div", "MaxPool", "Mul", "Pad", "Relu", "Sub"}
_FOLLOW: Final = _SIMPLE | {"AveragePool", "Erf", "LeakyRelu", "MatMul", "Resize", "Sigmoid", "Tanh"}
# Half precision makes neighbouring pixels of a heat map equal: the layer before a choice stays single.
_CHOICES: Final = {"ArgMax", "ArgMin", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "TopK"}
_BEFORE_CHOICE: Final = _SIMPLE | {"Clip", "Max", "Min", "Where"}
# Inputs that are data; those of other operators all are.
_DATA: Final = {"Resize": 1, "Slice": 1, "Split": 1, "Gather": 1, "GatherElements": 1, "Expand": 1, "Tile": 1}
_LARGEST: Final = float(np.finfo(np.float16).max)


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A folded graph (`onnx_graph.folded`) with its learned layers in float16 and a Cast wherever the type changes.

    Inputs and outputs keep their types. The metadata says "precision: fp16".

    Raises:
        ImportError: the package `onnx` is missing.
        ValueError: a weight is too large for float16 (65504).
    """
    import onnx

    result = type(model).FromString(model.SerializeToString())
    writer = _Writer(result)
    replace_nodes(result.graph, writer.nodes())
    drop_unread(result.graph)
    kept = {item.key: item.value for item in result.metadata_props}
    onnx.helper.set_model_props(result, {**kept, "precision": "fp16"})
    result = onnx.shape_inference.infer_shapes(result, strict_mode=True)
    onnx.checker.check_model(result, full_check=True)
    return result


class _Writer:
    """Writes a graph's nodes anew, with casts and half constants."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self._onnx = onnx
        self._graph = model.graph
        self._types = element_types(model)
        self._values = constants(model.graph)
        self._half_nodes = learned_nodes(model)
        self._half: set[str] = set()
        self._made: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes of the half graph, in order."""
        outputs = {item.name for item in self._graph.output}
        for index, node in enumerate(self._graph.node):
            half = index in self._half_nodes
            for place in _data_inputs(node):
                node.input[place] = self._as(node.input[place], half)
            self._nodes.append(node)
            for place, name in enumerate(node.output):
                if not half or self._types.get(name) != self._onnx.TensorProto.FLOAT:
                    continue
                self._half.add(name)
                if name in outputs:
                    node.output[place] = f"{name}.half"
                    self._cast(f"{name}.half", name, half=False)
                    self._half.remove(name)
        return self._nodes

    def _as(self, name: str, half: bool) -> str:
        """The tensor's name in the wanted type, made where it is not there yet."""
        if not name or self._types.get(name) != self._onnx.TensorProto.FLOAT or (name in self._half) == half:
            return name
        other = f"{name}.{'half' if half else 'single'}"
        if other not in self._made:
            self._made.add(other)
            if name in self._values:
                value = _checked(name, self._values[name]).astype(np.float16)
                self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, other))
            else:
                self._cast(name, other, half)
        return other

    def _cast(self, source: str, target: str, half: bool) -> None:
        kind = self._onnx.TensorProto.FLOAT16 if half else self._onnx.TensorProto.FLOAT
        self._nodes.append(self._onnx.helper.make_node("Cast", [source], [target], f"{target}.cast", to=kind))


def learned_nodes(model: onnx.ModelProto) -> set[int]:
    """The nodes, by their place, that are learned layers or lie between such; fit for fewer bits."""
    import onnx

    graph = model.graph
    types, values = element_types(model), constants(graph)
    chosen_from = _chosen_from(graph)
    half: set[str] = set()
    chosen, layers = set(), set()
    for index, node in enumerate(graph.node):
        data = [node.input[place] for place in _data_inputs(node)]
        floats = [name for name in data if types.get(name) == onnx.TensorProto.FLOAT]
        fixed = [values[name] for name in floats if name in values]
        moving = [name for name in floats if name not in values]
        if chosen_from.intersection(node.output):
            continue
        if node.op_type in _LAYERS and any(value.size >= _MIN_WEIGHTS and value.ndim >= 2 for value in fixed):
            layers.add(index)
        elif not (node.op_type in _FOLLOW and moving and half.issuperset(moving) and all(map(_narrow, fixed))):
            continue
        chosen.add(index)
        half.update(node.output)
    return _without_tails(graph, chosen, layers)


def _chosen_from(graph: onnx.GraphProto) -> set[str]:
    """Tensors whose values decide a choice, with nothing but simple operators between."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in _CHOICES or (node.op_type in _BEFORE_CHOICE and found.intersection(node.output)):
            found.update(node.input)
    return found


def _without_tails(graph: onnx.GraphProto, chosen: set[int], layers: set[int]) -> set[int]:
    """Nodes that are no layers and lead to none stay single: the cast comes right after the last layer."""
    wanted: set[str] = set()
    kept = set()
    for index in sorted(chosen, reverse=True):
        node = graph.node[index]
        if index in layers or wanted.intersection(node.output):
            kept.add(index)
            wanted.update(node.input)
    return kept


def _narrow(value: np.ndarray) -> bool:
    """A number or one per channel; tables of two dimensions are coordinates."""
    return sum(size > 1 for size in value.shape) <= 1 and bool((np.abs(value) <= _LARGEST).all())


def _data_inputs(node: onnx.NodeProto) -> range:
    return range(min(len(node.input), _DATA.get(node.op_type, len(node.input))))


def _checked(name: str, value: np.ndarray) -> np.ndarray:
    if np.abs(value).max(initial=0.0) > _LARGEST:
        raise ValueError(f"expected weights below 65504 for float16, {name} has {np.abs(value).max():g}; train it anew")
    return value
