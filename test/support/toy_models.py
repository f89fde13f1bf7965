"""Two small real ONNX graphs with the contracts of the shipped models, which "see" coloured blobs.

A blob is a patch of depth readings. Green marks a right hand and blue a left one for the finder. The pose network puts
a fixed, asymmetric hand at the centroid of the depth readings in its crop; it takes the hand for one of the expected
side when the crop's right half is redder than its left half, so that mirroring matters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_TYPES = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.float32): TensorProto.FLOAT}


def toy_hand() -> NDArray[np.float32]:
    """A right hand (21, 3) metres about its mean, canonical joint order, fingers up, palm to the camera."""
    joints = np.zeros((21, 3))
    for finger, (x, angle) in enumerate([(0.03, 0.7), (0.025, 0.15), (0.005, 0.0), (-0.015, -0.1), (-0.03, -0.25)]):
        base = np.array([x, -0.03 if finger == 0 else -0.08, 0.0])
        direction = np.array([np.sin(angle), -np.cos(angle), -0.3])
        for k in range(4):
            joints[1 + 4 * finger + k] = base + direction * 0.025 * k
    return (joints - joints.mean(axis=0)).astype(np.float32)


class GraphBuilder:
    """Strings nodes together; every method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cast(self, value: str) -> str:
        return self.op("Cast", value, to=TensorProto.FLOAT)

    def sum(self, value: str, axes: list[int], keepdims: int = 1) -> str:
        return self.op("ReduceSum", value, self.constant(axes, np.int64), keepdims=keepdims)

    def pick(self, value: str, axis: int, start: int, stop: int) -> str:
        bounds = [self.constant([number], np.int64) for number in (start, stop, axis)]
        return self.op("Slice", value, *bounds)

    def reshape(self, value: str, shape: list[int], output: str | None = None) -> str:
        return self.op("Reshape", value, self.constant(shape, np.int64), output=output)

    def save(
        self,
        path: Path,
        inputs: dict[str, tuple[tuple[int, ...], type]],
        outputs: dict[str, tuple[int, ...]],
        metadata: dict[str, str] | None = None,
    ) -> Path:
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info(n, _TYPES[np.dtype(t)], s) for n, (s, t) in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


HAND_INPUTS = {
    "rgb": ((1, 128, 128, 3), np.uint8),
    "depth": ((1, 128, 128), np.float32),
    "center": ((1, 3), np.float32),
    "crop_matrix": ((1, 3, 3), np.float32),
    "cube": ((1, 3), np.float32),
    "intrinsics": ((1, 4), np.float32),
}
HAND_OUTPUTS = {"joints": (1, 21, 3), "joint_std": (1, 21), "score": (1,), "side": (1,)}
FINDER_INPUTS = {
    "rgb": ((1, 120, 160, 3), np.uint8),
    "depth": ((1, 120, 160), np.float32),
    "intrinsics": ((1, 4), np.float32),
}
FINDER_OUTPUTS = {"heatmap": (1, 2, 30, 40), "center": (1, 2, 3, 30, 40)}


def hand_model(path: Path, *, std: float = 0.005, spoil: float = 0.0) -> Path:
    """The toy pose network as an .onnx file. `spoil` is added to every joint (NaN for a broken network)."""
    g = GraphBuilder()
    z0 = g.pick("center", 1, 2, 3)  # (1, 1)
    reach = g.op("Mul", g.pick("cube", 1, 2, 3), g.constant(0.5))
    near = g.op("Less", g.op("Abs", g.op("Sub", "depth", g.reshape(z0, [1, 1, 1]))), g.reshape(reach, [1, 1, 1]))
    valid = g.op("Mul", g.cast(near), g.cast(g.op("Greater", "depth", g.constant(0.0))))
    count = g.sum(valid, [1, 2], 0)  # (1,)
    weight = g.op("Add", count, g.constant(1e-6))
    z = g.op("Div", g.sum(g.op("Mul", valid, "depth"), [1, 2], 0), weight)
    axes = []
    matrix, camera = g.reshape("crop_matrix", [9]), g.reshape("intrinsics", [4])
    for axis, shape in ((0, (1, 1, 128)), (1, (1, 128, 1))):
        grid = g.constant(np.arange(128, dtype=np.float32).reshape(shape))
        mean = g.op("Div", g.sum(g.op("Mul", valid, grid), [1, 2], 0), weight)
        scale, shift = (g.pick(matrix, 0, i, i + 1) for i in (4 * axis, 3 * axis + 2))
        pixel = g.op("Div", g.op("Sub", mean, shift), scale)
        focal, middle = g.pick(camera, 0, axis, axis + 1), g.pick(camera, 0, 2 + axis, 3 + axis)
        axes.append(g.op("Mul", g.op("Div", g.op("Sub", pixel, middle), focal), z))
    place = g.reshape(g.op("Concat", *axes, z, axis=0), [1, 1, 3])
    spoiled = g.op("Add", place, g.constant(spoil))
    g.op("Add", spoiled, g.constant(toy_hand()[None]), output="joints")
    g.op("Add", g.op("Mul", g.sum("joints", [2], 0), g.constant(0.0)), g.constant(std), output="joint_std")
    g.op("Clip", g.op("Div", count, g.constant(500.0)), g.constant(0.0), g.constant(0.97), output="score")
    red = g.op("Mul", g.cast(g.pick("rgb", 3, 0, 1)), g.constant(1.0 / 255))
    sign = np.where(np.arange(128) < 64, -1.0, 1.0).reshape(1, 1, 128, 1)
    lean = g.op("Div", g.sum(g.op("Mul", red, g.constant(sign)), [1, 2, 3], 0), g.constant(200.0))
    g.op("Clip", g.op("Add", lean, g.constant(0.5)), g.constant(0.02), g.constant(0.98), output="side")
    return g.save(path, HAND_INPUTS, HAND_OUTPUTS, {"model": "toy hand"})


def finder_model(path: Path, *, spoil: float = 0.0) -> Path:
    """The toy hand finder as an .onnx file. `spoil` is added to every centre."""
    g = GraphBuilder()
    depth = g.reshape("depth", [1, 1, 120, 160])
    valid = g.cast(g.op("Greater", depth, g.constant(0.0)))
    color = g.op("Transpose", "rgb", perm=[0, 3, 1, 2])
    marks = g.op("Mul", g.cast(g.pick(color, 1, 1, 3)), g.constant(1.0 / 255))
    cells = g.op("AveragePool", g.op("Mul", valid, marks), kernel_shape=[4, 4], strides=[4, 4])
    g.op("AveragePool", cells, kernel_shape=[7, 7], pads=[3, 3, 3, 3], count_include_pad=1, output="heatmap")
    amount = g.op("AveragePool", valid, kernel_shape=[4, 4], strides=[4, 4])
    total = g.op("AveragePool", g.op("Mul", valid, depth), kernel_shape=[4, 4], strides=[4, 4])
    z = g.op("Div", total, g.op("Add", amount, g.constant(1e-6)))
    camera = g.reshape("intrinsics", [4])
    points = []
    for axis, (count, shape) in enumerate(((40, (1, 1, 1, 40)), (30, (1, 1, 30, 1)))):
        pixels = g.constant((4.0 * np.arange(count) + 1.5).reshape(shape))
        focal, middle = g.pick(camera, 0, axis, axis + 1), g.pick(camera, 0, 2 + axis, 3 + axis)
        points.append(g.op("Mul", g.op("Div", g.op("Sub", pixels, middle), focal), z))
    place = g.op("Add", g.op("Concat", *points, z, axis=1), g.constant(spoil))
    one_side = g.reshape(place, [1, 1, 3, 30, 40])
    g.op("Concat", one_side, one_side, axis=1, output="center")
    return g.save(path, FINDER_INPUTS, FINDER_OUTPUTS, {"model": "toy finder"})
