"""Any network of ours as one ONNX file: static shapes, one opset, its description inside."""

from __future__ import annotations

import hashlib
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
    batch: int = 1,
) -> Path:
    """Write a module as ONNX with this metadata; the shapes are those of the examples, `batch` times.

    Added to the metadata where it does not say: `weights_sha256` of the module, `precision`, `batch`.

    Args:
        module: on the CPU; it is put into eval mode.
        path: the .onnx file to write; its folder is made.
        inputs: name and an example (1, ...) of each input, in the order of `module.forward`. All of them become inputs
            of the file, in this order, also those that the module does not read: one contract for networks of one kind.
        output_names: of what `module.forward` returns, in order.
        metadata: strings for the file (model, inputs and outputs with units, version, training command ...); what it
            says of inputs and outputs is told of a batch of one.
        batch: samples in one run.

    Raises:
        ImportError: the `onnx` package is missing.
        ValueError: `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    inputs = {name: value.repeat(batch, *[1] * (value.ndim - 1)) for name, value in inputs.items()}
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
    added = {"weights_sha256": weights_sha256(module), "precision": "fp32", "batch": str(batch)}
    onnx.helper.set_model_props(model, {**added, **_of_batch(metadata, batch)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def batched_path(path: Path, batch: int) -> Path:
    """Where the variant of a model file for `batch` samples goes: model.b16.onnx beside model.onnx."""
    return path if batch == 1 else path.with_name(f"{path.stem}.b{batch}{path.suffix}")


def weights_sha256(network: nn.Module) -> str:
    """Fingerprint of a network's parameters and buffers, independent of how they were stored."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _of_batch(metadata: Mapping[str, str], batch: int) -> dict[str, str]:
    """Shapes in the descriptions of inputs and outputs, told of this batch."""
    shapes = ("input.", "output.")
    return {
        key: text.replace("(1,", f"({batch},", 1) if key.startswith(shapes) else text for key, text in metadata.items()
    }


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
