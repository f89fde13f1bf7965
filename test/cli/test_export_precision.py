"""`hand_pose export MODEL --precision`: the shipped models in other precisions, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

from hand_pose_ros.cli import main as cli  # noqa: E402
from hand_pose_ros.engines.factory import create_engine  # noqa: E402
from hand_pose_ros.engines.zoo import find_model, verify  # noqa: E402
from hand_pose_ros.networks import onnx_graph  # noqa: E402


def frames(folder: Path) -> Path:
    """Shards as `hand_pose synth frames` writes them: noise with a hand."""
    rng, count = np.random.default_rng(0), 16
    shard = folder / "frames-000000"
    shard.mkdir(parents=True)
    arrays = {
        "color": rng.integers(0, 256, (count, 120, 160, 3)).astype(np.uint8),
        "depth": rng.integers(5000, 9000, (count, 120, 160)).astype(np.uint16),
        "intrinsics": np.tile(np.array([130, 130, 79.5, 59.5], np.float32), (count, 1)),
        "center": np.tile(np.array([0, 0, 0.7], np.float32), (count, 2, 1)),
        "present": np.ones((count, 2), dtype=bool),
        "visible": np.ones((count, 2, 21), dtype=bool),
    }
    for name, array in arrays.items():
        np.save(shard / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_shipped_finder(precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"finder_{precision}.onnx"
    options = ["--calibration", str(frames(tmp_path / "frames")), "--samples", "4"] if precision == "int8" else []
    assert cli.main(["export", "hand_finder", "--precision", precision, "--out", str(out), *options]) == 0
    assert "TensorRT:" not in capsys.readouterr().out
    verify(out)  # the card tells of the new file
    assert f"- precision: {precision}" in out.with_suffix(".md").read_text()
    engine, first = create_engine(out, "onnxruntime", 1), create_engine(find_model("hand_finder"), "onnxruntime", 1)
    assert engine.metadata.get("precision", "fp32") == precision
    assert [str(spec) for spec in engine.inputs] == [str(spec) for spec in first.inputs]
    given = {spec.name: np.full([size or 1 for size in spec.shape], 1, spec.dtype) for spec in engine.inputs}
    gap = np.abs(engine.run(given)["heatmap"] - first.run(given)["heatmap"]).max()
    assert gap <= {"fp32": 1e-6, "fp16": 1e-3, "int8": 0.2}[precision]
    kinds = {node.op_type for node in onnx.load(str(out)).graph.node}
    assert ("QuantizeLinear" in kinds) == (precision == "int8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--batch", "4"], "--batch: a file's batch is fixed"),
        (["--precision", "int8"], "--calibration: int8 expects a folder"),
        (["--precision", "int8", "--calibration", "."], "--calibration .: no shards"),
        (["--precision", "fp16", "--out", "model.pt"], "expected a name ending in .onnx"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "hand_finder", "--out", "x.onnx", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_file_is_not_written_over_itself_nor_made_half_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "finder.onnx"
    model = onnx_graph.folded(find_model("hand_finder"))
    onnx.helper.set_model_props(model, {"precision": "fp16"})
    onnx.save(model, str(path))
    assert cli.main(["export", str(path), "--precision", "fp16", "--out", str(path)]) == 2
    assert "expected another file" in capsys.readouterr().err
    assert cli.main(["export", str(path), "--precision", "fp16", "--out", str(tmp_path / "y.onnx")]) == 2
    assert "expected a model in fp32" in capsys.readouterr().err
