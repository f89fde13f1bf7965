"""ONNX's operators (opset 17) in torch, as far as our exported graphs use them; each node becomes one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hand_pose_ros.engines.base import EngineError

# What a node computes: its inputs (None where one is left out) to its outputs.
Function = Callable[..., Any]


class Node:
    """A node while its function is made: attributes, and those of its inputs that are constants."""

    def __init__(self, kind: str, attributes: Mapping[str, Any], constants: Sequence[np.ndarray | None]) -> None:
        self.kind = kind
        self.attributes = attributes
        self._constants = constants

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def ints(self, place: int, attribute: str = "") -> list[int] | None:
        """Whole numbers given as a constant input or as an attribute; None where neither is."""
        if place < len(self._constants) and self._constants[place] is not None:
            return [int(value) for value in np.asarray(self._constants[place]).reshape(-1)]
        value = self.attributes.get(attribute)
        return None if value is None else [int(item) for item in value]

    def numbers(self, place: int) -> list[float] | None:
        """A constant input as numbers."""
        if place < len(self._constants) and self._constants[place] is not None:
            return [float(value) for value in np.asarray(self._constants[place]).reshape(-1)]
        return None

    def demand(self, holds: bool, what: str) -> None:
        """Raise `EngineError` for what is not done here."""
        if not holds:
            raise EngineError(f"torch: {self.kind} {what} is not done here; run the file on onnxruntime")


def function_of(node: Node) -> Function:
    """The torch function of a node.

    Raises:
        EngineError: an operator or a way of it that our graphs do not use.
    """
    if node.kind in _DIRECT:
        return _DIRECT[node.kind]
    if node.kind not in _MADE:
        raise EngineError(f"torch: the operator {node.kind} is not known here; run the file on onnxruntime")
    return _MADE[node.kind](node)


def _padding(node: Node, dimensions: int) -> tuple[int, ...]:
    node.demand(node.get("auto_pad", "NOTSET") == "NOTSET", "with auto_pad")
    pads = node.get("pads") or [0] * (2 * dimensions)
    node.demand(list(pads[:dimensions]) == list(pads[dimensions:]), "with uneven padding")
    return tuple(pads[:dimensions])


def _convolution(node: Node) -> Function:
    size = len(node.get("kernel_shape"))
    padding, ones = _padding(node, size), [1] * size
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[size - 1]
    stride, dilation, group = (node.get(key, default) for key, default in _ways(ones))
    return lambda x, w, b=None: run(x, w, b, tuple(stride), padding, tuple(dilation), group)


def _ways(ones: list[int]) -> tuple[tuple[str, Any], ...]:
    return ("strides", ones), ("dilations", ones), ("group", 1)


def _transposed(node: Node) -> Function:
    node.demand(len(node.get("kernel_shape")) == 2, "but in two dimensions")
    padding, out = _padding(node, 2), tuple(node.get("output_padding", (0, 0)))
    stride, dilation, group = (node.get(key, default) for key, default in _ways([1, 1]))
    return lambda x, w, b=None: functional.conv_transpose2d(
        x, w, b, tuple(stride), padding, out, group, tuple(dilation)
    )


def _pooling(node: Node) -> Function:
    kernel = tuple(node.get("kernel_shape"))
    node.demand(len(kernel) == 2, "but in two dimensions")
    stride, padding = tuple(node.get("strides", (1, 1))), _padding(node, 2)
    ceil = bool(node.get("ceil_mode", 0))
    if node.kind == "MaxPool":
        dilation = tuple(node.get("dilations", (1, 1)))
        return lambda x: functional.max_pool2d(x, kernel, stride, padding, dilation, ceil)
    counts = bool(node.get("count_include_pad", 0))
    return lambda x: functional.avg_pool2d(x, kernel, stride, padding, ceil, counts)


def _gemm(node: Node) -> Function:
    turn_a, turn_b = node.get("transA", 0), node.get("transB", 0)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    node.demand(alpha == 1.0 and beta == 1.0, "with factors")

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.T if turn_a else a) @ (b.T if turn_b else b)
        return product if c is None else product + c

    return run


def _resize(node: Node) -> Function:
    mode, way = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    linear = mode == "linear" and way in ("half_pixel", "pytorch_half_pixel")
    nearest = mode == "nearest" and way == "asymmetric" and node.get("nearest_mode") == "floor"
    node.demand(linear or nearest, f"{mode}, {way}")
    sizes, scales = node.ints(3), node.numbers(2)
    node.demand(bool(sizes) != bool(scales), "without constant sizes")
    options = {"mode": "bilinear", "align_corners": False} if linear else {"mode": "nearest"}

    def run(x: Tensor, *_: Any) -> Tensor:
        if sizes:
            return functional.interpolate(x, size=tuple(sizes[2:]), **options)  # type: ignore[arg-type]
        assert scales is not None
        size = tuple(int(side * scale) for side, scale in zip(x.shape[2:], scales[2:], strict=True))
        return functional.interpolate(x, size=size, **options)  # type: ignore[arg-type]

    return run


def _reshape(node: Node) -> Function:
    shape = node.ints(1)
    node.demand(shape is not None, "to a shape found at run time")
    assert shape is not None
    return lambda x, *_: x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])


def _slice(node: Node) -> Function:
    starts, ends = node.ints(1), node.ints(2)
    node.demand(starts is not None and ends is not None, "found at run time")
    assert starts is not None and ends is not None
    axes = node.ints(3) or list(range(len(starts)))
    steps = node.ints(4) or [1] * len(starts)
    node.demand(min(steps) > 0, "backwards")
    parts = dict(zip(axes, map(slice, starts, ends, steps), strict=True))

    def run(x: Tensor, *_: Any) -> Tensor:
        index = [slice(None)] * x.ndim
        for axis, part in parts.items():
            index[axis] = part
        return x[tuple(index)]

    return run


def _gather(node: Node) -> Function:
    axis = node.get("axis", 0)

    def run(x: Tensor, index: Tensor) -> Tensor:
        flat = index.reshape(-1)
        taken = x.index_select(axis, torch.where(flat < 0, flat + x.shape[axis], flat))
        place = axis % x.ndim
        return taken.reshape(*x.shape[:place], *index.shape, *x.shape[place + 1 :])

    return run


def _split(node: Node) -> Function:
    sizes, axis = node.ints(1, "split"), node.get("axis", 0)
    node.demand(sizes is not None, "without sizes")
    return lambda x, *_: torch.split(x, sizes, axis)  # type: ignore[arg-type, no-untyped-call]


def _squeeze(node: Node) -> Function:
    axes = node.ints(1, "axes")
    return (lambda x, *_: x.squeeze()) if axes is None else (lambda x, *_: x.squeeze(tuple(axes)))


def _unsqueeze(node: Node) -> Function:
    axes = node.ints(1, "axes") or []

    def run(x: Tensor, *_: Any) -> Tensor:
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return run


def _reduce(node: Node) -> Function:
    axes, keep = node.ints(1, "axes"), bool(node.get("keepdims", 1))
    functions: dict[str, Function] = {"Sum": torch.sum, "Mean": torch.mean, "Max": torch.amax, "Min": torch.amin}
    run = functions[node.kind[6:]]
    return lambda x, *_: run(x, dim=tuple(range(x.ndim)) if axes is None else tuple(axes), keepdim=keep)


def _clip(node: Node) -> Function:
    return lambda x, low=None, high=None: torch.clamp(x, low, high)


def _topk(node: Node) -> Function:
    count, axis, largest = node.ints(1), node.get("axis", -1), bool(node.get("largest", 1))
    node.demand(count is not None and node.get("sorted", 1) == 1, "unsorted or of a number found at run time")
    assert count is not None
    return lambda x, _: tuple(torch.topk(x, count[0], axis, largest, sorted=True))


def _grid_sample(node: Node) -> Function:
    mode, padding = node.get("mode", "bilinear"), node.get("padding_mode", "zeros")
    corners = bool(node.get("align_corners", 0))
    return lambda x, grid: functional.grid_sample(x, grid, mode, padding, corners)


def _layer_norm(node: Node) -> Function:
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, bias=None: functional.layer_norm(x, scale.shape, scale, bias, epsilon)


def _expand(node: Node) -> Function:
    shape = node.ints(1)
    node.demand(shape is not None, "to a shape found at run time")
    assert shape is not None

    def run(x: Tensor, *_: Any) -> Tensor:
        # ONNX's way: a size of 1 in the wanted shape keeps the tensor's own.
        own = (1,) * (len(shape) - x.ndim) + tuple(x.shape)
        wanted = (1,) * (x.ndim - len(shape)) + tuple(shape)
        return x.expand([max(pair) for pair in zip(own, wanted, strict=True)])

    return run


def _pad(node: Node) -> Function:
    pads, value = node.ints(1), node.numbers(2) or [0.0]
    node.demand(pads is not None and node.get("mode", "constant") == "constant", "but with a constant")
    assert pads is not None
    rank = len(pads) // 2
    order = [pads[axis + end] for axis in reversed(range(rank)) for end in (0, rank)]
    return lambda x, *_: functional.pad(x, order, value=value[0])


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _axis(run: Callable[[Tensor, int], Any], default: int) -> Callable[[Node], Function]:
    return lambda node: lambda x, *_: run(x, node.get("axis", default))


def _flatten(x: Tensor, axis: int) -> Tensor:
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _argmax(node: Node) -> Function:
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    return lambda x: x.argmax(axis, keepdim=keep)


_DIRECT: Final[Mapping[str, Function]] = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "Cos": torch.cos, "Div": _divide, "Equal": torch.eq,
    "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "Identity": lambda x: x, "Less": torch.lt, "LessOrEqual": torch.le, "Log": torch.log, "MatMul": torch.matmul,
    "Max": torch.maximum, "Min": torch.minimum, "Mod": torch.remainder, "Mul": torch.mul, "Neg": torch.neg,
    "Not": torch.logical_not, "Or": torch.logical_or, "Pow": torch.pow, "Reciprocal": torch.reciprocal,
    "Relu": torch.relu, "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin,
    "Softplus": functional.softplus, "Sqrt": torch.sqrt, "Sub": torch.sub, "Tanh": torch.tanh, "Where": torch.where,
    "GlobalAveragePool": lambda x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True),
}  # fmt: skip
_MADE: Final[Mapping[str, Callable[[Node], Function]]] = {
    "ArgMax": _argmax,
    "AveragePool": _pooling,
    "Clip": _clip,
    "Concat": lambda node: lambda *parts: torch.cat(parts, dim=node.get("axis")),
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "CumSum": lambda node: lambda x, _: torch.cumsum(x, (node.ints(1) or [0])[0]),
    "Expand": _expand,
    "Flatten": _axis(_flatten, 1),
    "Gather": _gather,
    "GatherElements": lambda node: lambda x, index: torch.gather(x, node.get("axis", 0), index),
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node: lambda x: functional.leaky_relu(x, node.get("alpha", 0.01)),
    "MaxPool": _pooling,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Softmax": _axis(torch.softmax, -1),
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": lambda node: lambda x, *_: x.tile(node.ints(1) or []),
    "TopK": _topk,
    "Transpose": lambda node: lambda x: x.permute(node.get("perm")),
    "Unsqueeze": _unsqueeze,
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _reduce),
}
