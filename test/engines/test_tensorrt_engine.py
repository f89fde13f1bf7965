"""The TensorRT engine on strict doubles of TensorRT and CUDA, whose networks compute with ONNX Runtime."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_models
from fake_cuda import CudaError, FakeCudart
from fake_tensorrt import FakeTensorRt

from hand_pose_ros.engines import engine_store
from hand_pose_ros.engines.base import Array, EngineError
from hand_pose_ros.engines.engine_store import EngineStore
from hand_pose_ros.engines.factory import available_engines, create_engine
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.engines.progress import Listener, listening
from hand_pose_ros.engines.tensorrt_build import BuildCancelled, BuildOptions
from hand_pose_ros.engines.tensorrt_engine import TensorRtEngine, example_inputs, is_built
from hand_pose_ros.engines.zoo import find_model


def make_model(path: Path, factor: float = 2.0, height: int = 4) -> Path:
    """An image (uint8), a scale, and an input that nothing reads; a convolution with weights stored as float16."""
    graph = toy_models.GraphBuilder()
    half = graph.constant(np.arange(12).reshape(2, 3, 1, 2) * factor / 8, np.float16)
    planes = graph.cast(graph.op("Transpose", "image", perm=[0, 3, 1, 2]))
    features = graph.op("Conv", planes, graph.cast(half))
    graph.op("Mul", features, "scale", output="features")
    graph.op("ReduceMean", "features", output="mean", keepdims=0)
    inputs = {"image": ((1, height, 5, 3), np.uint8), "scale": ((1,), np.float32), "unread": ((2, 2), np.float32)}
    return graph.save(path, inputs, {"features": (1, 2, height, 4), "mean": ()}, {"model": "toy", "precision": "fp16"})


def make_inputs(seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (1, 4, 5, 3), dtype=np.uint8)
    scale = random.uniform(0.5, 2, 1).astype(np.float32)
    return {"image": image, "scale": scale, "unread": np.ones((2, 2), np.float32)}


@pytest.fixture
def cudart(monkeypatch: pytest.MonkeyPatch) -> FakeCudart:
    fake = FakeCudart()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)
    return fake


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, cudart: FakeCudart) -> FakeTensorRt:
    fake = FakeTensorRt(cudart)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(engine_store, "_LOCK_LOOK_S", 0.01)
    return fake


@pytest.fixture
def model(tmp_path: Path, trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAND_POSE_ENGINES", str(tmp_path / "engines"))
    return make_model(tmp_path / "toy.onnx")


def engine_file(model: Path) -> Path:
    (path,) = (model.parent / "engines").glob("*.engine")
    return path


def test_gives_the_numbers_of_onnx_runtime_in_every_run(model: Path) -> None:
    engine, other = TensorRtEngine(model), OnnxRuntimeEngine(model, 1)
    kept = []
    for seed in range(3):
        inputs = make_inputs(seed)
        outputs, expected = engine.run(inputs), other.run(inputs)
        kept.append((outputs, expected))
    for outputs, expected in kept:  # also after later runs: the arrays are the caller's
        assert outputs.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value, strict=True)


@pytest.mark.parametrize("name", ["hand_finder", "kpt_fusion_lite"])
def test_the_shipped_models_are_as_tensorrt_wants_them(name: str, trt: FakeTensorRt, tmp_path: Path) -> None:
    path = find_model(name)
    engine = TensorRtEngine(path, store=EngineStore(tmp_path))
    inputs = example_inputs(engine.inputs)
    outputs = engine.run(inputs)
    for output, expected in OnnxRuntimeEngine(path, 1).run(inputs).items():
        np.testing.assert_array_equal(outputs[output], expected)


def test_says_what_it_is(model: Path) -> None:
    engine, other = TensorRtEngine(model), OnnxRuntimeEngine(model, 1)
    assert (engine.inputs, engine.outputs, engine.metadata) == (other.inputs, other.outputs, other.metadata)
    assert engine.description == "TensorRT 10.3.0, Orin (8.7), fp16, CUDA graph"
    with pytest.raises(EngineError, match=r"toy\.onnx: expected inputs image, scale, unread, got image"):
        engine.run({"image": make_inputs(0)["image"]})


def test_captures_one_graph_and_allocates_nothing_in_a_run(model: Path, cudart: FakeCudart) -> None:
    engine = TensorRtEngine(model)
    made = len(cudart.calls())
    for seed in range(5):
        engine.run(make_inputs(seed))
    assert cudart.calls()[made:] == ["cudaGraphLaunch", "cudaEventRecord", "cudaEventSynchronize"] * 5
    for function in ("cudaStreamBeginCapture", "cudaGraphInstantiate", "cudaStreamCreateWithFlags"):
        assert cudart.calls().count(function) == 1


@pytest.mark.parametrize("end", [TensorRtEngine.close, lambda engine: None])
def test_gives_everything_back(model: Path, cudart: FakeCudart, end: Callable[[TensorRtEngine], None]) -> None:
    engine = TensorRtEngine(model)
    engine.run(make_inputs(0))
    assert cudart.leaks()
    end(engine)
    del engine
    gc.collect()
    assert cudart.leaks() == []


def test_a_closed_engine_does_not_run(model: Path, cudart: FakeCudart) -> None:
    engine = TensorRtEngine(model)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="expected an open engine, got a closed one"):
        engine.run(make_inputs(0))


def test_the_second_time_nothing_is_built(model: Path, trt: FakeTensorRt) -> None:
    assert not is_built(model)
    TensorRtEngine(model)
    assert is_built(model)
    TensorRtEngine(model)
    assert trt.builds == [{"tf32": False, "level": 3}]


def other_version(trt: FakeTensorRt, model: Path) -> None:
    trt.__version__ = "10.16.1.11"


def other_gpu(trt: FakeTensorRt, model: Path) -> None:
    trt._cudart._gpu = "NVIDIA Thor"


def other_capability(trt: FakeTensorRt, model: Path) -> None:
    trt._cudart._capability = (11, 0)


def other_weights(trt: FakeTensorRt, model: Path) -> None:
    make_model(model, factor=3.0)


@pytest.mark.parametrize("change", [other_version, other_gpu, other_capability, other_weights])
def test_built_anew_where_something_changed(
    model: Path, trt: FakeTensorRt, change: Callable[[FakeTensorRt, Path], None]
) -> None:
    TensorRtEngine(model)
    change(trt, model)
    assert not is_built(model)
    outputs = TensorRtEngine(model).run(make_inputs(1))
    assert len(trt.builds) == 2
    np.testing.assert_array_equal(outputs["mean"], OnnxRuntimeEngine(model, 1).run(make_inputs(1))["mean"])
    assert len(EngineStore().engines()) == 2


def test_options_of_the_builder_are_part_of_the_key(model: Path, trt: FakeTensorRt) -> None:
    TensorRtEngine(model)
    TensorRtEngine(model, BuildOptions(tf32=True, optimization_level=5))
    assert trt.builds == [{"tf32": False, "level": 3}, {"tf32": True, "level": 5}]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: b"rubbish",
        lambda data: b"{}\n" + data,
        lambda data: data.replace(b'"gpu": "Orin"', b'"gpu": "Tegra"', 1),
    ],
)
def test_a_broken_file_is_replaced(
    model: Path, trt: FakeTensorRt, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    TensorRtEngine(model)
    path = engine_file(model)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert TensorRtEngine(model).run(make_inputs(0))["mean"].shape == ()
    assert len(trt.builds) == 2 and "built anew" in caplog.text
    assert "plan file is not compatible" not in caplog.text  # broken bytes do not get as far as TensorRT
    assert path.read_bytes() == good
    assert [item.name for item in path.parent.iterdir() if item.name.startswith(".")] == []  # nothing half-written


def test_a_plan_of_another_model_or_of_no_use_is_replaced(
    model: Path, trt: FakeTensorRt, cudart: FakeCudart, caplog: pytest.LogCaptureFixture
) -> None:
    graph = toy_models.GraphBuilder()
    graph.op("Mul", "image", "image", output="features")
    strange = graph.save(
        model.with_name("strange.onnx"), {"image": ((1, 2), np.float32)}, {"features": (1, 2)}, {"model": "other"}
    )
    TensorRtEngine(strange)
    TensorRtEngine(make_model(model.with_name("higher.onnx"), height=6))
    plans = [EngineStore().load(key) for _, key in EngineStore().engines()]
    TensorRtEngine(model)
    (key,) = [key for _, key in EngineStore().engines() if key.model == "toy"]
    for count, plan in enumerate([*(plan or b"" for plan in plans), b"not a plan", b""], 4):
        EngineStore().save(key, plan)
        engine = TensorRtEngine(model)
        assert len(trt.builds) == count
        engine.close()
    assert caplog.text.count("expected tensors image uint8 (1, 4, 5, 3)") == 2  # other names, other shapes
    assert "the engine plan file is not compatible" in caplog.text
    gc.collect()
    assert cudart.leaks() == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"parse_error": "no importer"}, r"cannot read this model: NonZero /head/NonZero: no importer"),
        ({"build_error": "out of memory"}, r"cannot build an engine: out of memory\. The engine onnxruntime"),
        ({"not_a_number": True}, r"just built is no good: .*expected finite outputs .* in features, mean"),
        ({"drop_input": "image"}, r"just built is no good: .*expected tensors image .*; the engine has scale"),
        ({"drop_input": "mean"}, r"just built is no good: .*; the engine has features float32"),
    ],
)
def test_what_cannot_be_used_is_said_and_not_stored(
    model: Path, trt: FakeTensorRt, cudart: FakeCudart, fault: dict[str, Any], message: str
) -> None:
    for name, value in fault.items():
        setattr(trt.faults, name, value)
    with pytest.raises(EngineError, match=message):
        TensorRtEngine(model)
    assert not is_built(model)
    gc.collect()
    assert cudart.leaks() == []


def test_an_input_that_nothing_reads_may_be_absent_from_the_engine(model: Path, trt: FakeTensorRt) -> None:
    trt.faults.drop_input = "unread"
    inputs = make_inputs(0)
    expected = OnnxRuntimeEngine(model, 1).run(inputs)
    np.testing.assert_array_equal(TensorRtEngine(model).run(inputs)["features"], expected["features"])


def test_runs_without_a_graph_where_none_can_be_captured(
    model: Path, trt: FakeTensorRt, cudart: FakeCudart, caplog: pytest.LogCaptureFixture
) -> None:
    trt.faults.refuse_capture = True
    engine = TensorRtEngine(model)
    assert engine.description.endswith("no CUDA graph") and "runs without a CUDA graph" in caplog.text
    for seed in range(2):
        inputs = make_inputs(seed)
        np.testing.assert_array_equal(engine.run(inputs)["mean"], OnnxRuntimeEngine(model, 1).run(inputs)["mean"])
    engine.close()
    assert cudart.leaks() == []


@pytest.mark.parametrize(
    "function",
    [
        *("cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync"),
        *("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaEventRecord"),
    ],
)
def test_nothing_is_lost_when_cuda_refuses(model: Path, cudart: FakeCudart, function: str) -> None:
    cudart.fail(function, CudaError.cudaErrorMemoryAllocation)
    try:
        TensorRtEngine(model).close()
    except EngineError as error:
        assert "cudaErrorMemoryAllocation: text of 2" in str(error)
    else:
        assert function in ("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate")
    gc.collect()
    assert cudart.leaks() == []


def test_an_error_while_running_is_an_engine_error(model: Path, cudart: FakeCudart) -> None:
    engine = TensorRtEngine(model)
    cudart.fail("cudaGraphLaunch", CudaError.cudaErrorNoDevice)
    with pytest.raises(EngineError, match="CUDA, launching a graph: cudaErrorNoDevice"):
        engine.run(make_inputs(0))


def test_measured_times_are_kept_for_the_next_build(model: Path, trt: FakeTensorRt, tmp_path: Path) -> None:
    TensorRtEngine(model)
    (cache,) = (tmp_path / "engines").glob("timing-*.cache")
    assert cache.name == "timing-Orin-8.7-10.3.0.cache" and b'"measured": 1' in cache.read_bytes()
    for stored in (cache.read_bytes(), cache.read_bytes().replace(b"10.3.0", b"10.4.0"), b"rubbish", b""):
        cache.write_bytes(stored)
        count = len(trt.builds)
        TensorRtEngine(make_model(model, factor=10.0 + count))
        assert f'"measured": {count + 1}'.encode() in cache.read_bytes()


def test_progress_is_heard_and_a_build_can_be_ended(model: Path, trt: FakeTensorRt, monkeypatch: Any) -> None:
    monkeypatch.setattr("hand_pose_ros.engines.tensorrt_build._LOOK_S", 0.01)
    trt.faults.build_seconds = 0.4
    heard: list[str] = []
    with (
        listening(Listener(heard.append, lambda: "Building Engine 5" not in heard[-1])),
        pytest.raises(BuildCancelled, match=r"toy\.onnx: the TensorRT engine is not wanted any more"),
    ):
        TensorRtEngine(model)
    assert any("building the TensorRT engine of toy.onnx: 0 s, Building Engine 25 %" in text for text in heard)
    assert not is_built(model)


def test_threads_that_want_one_engine_build_it_once(model: Path, trt: FakeTensorRt) -> None:
    trt.faults.build_seconds = 0.2
    engines: list[TensorRtEngine] = []
    threads = [threading.Thread(target=lambda: engines.append(TensorRtEngine(model))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trt.builds) == 1 and len(engines) == 3


_BUILD = """
import sys, logging
logging.basicConfig(level=logging.WARNING)
sys.path.insert(0, sys.argv[1])
import fake_tensorrt, pathlib
trt, cudart = fake_tensorrt.install()
trt.faults.build_seconds = 1.5
trt.faults.build_log = pathlib.Path(sys.argv[3])
from hand_pose_ros.engines.tensorrt_engine import TensorRtEngine
engine = TensorRtEngine(sys.argv[2])
print("ready", flush=True)
"""


def test_of_several_processes_one_builds_and_the_others_wait(model: Path, tmp_path: Path) -> None:
    support, log = Path(__file__).parents[1] / "support", tmp_path / "builds"
    command = [sys.executable, "-c", _BUILD, str(support), str(model), str(log)]
    with EngineStore().lock("held"):  # both have arrived before either may build
        running = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(2)]
        for process in running:
            assert process.stderr is not None and "waiting for process" in process.stderr.readline()
    results = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], results
    assert log.read_text() == "build\n"
    assert [out for out, _ in results] == ["ready\n"] * 2


def test_waiting_for_another_build_can_be_ended(model: Path) -> None:
    heard: list[str] = []
    with (
        EngineStore().lock("other.onnx"),
        listening(Listener(heard.append, lambda: len(heard) < 3)),
        pytest.raises(EngineError, match=r"toy\.onnx: the TensorRT engine is not wanted any more, waiting was ended"),
    ):
        TensorRtEngine(model)
    assert r"which builds TensorRT engines" in heard[0] and "(other.onnx)" in heard[0]


def test_a_builder_that_died_does_not_block(model: Path, trt: FakeTensorRt) -> None:
    store = EngineStore()
    store.folder.mkdir()
    (store.folder / "build.lock").write_text('{"pid": 1, "model": "left behind"}')
    TensorRtEngine(model)
    assert len(trt.builds) == 1


def test_a_folder_that_cannot_be_used_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAND_POSE_ENGINES", str(model / "engines"))  # under a file
    with pytest.raises(EngineError, match=r"cannot be used: .* set HAND_POSE_ENGINES to a folder"):
        TensorRtEngine(model)


@pytest.mark.parametrize(
    ("shape", "message"),
    [(("batch", 3), r"expected static shapes, got a float32 \(any, 3\)"), ((1, 0), r"got a float32 \(1, 0\)")],
)
def test_shapes_must_be_static(trt: FakeTensorRt, tmp_path: Path, shape: Any, message: str) -> None:
    graph = toy_models.GraphBuilder()
    graph.op("Relu", "a", output="y")
    path = graph.save(tmp_path / "dynamic.onnx", {"a": (shape, np.float32)}, {"y": shape}, {})
    with pytest.raises(EngineError, match=message):
        TensorRtEngine(path, store=EngineStore(tmp_path / "engines"))


@pytest.mark.parametrize("content", [b"", b"not a model", b"version https://git-lfs.github.com/spec/v1\noid 0\n"])
def test_a_broken_model_is_an_engine_error(trt: FakeTensorRt, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"cannot load .*broken\.onnx"):
        TensorRtEngine(path)
    with pytest.raises(EngineError, match=r"no\.onnx does not exist"):
        TensorRtEngine(tmp_path / "no.onnx")


def test_the_factory_makes_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert create_engine(model, "tensorrt").name == "tensorrt"


def test_auto_takes_it_once_it_is_built(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hand_pose_ros.engines.factory.available_engines", lambda: ("tensorrt", "onnxruntime"))
    assert create_engine(model).name == "onnxruntime"
    TensorRtEngine(model)
    assert create_engine(model).name == "tensorrt"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tensorrt", "the package tensorrt does not load .* On a Jetson it comes with JetPack"),
        ("cuda", r"cuda-python does not load \(cuda\.bindings\.runtime: .*; cuda\.cudart: .*pip install cuda-python"),
        ("gpu", r"no GPU \(CUDA, looking for a GPU: cudaErrorNoDevice: text of 100\); check the driver"),
        ("age", r"expected TensorRT 10\.3 or newer, got 8\.6\.2; JetPack 6 brings 10\.3"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(
    model: Path, trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    if missing == "tensorrt":
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    elif missing == "cuda":
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
        monkeypatch.setitem(sys.modules, "cuda.cudart", None)
    elif missing == "gpu":
        trt._cudart.fail("cudaGetDeviceCount", CudaError.cudaErrorNoDevice)
    else:
        trt.__version__ = "8.6.2"
    with pytest.raises(EngineError, match=f"engine tensorrt was asked for.*{message}.*available: onnxruntime"):
        create_engine(model, "tensorrt")
    assert "onnxruntime" in available_engines()


def test_the_old_layout_of_cuda_python_is_taken(
    model: Path, cudart: FakeCudart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "cuda.cudart", cudart)
    assert TensorRtEngine(model).run(make_inputs(0))
