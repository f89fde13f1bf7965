"""From the bytes of an ONNX file to a TensorRT plan, strongly typed: every precision is what the file says.

TensorRT 11 knows nothing else; before, the network is created so. No precision flag is set (11 has none).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.onnx_for_tensorrt import prepare
from hand_pose_ros.engines.onnx_wire import WireError
from hand_pose_ros.engines.progress import current_listener
from hand_pose_ros.engines.tensorrt_api import BuildState, last_errors, make_logger, make_monitor

logger = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_SAY_S: Final = 10.0


@dataclass(frozen=True)
class BuildOptions:
    """What changes the engine beside its ONNX file.

    Attributes:
        tf32: let float32 products round to 10 bits of mantissa; off, so that float32 gives ONNX Runtime's numbers.
        workspace_mib: memory that one layer may use at most while it runs.
        optimization_level: 0 (fast build) to 5 (fast engine); 3 is TensorRT's own default.
    """

    tf32: bool = False
    workspace_mib: int = 1024
    optimization_level: int = 3


@dataclass(frozen=True)
class Built:
    """A plan, and the timing cache with what this build measured (empty where TensorRT gives none)."""

    plan: bytes
    timing_cache: bytes


class BuildCancelled(EngineError):
    """Whoever waited for the engine wants it no longer."""


def build(trt: ModuleType, model: bytes, name: str, options: BuildOptions, timing_cache: bytes = b"") -> Built:
    """Build an engine; takes minutes. Progress goes to the log and to `progress.current_listener`.

    Args:
        trt: the tensorrt module.
        model: the bytes of the ONNX file.
        name: of the model, for log and errors.
        options: see `BuildOptions`.
        timing_cache: of an earlier build on this machine; empty for none.

    Raises:
        EngineError: TensorRT refuses the model; the text holds its reasons.
        BuildCancelled: the listener wants it no longer.
    """
    state = BuildState()
    outcome: list[Built | BaseException] = []

    def work() -> None:
        try:
            outcome.append(_build(trt, model, name, options, timing_cache, state))
        except BaseException as error:  # noqa: BLE001  # raised again by the waiting thread
            outcome.append(error)

    # In a thread of its own, so that Ctrl-C ends it: the call to TensorRT returns only when all is done.
    thread = threading.Thread(target=work, name=f"build {name}", daemon=True)
    thread.start()
    try:
        _wait(thread, name, state)
    finally:
        state.cancelled = state.cancelled or thread.is_alive()
        thread.join()
    if state.cancelled:
        raise BuildCancelled(f"{name}: the TensorRT engine is not wanted any more, building was ended")
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def _wait(thread: threading.Thread, name: str, state: BuildState) -> None:
    listener = current_listener()
    start = said = time.monotonic()
    logger.warning("building the TensorRT engine of %s; this takes minutes, once per machine and version", name)
    while thread.is_alive():
        now = time.monotonic()
        text = f"building the TensorRT engine of {name}: {now - start:.0f} s, {state.text() or 'starting'}"
        listener.tell(text)
        if not listener.wanted():
            state.cancelled = True
        if now - said >= _SAY_S:
            said = now
            logger.warning("%s", text)
        thread.join(_LOOK_S)
    logger.warning("the TensorRT engine of %s took %.0f s", name, time.monotonic() - start)


def _build(
    trt: ModuleType, model: bytes, name: str, options: BuildOptions, timing_cache: bytes, state: BuildState
) -> Built:
    log = make_logger(trt)
    builder = trt.Builder(log)
    network, parser = _read(trt, builder, log, model, name)
    config = builder.create_builder_config()
    _configure(trt, config, options)
    monitor = make_monitor(trt, state)
    config.progress_monitor = monitor
    measured = _attach_timing_cache(config, timing_cache)
    host_memory = builder.build_serialized_network(network, config)
    if host_memory is None:
        if state.cancelled:
            raise BuildCancelled(f"{name}: cancelled")
        raise EngineError(
            f"{name}: TensorRT {trt.__version__} cannot build an engine: {last_errors(log)}. The engine onnxruntime "
            "runs it meanwhile; on a Jetson, too little memory is a frequent reason"
        )
    del parser  # the network's weights are its
    return Built(bytes(host_memory), b"" if measured is None else bytes(measured.serialize()))


def _read(trt: ModuleType, builder: Any, log: Any, model: bytes, name: str) -> tuple[Any, Any]:
    """The network of a model, and the parser, which must live until the network is built."""
    # Explicit on TensorRT 10; on 11 every network is so and the flag does nothing.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    try:
        prepared = prepare(model)
    except WireError as error:
        raise EngineError(f"cannot load {name}: it is no ONNX file ({error}); fetch or export it anew") from error
    if not parser.parse(prepared):
        raise EngineError(f"{name}: TensorRT {trt.__version__} cannot read this model: {_parse_errors(parser)}")
    return network, parser


def _configure(trt: ModuleType, config: Any, options: BuildOptions) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.builder_optimization_level = options.optimization_level
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)


def _attach_timing_cache(config: Any, stored: bytes) -> Any:
    """The timing cache, which must live until the engine is built; one that does not fit here is begun anew."""
    timing_cache = config.create_timing_cache(stored)
    if timing_cache is not None and config.set_timing_cache(timing_cache, False):
        return timing_cache
    if stored:
        logger.warning("the stored TensorRT timing cache does not fit this machine; a new one is begun")
        return _attach_timing_cache(config, b"")
    return None


def _parse_errors(parser: Any) -> str:
    found = []
    for index in range(parser.num_errors):
        parser_error = parser.get_error(index)
        found.append(f"{parser_error.node_operator()} {parser_error.node_name()}: {parser_error.desc()}".strip())
    return "; ".join(found) or "it gave no reason"
