"""What TensorRT 10.3 to 11 takes of ONNX, as far as our graphs may use it, and whether a graph keeps to it.

Facts: the operator tables of onnx-tensorrt for TensorRT 9.2 and 10.15 (docs/operators.md); where they differ, the
narrower one. Known to be wrong in some version: GridSample with opset 20's names of the modes (NVIDIA/TensorRT #4646).
Operators of data-dependent shape (NonZero, NonMaxSuppression) are supported but rule out CUDA graphs: not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hand_pose_ros.networks.onnx_graph import constants

if TYPE_CHECKING:
    import onnx

FLOAT: Final = frozenset(("float", "float16"))
NUMBER: Final = FLOAT | {"int32", "int64"}
ANY: Final = NUMBER | {"bool"}
BOOL: Final = frozenset(("bool",))
OPSETS: Final = range(9, 19)  # from 20 on GridSample's modes have other names, which its importer does not know
MAX_TOPK: Final = 3839


@dataclass(frozen=True)
class Seen:
    """A node with what is known of its tensors: attributes, constants by place, element types and ranks by place."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    values: Mapping[int, np.ndarray]
    types: tuple[str, ...]
    ranks: tuple[int | None, ...]

    def constant(self, place: int) -> bool:
        """Whether the input at this place is a constant or is not given."""
        return place >= len(self.node.input) or not self.node.input[place] or place in self.values


Restriction = Callable[[Seen], bool]


@dataclass(frozen=True)
class Operator:
    """Element types of the data that an operator takes, and what else must hold, by its words."""

    types: frozenset[str]
    restrictions: Mapping[str, Restriction]


def _takes(types: frozenset[str], **restrictions: Restriction) -> Operator:
    return Operator(types, {text.replace("_", " "): holds for text, holds in restrictions.items()})


def _flat_pooling(seen: Seen) -> bool:
    return len(seen.attributes.get("kernel_shape", ())) in (2, 3) and all(
        size == 1 for size in seen.attributes.get("dilations", ())
    )


def _resize(seen: Seen) -> bool:
    mode = seen.attributes.get("coordinate_transformation_mode", "half_pixel")
    known = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
    nearest = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    return (
        mode in known
        and seen.attributes.get("mode", "nearest") in ("nearest", "linear")
        and seen.attributes.get("nearest_mode", "round_prefer_floor") in nearest
        and not seen.attributes.get("antialias", 0)
        and seen.attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch"
        and "axes" not in seen.attributes
    )


_AXES_CONSTANT: Final[Mapping[str, Restriction]] = {"axes_must_be_constant": lambda seen: seen.constant(1)}
_PLAIN: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (FLOAT, "BatchNormalization Ceil Clip Conv ConvTranspose Cos Elu Erf Exp Floor Gelu Gemm GlobalAveragePool"),
    (
        FLOAT,
        "GlobalMaxPool HardSigmoid HardSwish InstanceNormalization LeakyRelu Log LogSoftmax MatMul PRelu Reciprocal",
    ),
    (FLOAT, "Round Sigmoid Sin Softmax Softplus Sqrt Tan Tanh"),
    (
        NUMBER,
        "Abs Add ArgMax ArgMin Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Neg Pad Pow",
    ),
    (NUMBER, "Relu Sign Sub Sum Range DepthToSpace SpaceToDepth ScatterElements"),
    (ANY, "Concat Constant Expand Flatten Gather GatherElements GatherND Identity Reshape Shape Size Split Tile"),
    (ANY, "Transpose Trilu Where"),
    (BOOL, "And Not Or Xor"),
)
OPERATORS: Final[Mapping[str, Operator]] = {
    **{name: Operator(types, {}) for types, names in _PLAIN for name in names.split()},
    **{
        f"Reduce{name}": _takes(NUMBER, **_AXES_CONSTANT)
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
    **{name: _takes(ANY, **_AXES_CONSTANT) for name in ("Squeeze", "Unsqueeze")},
    # Bytes may be read by nothing else.
    "Cast": Operator(ANY | {"uint8"}, {}),
    "AveragePool": _takes(FLOAT, two_or_three_dimensions_without_dilation=_flat_pooling),
    "ConstantOfShape": _takes(frozenset(("int64",)), shape_must_be_constant=lambda seen: seen.constant(0)),
    "CumSum": _takes(FLOAT, axis_must_be_constant=lambda seen: seen.constant(1)),
    "Einsum": _takes(
        FLOAT,
        no_ellipsis_and_no_diagonal=lambda seen: (
            "." not in seen.attributes["equation"]
            and all(len(set(term)) == len(term) for term in seen.attributes["equation"].split("->")[0].split(","))
        ),
    ),
    "GridSample": _takes(
        FLOAT,
        four_dimensions_and_bilinear_or_nearest=lambda seen: (
            seen.ranks[0] == 4 and seen.attributes.get("mode", "bilinear") in ("bilinear", "nearest")
        ),
    ),
    "LayerNormalization": _takes(
        FLOAT, only_the_first_output=lambda seen: sum(bool(name) for name in seen.node.output) == 1
    ),
    "MaxPool": _takes(
        FLOAT,
        two_or_three_dimensions_without_dilation=_flat_pooling,
        no_indices=lambda seen: len(seen.node.output) == 1,
    ),
    "OneHot": _takes(ANY, depth_must_be_constant=lambda seen: seen.constant(1)),
    "Resize": _takes(FLOAT, known_modes_stretched_without_antialiasing=_resize),
    "ScatterND": _takes(NUMBER, no_reduction=lambda seen: seen.attributes.get("reduction", "none") == "none"),
    "Slice": _takes(ANY, axes_must_be_constant=lambda seen: seen.constant(3)),
    "TopK": _takes(
        NUMBER,
        sorted_with_a_constant_number_below_3840=lambda seen: (
            seen.attributes.get("sorted", 1) == 1 and 1 in seen.values and int(seen.values[1].max()) <= MAX_TOPK
        ),
    ),
}


def violations(model: onnx.ModelProto) -> list[str]:
    """What TensorRT would refuse or get wrong, one line each; empty for a graph that keeps to the table.

    Raises:
        ImportError: the package `onnx` is missing.
    """
    found = []
    opset = max(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if opset not in OPSETS:
        found.append(f"opset {opset}: expected {OPSETS.start} to {OPSETS.stop - 1}")
    for seen in _nodes(model):
        what = f"{seen.node.op_type} {seen.node.name or seen.node.output[0]}"
        operator = OPERATORS.get(seen.node.op_type) if not seen.node.domain else None
        if operator is None:
            found.append(f"{what}: not in the table of operators")
            continue
        wrong = sorted(set(seen.types) - operator.types - {""})
        if wrong:
            found.append(f"{what}: expected {', '.join(sorted(operator.types))}, reads {', '.join(wrong)}")
        found += [f"{what}: {text}" for text, holds in operator.restrictions.items() if not holds(seen)]
    return found


def _nodes(model: onnx.ModelProto) -> Iterator[Seen]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = constants(graph)
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = _constant(node)
    known = {item.name: item.type.tensor_type for item in (*graph.value_info, *graph.input, *graph.output)}
    for node in graph.node:
        yield Seen(
            node=node,
            attributes={item.name: _attribute(item) for item in node.attribute},
            values={place: values[name] for place, name in enumerate(node.input) if name in values},
            types=tuple(_type(known, values, name) for name in node.input[: _data_inputs(node)]),
            ranks=tuple(len(known[name].shape.dim) if name in known else None for name in node.input),
        )


# Inputs after these are numbers that say how: sizes, axes, indices.
_DATA_INPUTS: Final = {
    **dict.fromkeys(("Expand", "Gather", "GatherElements", "GatherND", "OneHot", "Reshape", "Resize", "Slice"), 1),
    **dict.fromkeys(("Split", "Squeeze", "Tile", "TopK", "Unsqueeze", "CumSum", "Pad"), 1),
    **{f"Reduce{name}": 1 for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum")},
}


def _data_inputs(node: onnx.NodeProto) -> int:
    return _DATA_INPUTS.get(node.op_type, len(node.input))


def _type(known: Mapping[str, Any], values: Mapping[str, np.ndarray], name: str) -> str:
    import onnx

    if name in values:
        return {"float32": "float"}.get(values[name].dtype.name, values[name].dtype.name)
    if name not in known:
        return ""
    return str(onnx.TensorProto.DataType.Name(known[name].elem_type)).lower()


def _constant(node: onnx.NodeProto) -> np.ndarray:
    import onnx

    value = onnx.helper.get_attribute_value(node.attribute[0])
    return onnx.numpy_helper.to_array(value) if node.attribute[0].name == "value" else np.asarray(value)


def _attribute(item: onnx.AttributeProto) -> Any:
    import onnx

    value = onnx.helper.get_attribute_value(item)
    return value.decode() if isinstance(value, bytes) else value
