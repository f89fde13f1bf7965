"""A graph whose weights another model file holds: it is as small as its operators.

ONNX may keep a tensor's bytes in another file, by place and length (`TensorProto.external_data`). A part of a network
that is to run by itself finds its weights in the whole network's file, in single or half precision, and needs none of
its own; that file is data like any other here, and is left as it is. Both files must lie in one folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.networks.onnx_half import name_shortly

if TYPE_CHECKING:
    import onnx

# Bytes; smaller tensors stay in the graph.
_SMALLEST: Final = 256
_Place = tuple[NDArray[Any], int]


def borrow_weights(path: Path, source: Path) -> Path:
    """Rewrite a model file so that the weights that another file of its folder holds are read from there.

    Args:
        path: of an .onnx file with weights of its own, in single precision.
        source: the file that holds the same weights, exactly, in single or half precision.

    Raises:
        ImportError: the `onnx` package is missing.
        ValueError: the files lie in different folders, the source holds none of the weights, or is a link.
    """
    import onnx

    if path.parent.resolve() != source.parent.resolve():
        raise ValueError(f"{path}: expected it beside {source}, whose weights it is to read")
    model = onnx.load(str(path))
    held = _held(source)
    kept, casts, short = [], [], {}
    for number, tensor in enumerate(model.graph.initializer):
        name = short[tensor.name] = f"w{number}"
        place = _place_of(onnx.numpy_helper.to_array(tensor), held)
        if place is None:
            tensor.name = name
            kept.append(tensor)
        elif place[0].dtype == np.float16:
            kept.append(_external(f"{name}.half", place, source.name))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
        else:
            kept.append(_external(name, place, source.name))
    if not any(tensor.external_data for tensor in kept):
        raise ValueError(f"{source}: expected the weights of {path.name}, it holds none of them")
    for node in model.graph.node:
        node.input[:] = [short.get(name, name) for name in node.input]
    nodes = [*casts, *model.graph.node]
    # What types lie between is told by the operators.
    del model.graph.initializer[:], model.graph.value_info[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    # Unique names for nodes too: ONNX Runtime 1.18 to 1.21 refuse graphs without.
    name_shortly(model.graph)
    path.write_bytes(model.SerializeToString())
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ValueError(f"{path}: its weights cannot be read out of {source}: {error}") from error
    return path


def _held(source: Path) -> dict[tuple[int, ...], list[_Place]]:
    """Large tensors of a file with where their bytes stand in it, by shape."""
    import onnx

    stored = source.read_bytes()
    held: dict[tuple[int, ...], list[_Place]] = {}
    for tensor in onnx.load_from_string(stored).graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype not in (np.float16, np.float32) or value.nbytes < _SMALLEST:
            continue
        at = stored.find(value.tobytes())
        if at >= 0:
            held.setdefault(value.shape, []).append((value, at))
    return held


def _place_of(value: NDArray[Any], held: dict[tuple[int, ...], list[_Place]]) -> _Place | None:
    if value.dtype != np.float32:
        return None
    return next((place for place in held.get(value.shape, []) if np.array_equal(place[0], value)), None)


def _external(name: str, place: _Place, location: str) -> onnx.TensorProto:
    import onnx

    value, at = place
    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=value.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, told in (("location", location), ("offset", str(at)), ("length", str(value.nbytes))):
        tensor.external_data.add(key=key, value=told)
    return tensor
