"""torch: for desktops with a CUDA GPU and no TensorRT. It runs the same .onnx files as the other engines.

Not run by us on a GPU so far: its numbers are held against ONNX Runtime's on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.engines.base import Array, EngineError, TensorSpec, check_inputs
from hand_pose_ros.engines.torch_operators import Node, function_of
from hand_pose_ros.networks.onnx_float16 import to_float16
from hand_pose_ros.networks.onnx_graph import constants, folded

Precision = Literal["file", "fp16", "bf16"]

_WARM_UPS: Final = 3  # before a CUDA graph is recorded: cuDNN and cuBLAS choose and allocate in the first runs


class OnnxModule(nn.Module):
    """An ONNX graph as a torch module: its constants are buffers, its nodes run one after the other.

    Args:
        model: a folded graph (`networks.onnx_graph.folded`).
        half: what float16 becomes, float16 itself or bfloat16.

    Raises:
        EngineError: an operator that is not known here.
    """

    def __init__(self, model: Any, half: torch.dtype = torch.float16) -> None:
        super().__init__()
        import onnx

        graph = model.graph
        values = constants(graph)
        self._places = {name: f"constant{number}" for number, name in enumerate(values)}
        for name, value in values.items():
            tensor = torch.from_numpy(np.array(value))
            self.register_buffer(self._places[name], tensor.to(half) if tensor.dtype == torch.float16 else tensor)
        self._inputs = [item.name for item in graph.input]
        self._outputs = [item.name for item in graph.output]
        self._steps = []
        for node in graph.node:
            attributes = {item.name: _plain(onnx.helper.get_attribute_value(item)) for item in node.attribute}
            if node.op_type == "Cast":
                kind = _dtype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]), half)
                function = _cast(kind)
            else:
                given = [values.get(name) for name in node.input]
                function = function_of(Node(node.op_type, attributes, given))
            self._steps.append((function, tuple(node.input), tuple(node.output)))
        self._last = {name: number for number, step in enumerate(self._steps) for name in step[1]}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs in their order to its outputs in their order."""
        known: dict[str, Any] = {name: getattr(self, place) for name, place in self._places.items()}
        known.update(zip(self._inputs, inputs, strict=True))
        for number, (function, names, outputs) in enumerate(self._steps):
            result = function(*(known[name] if name else None for name in names))
            if len(outputs) == 1 and isinstance(result, Tensor):
                result = (result,)
            known.update(zip(outputs, result, strict=False))
            for name in names:
                if self._last[name] == number and name not in self._outputs:
                    known.pop(name, None)
        return tuple(known[name] for name in self._outputs)


class TorchEngine:
    """See `hand_pose_ros.engines.base.Engine`.

    Args:
        path: an .onnx file of ours.
        threads: CPU threads of torch; 0 leaves them.
        device: "cuda", "cpu", or "auto" for CUDA where there is one.
        precision: "file" computes as the file says; "fp16" and "bf16" make the learned layers of a float32 file so, as
            `hand_pose export --precision fp16` does.
        channels_last: memory order of convolutions' weights and results.
        cuda_graph: on CUDA, record one run and replay it: the launches cost nothing any more.
        compiled: through torch.compile (minutes at the first run).

    Raises:
        EngineError: the file cannot be loaded or holds what is not done here, or there is no such device.
    """

    name: Final = "torch"

    def __init__(
        self,
        path: str | Path,
        threads: int = 0,
        device: str = "auto",
        precision: Precision = "file",
        channels_last: bool = True,
        cuda_graph: bool = True,
        compiled: bool = False,
    ) -> None:
        self._path = Path(path)
        model = _load(self._path, precision)
        if threads:
            torch.set_num_threads(threads)
        self._device = _device(device)
        module = OnnxModule(model, torch.bfloat16 if precision == "bf16" else torch.float16).to(self._device)
        if channels_last:
            _channels_last(module)
        self._module: Any = torch.compile(module) if compiled else module
        self.metadata: Mapping[str, str] = {item.key: item.value for item in model.metadata_props}
        self.inputs = tuple(map(_spec, model.graph.input))
        self.outputs = tuple(map(_spec, model.graph.output))
        self._graph: _Recorded | None = None
        if cuda_graph and self._device.type == "cuda":
            self._graph = _Recorded(self._module, self.inputs, self._device)
        told = ((precision, precision != "file"), ("CUDA graph", self._graph), ("compiled", compiled))
        ways = [str(word) for word, on in told if on]
        self.description = ", ".join((f"torch {torch.__version__} on {self._device}", *ways))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass (see `hand_pose_ros.engines.base.Engine.run`)."""
        check_inputs(self._path.name, self.inputs, inputs)
        given = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in self.inputs]
        with torch.inference_mode():
            if self._graph is not None:
                results = self._graph(given)
            else:
                results = self._module(*(tensor.to(self._device) for tensor in given))
        return {spec.name: result.detach().cpu().numpy() for spec, result in zip(self.outputs, results, strict=True)}


class _Recorded:
    """One run of a module as a CUDA graph over fixed buffers; inputs come through page-locked memory."""

    def __init__(self, module: Any, specs: tuple[TensorSpec, ...], device: torch.device) -> None:
        kinds = [torch.from_numpy(np.zeros([size or 1 for size in spec.shape], spec.dtype)) for spec in specs]
        self._locked = [tensor.pin_memory() for tensor in kinds]
        self._inputs = [tensor.to(device) for tensor in kinds]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), torch.inference_mode():
            for _ in range(_WARM_UPS):
                module(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.inference_mode():
            self._outputs = module(*self._inputs)

    def __call__(self, given: list[Tensor]) -> tuple[Tensor, ...]:
        for source, locked, target in zip(given, self._locked, self._inputs, strict=True):
            locked.copy_(source)
            target.copy_(locked, non_blocking=True)
        self._graph.replay()
        outputs: tuple[Tensor, ...] = self._outputs
        return outputs


def _load(path: Path, precision: Precision) -> Any:
    if not path.is_file():
        raise EngineError(f"model: expected an .onnx file, {path} does not exist")
    try:
        model = folded(path)
    except ImportError as error:
        raise EngineError(
            f"the engine torch needs the packages onnx and onnxruntime ({error}); install hand_pose_ros[train]"
        ) from error
    kept = {item.key: item.value for item in model.metadata_props}.get("precision", "fp32")
    if precision == "file":
        return model
    if kept != "fp32":
        raise EngineError(f"{path.name}: expected a file in fp32 to compute in {precision}, got {kept}")
    return to_float16(model)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "torch: cuda was asked for, torch finds none; ask for cpu, or install a torch for your driver"
        )
    return torch.device(name)


def _channels_last(module: nn.Module) -> None:
    for name, tensor in list(module.named_buffers()):
        if tensor.ndim == 4 and tensor.is_floating_point():
            setattr(module, name, tensor.contiguous(memory_format=torch.channels_last))


def _cast(kind: torch.dtype) -> Any:
    return lambda x: x.to(kind)


def _dtype(kind: np.dtype[Any], half: torch.dtype) -> torch.dtype:
    found = torch.from_numpy(np.zeros(1, kind)).dtype
    return half if found == torch.float16 else found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _spec(item: Any) -> TensorSpec:
    import onnx

    kind = item.type.tensor_type
    shape = tuple(size.dim_value or None for size in kind.shape.dim)
    return TensorSpec(item.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))
