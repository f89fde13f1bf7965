"""`hand_pose eval keypoint_transformer|handformer2t` on tiny trees with tiny untrained networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_datasets
import toy_two_hands as toy
from toy_scene_shards import toy_scenes

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from handformer2t_toys import tiny  # noqa: E402

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.export import export_onnx as export_handformer2t  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.export import export_onnx  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    torch.manual_seed(0)
    config = KeypointTransformerConfig(objects=True, self_layers=0, crop=64)
    export_onnx(KeypointTransformer(config), folder / "kt.onnx", {})
    deep = KeypointTransformerConfig(self_layers=0, crop=64, depth=True)
    export_onnx(KeypointTransformer(deep), folder / "kt3.onnx", {})
    flat = KeypointTransformerConfig(representation="2p5d", self_layers=0, crop=64)
    export_onnx(KeypointTransformer(flat), folder / "kt2.onnx", {})
    export_handformer2t(Handformer2T(tiny(presence=True, relative_depth=True)), folder / "h2t.onnx", {})
    toy.write_interhand(folder / "interhand", parts=("test",))
    toy.write_h2o3d(folder / "h2o3d")
    toy.write_rhd(folder / "rhd")
    toy_datasets.write_ho3d(folder / "ho3d", version=2)
    shard = folder / "scenes" / "scenes-000000"
    shard.mkdir(parents=True)
    extra = {
        "box": np.tile(np.float32([20, 20, 80, 80]), (4, 1)),
        "visible": np.ones((4, 2, 21), dtype=bool),
        "depth": np.full((4, 96, 96), 6000, dtype=np.uint16),
    }
    for name, array in {**toy_scenes(4), **extra}.items():
        np.save(shard / f"{name}.npy", array)
    return folder


def run(folder: Path, kind: str, model: str, dataset: str, *more: str) -> int:
    where = ["--dataset", dataset, "--root", str(folder / dataset)]
    model = str(folder / model)
    return main(["eval", kind, *where, "--model", model, "--threads", "1", "--out", str(folder / "out"), *more])


@pytest.mark.parametrize(
    ("kind", "model", "dataset", "more", "texts"),
    [
        ("keypoint_transformer", "kt.onnx", "interhand", (), ("Table 1", "29.63", "MRRPE")),
        ("keypoint_transformer", "kt2.onnx", "interhand", ("--every", "2"), ("true wrist depth was given",)),
        ("keypoint_transformer", "kt.onnx", "scenes", (), ("Synthetic scenes", "MSSD", "box", "object is told right")),
        ("keypoint_transformer", "kt3.onnx", "scenes", (), ("depth was shown",)),
        ("keypoint_transformer", "kt3.onnx", "scenes", ("--no-depth",), ("depth was not shown",)),
        ("handformer2t", "h2t.onnx", "scenes", ("--fit",), ("MPJPE single", "laid onto the depth image")),
        ("keypoint_transformer", "kt3.onnx", "rhd", (), ("depth was not shown",)),
        ("keypoint_transformer", "kt.onnx", "h2o3d", ("--split", "train_all"), ("challenge", "006_mustard_bottle")),
        ("handformer2t", "h2t.onnx", "interhand", ("--count", "3"), ("MPJPE single",)),
        ("handformer2t", "h2t.onnx", "rhd", (), ("EPE", "AUC 20-50 mm")),
        ("handformer2t", "h2t.onnx", "scenes", (), ("EPE", "MPJPE single")),
    ],
)
def test_data_sets(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    model: str,
    dataset: str,
    more: tuple[str, ...],
    texts: tuple[str, ...],
) -> None:
    assert run(folder, kind, model, dataset, *more) == 0
    text = capsys.readouterr().out
    for expected in (*texts, "Answers", "crops: 1.25 times"):
        assert expected in text
    report = json.loads((folder / "out" / f"{kind}_{dataset}.json").read_text())
    assert report["scores"]["hands"]["all"] > 0 and report["about"]["pictures"] > 1


def test_vertices_of_the_models(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = folder / "ycb" / "006_mustard_bottle" / "textured_simple.obj"
    mesh.parent.mkdir(parents=True, exist_ok=True)
    mesh.write_text("v 0 0 0\nv 0.01 0 0\n")
    assert (
        run(folder, "keypoint_transformer", "kt.onnx", "h2o3d", "--split", "val", "--meshes", str(folder / "ycb")) == 0
    )
    assert "corners of the true box" not in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["ho3d", "h2o3d"])
def test_submissions(folder: Path, capsys: pytest.CaptureFixture[str], dataset: str) -> None:
    """Of the evaluation split, whose truth is kept back."""
    out = folder / f"{dataset}.json"
    assert run(folder, "keypoint_transformer", "kt.onnx", dataset, "--submission", str(out)) == 0
    assert "from the" in capsys.readouterr().out
    content = json.loads(out.read_text())
    if dataset == "ho3d":
        assert np.shape(content[0]) == (2, 21, 3) and np.allclose(np.array(content[0])[:, 0], 0)
    else:
        assert np.shape(content) == (1, 1, 21, 6) and np.allclose(np.array(content)[0, :, 0, :3], 0)


@pytest.mark.parametrize(
    ("kind", "model", "dataset", "more", "text"),
    [
        ("handformer2t", "kt.onnx", "scenes", (), "expected a network of handformer2t"),
        ("keypoint_transformer", "kt.onnx", "h2o3d", (), "its truth is not in"),
        ("keypoint_transformer", "kt.onnx", "interhand", ("--split", "dev"), "expected one of train, val, test"),
        ("keypoint_transformer", "kt.onnx", "scenes", ("--split", "val"), "stored scenes have none"),
        ("keypoint_transformer", "kt.onnx", "rhd", ("--fitted",), "--fitted: of interhand"),
        ("keypoint_transformer", "kt.onnx", "rhd", ("--meshes", "."), "--meshes: of ho3d and h2o3d"),
        ("keypoint_transformer", "kt.onnx", "h2o3d", ("--submission", "a.json", "--every", "2"), "needs every sample"),
        ("keypoint_transformer", "kt.onnx", "h2o3d", ("--submission", "a.txt"), "ending in .json"),
        ("keypoint_transformer", "kt.onnx", "scenes", ("--every", "0"), "at least 1"),
        ("keypoint_transformer", "kt.onnx", "scenes", ("--fit", "--no-depth"), "--fit: needs depth"),
        ("keypoint_transformer", "kt.onnx", "rhd", ("--fit",), "--fit: needs depth"),
        ("keypoint_transformer", "kt.onnx", "interhand", ("--checkpoint", "none.pth"), "takes a file of the authors"),
    ],
)
def test_what_the_user_can_mend(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    model: str,
    dataset: str,
    more: tuple[str, ...],
    text: str,
) -> None:
    assert run(folder, kind, model, dataset, *more) == 2
    assert text in capsys.readouterr().err
