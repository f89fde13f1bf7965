"""Weights that another file holds: the same answers from a graph that has none of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from hand_pose_ros.networks.onnx_borrowed import borrow_weights  # noqa: E402
from hand_pose_ros.networks.onnx_file import write_graph  # noqa: E402
from hand_pose_ros.networks.onnx_half import store_weights_half  # noqa: E402

IMAGE = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def layers(seed: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A network and a part of it. Half precision holds its weights exactly."""
    torch.manual_seed(seed)
    whole = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3))
    for weight in whole.parameters():
        weight.data = weight.data.half().float()
    return whole, whole[:2]


def written(module: torch.nn.Module, path: Path) -> Path:
    return write_graph(module, path, {"x": IMAGE}, ["y"], {"name": path.stem})


def run(path: Path) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(str(path)).run(None, {"x": IMAGE.numpy()})[0])


@pytest.mark.parametrize("half", [False, True])
def test_the_same_answers_from_a_small_file(half: bool, tmp_path: Path) -> None:
    whole, part = layers(0)
    source, path = written(whole, tmp_path / "whole.onnx"), written(part, tmp_path / "part.onnx")
    if half:
        store_weights_half(source)
    before, wanted = source.read_bytes(), run(path)
    assert borrow_weights(path, source) == path
    assert source.read_bytes() == before
    np.testing.assert_array_equal(run(path), wanted)
    model = onnx.load(str(path), load_external_data=False)
    (weight,) = [tensor for tensor in model.graph.initializer if list(tensor.dims) == [8, 3, 3, 3]]
    assert not weight.raw_data and weight.external_data[0].value == source.name
    assert {item.key: item.value for item in model.metadata_props}["name"] == "part"
    names = [node.name for node in model.graph.node]
    assert all(names) and len(set(names)) == len(names)


def test_what_it_reads_is_the_other_files(tmp_path: Path) -> None:
    whole, part = layers(0)
    source, path = written(whole, tmp_path / "whole.onnx"), written(part, tmp_path / "part.onnx")
    wanted = run(borrow_weights(path, source))
    shutil.copy(written(layers(1)[0], tmp_path / "other.onnx"), source)
    assert np.abs(run(path) - wanted).max() > 0.01


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    source, path = written(layers(1)[0], tmp_path / "whole.onnx"), written(layers(0)[1], tmp_path / "part.onnx")
    with pytest.raises(ValueError, match="holds none of them"):
        borrow_weights(path, source)


def test_files_of_two_folders_are_refused(tmp_path: Path) -> None:
    source, path = written(layers(0)[0], tmp_path / "a" / "whole.onnx"), written(layers(0)[1], tmp_path / "part.onnx")
    with pytest.raises(ValueError, match="beside"):
        borrow_weights(path, source)
