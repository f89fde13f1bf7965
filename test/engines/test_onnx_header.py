"""ONNX files read without the package onnx say what it says, and give the same numbers as TensorRT wants them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import toy_models
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.engines import onnx_wire
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.onnx_for_tensorrt import prepare
from hand_pose_ros.engines.onnx_header import read_header
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.engines.tensorrt_engine import example_inputs
from hand_pose_ros.engines.zoo import known_models

SHIPPED = sorted(known_models().items())


@pytest.mark.parametrize("path", [path for _, path in SHIPPED], ids=[name for name, _ in SHIPPED])
def test_of_the_shipped_models(path: Path) -> None:
    header, engine = read_header(path.read_bytes(), path.name), OnnxRuntimeEngine(path, 1)
    assert (header.inputs, header.outputs) == (engine.inputs, engine.outputs)
    assert header.metadata == engine.metadata and header.unread == frozenset()
    # What the first run of a TensorRT engine is judged by.
    outputs = engine.run(example_inputs(engine.inputs))
    assert all(np.isfinite(value).all() for value in outputs.values())


def byte_readers(model: bytes) -> set[str]:
    """The operators that read uint8 inputs."""
    graph = onnx.load_from_string(model).graph
    images = {item.name for item in graph.input if item.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    return {node.op_type for node in graph.node if images & set(node.input)}


def half_model(path: Path) -> Path:
    """Weights as float16: one for a product alone, one that is read as float16 too, one behind two casts."""
    graph = toy_models.GraphBuilder()
    alone, shared = (graph.constant(np.linspace(-2, 2, 6).reshape(2, 3) * k, np.float16) for k in (1, 3))
    both = graph.op("Add", graph.op("Mul", "a", graph.cast(alone)), graph.cast(shared))
    twice = graph.op("Cast", graph.op("Neg", shared), to=onnx.TensorProto.FLOAT)
    graph.op("Add", both, graph.op("Add", twice, graph.cast(shared)), output="y")
    return graph.save(path, {"a": ((2, 3), np.float32), "idle": ((1,), np.uint8)}, {"y": (2, 3)}, {"é": "ü\n"})


def test_casts_of_constants_go_and_all_else_stays(tmp_path: Path) -> None:
    path = half_model(tmp_path / "half.onnx")
    before, after = onnx.load(str(path)).graph, onnx.load_from_string(prepare(path.read_bytes())).graph
    assert [node.op_type for node in before.node].count("Cast") == 4
    assert list(after.node) == [
        node for node in before.node if node.op_type != "Cast" or node.input[0] not in {"c0", "c1"}
    ]
    assert sorted(item.data_type for item in after.initializer) == [1, 1, 1, 10]  # the shared one stays beside
    (tmp_path / "wide.onnx").write_bytes(prepare(path.read_bytes()))
    inputs = {"a": np.full((2, 3), 0.7, np.float32), "idle": np.zeros(1, np.uint8)}
    expected = OnnxRuntimeEngine(path, 1).run(inputs)["y"]
    np.testing.assert_array_equal(OnnxRuntimeEngine(tmp_path / "wide.onnx", 1).run(inputs)["y"], expected)


def image_model(path: Path, then: str) -> Path:
    """Bytes are transposed and cut before they are cast; then perhaps more is done with them."""
    graph = toy_models.GraphBuilder()
    planes = graph.op("Transpose", "image", perm=[0, 3, 1, 2])
    first = graph.op("Mul", graph.cast(planes), "scale")
    second = graph.cast(graph.pick(planes, 1, 0, 1))
    if then == "cast first elsewhere":
        second = graph.op("Transpose", graph.cast("image"), perm=[0, 3, 1, 2])
    if then == "compute with bytes":
        second = graph.cast(graph.op("Max", planes, graph.constant(7, np.uint8)))
    graph.op("Add", first, second, output="y")
    path = graph.save(path, {"image": ((1, 4, 5, 3), np.uint8), "scale": ((1,), np.float32)}, {"y": (1, 3, 4, 5)})
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(str(path))), str(path))
    return path


@pytest.mark.parametrize("then", ["nothing", "cast first elsewhere", "compute with bytes"])
def test_bytes_are_cast_first_where_they_are_only_moved(tmp_path: Path, then: str) -> None:
    path = image_model(tmp_path / "image.onnx", then)
    computes = then == "compute with bytes"
    after = prepare(path.read_bytes())
    onnx.checker.check_model(onnx.load_from_string(after), full_check=True)
    assert byte_readers(after) == ({"Transpose"} if computes else {"Cast"})
    assert (after == path.read_bytes()) is computes
    (tmp_path / "after.onnx").write_bytes(after)
    inputs = example_inputs(read_header(after, "after").inputs)
    expected = OnnxRuntimeEngine(path, 1).run(inputs)["y"]
    np.testing.assert_array_equal(OnnxRuntimeEngine(tmp_path / "after.onnx", 1).run(inputs)["y"], expected)


def test_header_tells_what_nothing_reads(tmp_path: Path) -> None:
    header = read_header(half_model(tmp_path / "half.onnx").read_bytes(), "half.onnx")
    assert header.unread == {"idle"} and header.metadata == {"é": "ü\n"}
    assert [str(spec) for spec in (*header.inputs, *header.outputs)] == [
        "a float32 (2, 3)",
        "idle uint8 (1)",
        "y float32 (2, 3)",
    ]


def test_constants_that_are_inputs_too_are_no_inputs() -> None:
    """Old exporters list weights among the inputs."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["a", "w"], ["y"])],
        "g",
        [value("a", 1, ["n", 2]), value("w", 1, [2])],
        [value("y", 1, ["n", 2])],
        [onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")],
    )
    model = onnx.helper.make_model(graph)
    assert [str(spec) for spec in read_header(model.SerializeToString(), "m").inputs] == ["a float32 (any, 2)"]


def test_types_that_numpy_does_not_have_are_named() -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["a"], ["y"])], "g", [value("a", 16, [1])], [value("y", 16, [1])]
    )
    with pytest.raises(EngineError, match="tensor a has ONNX type 16; known"):
        read_header(onnx.helper.make_model(graph).SerializeToString(), "m")


@given(st.binary(max_size=200))
def test_rubbish_is_refused_or_read_never_a_crash(data: bytes) -> None:
    with pytest.raises(EngineError):  # no rubbish has a graph with inputs and outputs
        read_header(data, "rubbish")


@given(st.integers(1, 1000), st.binary(max_size=300), st.integers(0, (1 << 63) - 1))
def test_what_is_written_is_read(number: int, content: bytes, value: int) -> None:
    message = onnx_wire.encode(number, content) + onnx_wire.encode_integer(number, value)
    first, second = onnx_wire.fields(memoryview(message))
    assert (first.number, bytes(first.content), second.integer) == (number, content, value)
    assert bytes(first.raw) + bytes(second.raw) == message
    assert onnx_wire.integers(second) == [value]
