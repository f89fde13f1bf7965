"""Any network of ours as one ONNX file: static shapes, one opset, its description inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import onnx

# TensorRT 10 and ONNX Runtime 1.15 both read it; GridSample needs 16.
OPSET: Final = 17


def write_graph(
    module: nn.Module,
    path: Path,
    inputs: Mapping[str, Tensor],
    output_names: Sequence[str],
    metadata: Mapping[str, str],
) -> Path:
    """Write a module as ONNX with exactly this metadata; the shapes are those of the examples.

    Args:
        module: on the CPU; it is put into eval mode.
        path: the .onnx file to write; its folder is made.
        inputs: name and an example of each input, in the order of `module.forward`. All of them become inputs of the
            file, in this order, also those that the module does not read: one contract for networks of one kind.
        output_names: of what `module.forward` returns, in order.
        metadata: strings for the file (model, inputs and outputs with units, version, training command ...).

    Raises:
        ImportError: the `onnx` package is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("export needs the package onnx; install hand_pose_ros[train]") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    _keep_inputs(model, inputs)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _keep_inputs(model: onnx.ModelProto, inputs: Mapping[str, Tensor]) -> None:
    """Put back the inputs that torch left out because nothing reads them (depth only: the colour)."""
    import onnx

    present = {item.name: item for item in model.graph.input}
    for name, value in inputs.items():
        if name not in present:
            kind = onnx.helper.np_dtype_to_tensor_dtype(value.numpy().dtype)
            present[name] = onnx.helper.make_tensor_value_info(name, kind, list(value.shape))
    del model.graph.input[:]
    model.graph.input.extend(present[name] for name in inputs)
