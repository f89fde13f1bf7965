"""TensorRT: the fastest engine on NVIDIA hardware. Its engines are built on the machine that runs them.

Not run by us on a device: what is checked without one is in docs/tensorrt.md.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec, check_inputs
from hand_pose_ros.engines.engine_store import EngineKey, EngineStore
from hand_pose_ros.engines.onnx_header import OnnxHeader, read_header
from hand_pose_ros.engines.tensorrt_api import import_tensorrt
from hand_pose_ros.engines.tensorrt_build import BuildOptions, build
from hand_pose_ros.engines.tensorrt_cuda import Cuda, Gpu, import_cudart, static_shape
from hand_pose_ros.engines.tensorrt_session import Session, UnfitPlan

logger = logging.getLogger(__name__)


class TensorRtEngine:
    """A network in TensorRT (see `hand_pose_ros.engines.base.Engine`).

    The engine is taken from the store where it fits this file, TensorRT and GPU; else it is built, which takes minutes,
    checked, and stored.

    Args:
        path: an .onnx file with static shapes.
        options: of the builder.
        store: where built engines are kept.

    Raises:
        EngineError: TensorRT, cuda-python or a GPU is missing, or the model cannot be built or run.
    """

    name: Final = "tensorrt"

    def __init__(self, path: str | Path, options: BuildOptions | None = None, store: EngineStore | None = None) -> None:
        source = _Source(Path(path), options or BuildOptions())
        self._name = source.name
        self._session = _open(source, store or EngineStore())
        self.inputs: tuple[TensorSpec, ...] = source.header.inputs
        self.outputs: tuple[TensorSpec, ...] = source.header.outputs
        self.metadata: Mapping[str, str] = source.header.metadata
        graph = "CUDA graph" if self._session.replays_graph else "no CUDA graph"
        device = f"{source.gpu.name} ({source.gpu.compute_capability})"
        self.description = f"TensorRT {source.trt.__version__}, {device}, {source.precision}, {graph}"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass (see `hand_pose_ros.engines.base.Engine.run`)."""
        check_inputs(self._name, self.inputs, inputs)
        return self._session.run(inputs)

    def close(self) -> None:
        """Give the GPU's memory back; it also happens when the engine is no longer referred to."""
        self._session.close()


def is_built(path: str | Path, options: BuildOptions | None = None, store: EngineStore | None = None) -> bool:
    """Whether the engine of this file is in the store, so that loading it takes no building.

    Raises:
        EngineError: TensorRT, cuda-python or a GPU is missing, or the file cannot be read.
    """
    source = _Source(Path(path), options or BuildOptions())
    return (store or EngineStore()).load(source.key) is not None


def example_inputs(inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Inputs of the right kind, the same every time, on which our models give finite outputs (zeros do not)."""
    random = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for spec in inputs:
        shape = tuple(size or 1 for size in spec.shape)
        if np.issubdtype(spec.dtype, np.floating):
            found[spec.name] = random.uniform(0.1, 1.0, shape).astype(spec.dtype)
        else:
            top = 2 if spec.dtype == np.bool_ else 128
            found[spec.name] = random.integers(0, top, shape).astype(spec.dtype)
    return found


class _Source:
    """A model file, and where its engine is to run."""

    def __init__(self, path: Path, options: BuildOptions) -> None:
        self.trt: ModuleType = import_tensorrt()
        self.cuda = Cuda(import_cudart())
        self.gpu: Gpu = self.cuda.gpu()
        if not path.is_file():
            raise EngineError(f"model: expected an .onnx file, {path} does not exist")
        self.name = path.name
        self.options = options
        self.model = path.read_bytes()
        self.header: OnnxHeader = read_header(self.model, str(path))
        for spec in (*self.header.inputs, *self.header.outputs):
            static_shape(spec)

    @property
    def precision(self) -> str:
        """What the file says of its types, which are those of the engine."""
        return self.header.metadata.get("precision", "as in the file")

    @property
    def key(self) -> EngineKey:
        options = self.options
        return EngineKey(
            model=Path(self.name).stem,
            onnx_sha256=hashlib.sha256(self.model).hexdigest(),
            tensorrt=str(self.trt.__version__),
            gpu=self.gpu.name,
            compute_capability=self.gpu.compute_capability,
            precision=f"{self.precision}, tf32 {'on' if options.tf32 else 'off'}",
            options=f"workspace {options.workspace_mib} MiB, level {options.optimization_level}",
        )


def _open(source: _Source, store: EngineStore) -> Session:
    key = source.key
    stored = store.load(key)
    session = _try(source, stored, store.path(key))
    if session is not None:
        return session
    with store.lock(source.name):
        again = store.load(key)  # another process may have built it meanwhile
        session = _try(source, again, store.path(key)) if again != stored else None
        if session is not None:
            return session
        built = build(source.trt, source.model, source.name, source.options, store.timing_cache(key))
        store.save_timing_cache(key, built.timing_cache)
        try:
            session = _checked(source, built.plan)
        except UnfitPlan as error:
            raise EngineError(
                f"the TensorRT engine just built is no good: {error}. Take the engine onnxruntime, and report this "
                f"with TensorRT's version ({source.trt.__version__})"
            ) from error
        logger.info("stored %s", store.save(key, built.plan))
        return session


def _try(source: _Source, plan: bytes | None, path: Path) -> Session | None:
    """A stored plan, ready to run; None, and a warning, where it does not fit."""
    if plan is None:
        return None
    try:
        return _checked(source, plan)
    except UnfitPlan as error:
        logger.warning("%s does not fit and is built anew: %s", path, error)
        return None


def _checked(source: _Source, plan: bytes) -> Session:
    """A plan that has run once and gave finite numbers."""
    session = Session(source.trt, source.cuda, plan, source.header, source.name)
    outputs = session.run(example_inputs(source.header.inputs))
    broken = [
        name
        for name, value in outputs.items()
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all()
    ]
    if broken:
        session.close()
        raise UnfitPlan(f"{source.name}: expected finite outputs in a first run, got others in {', '.join(broken)}")
    return session
