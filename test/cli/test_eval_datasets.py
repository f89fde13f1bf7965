"""`hand_pose eval kpt_fusion` on tiny trees, with toy networks that see blobs of depth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toy_datasets as toy
import toy_models

from hand_pose_ros.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    toy_models.hand_model(folder / "hand.onnx")
    toy_models.finder_model(folder / "finder.onnx")
    toy.write_dexycb(folder / "dexycb", subjects=3, sequences=5, serials=1, frames=2)
    toy.write_ho3d(folder / "ho3d", version=2)
    return folder


def run(folder: Path, *arguments: str) -> int:
    models = ["--model", str(folder / "hand.onnx"), "--finder.model", str(folder / "finder.onnx"), "--threads", "1"]
    return main(["eval", "kpt_fusion", *arguments, *models, "--out", str(folder / "out")])


def test_dexycb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = folder / "results.txt"
    assert run(folder, "--dataset", "dexycb", "--root", str(folder / "dexycb"), "--submission", str(results)) == 0
    text = capsys.readouterr().out
    assert "Keypoint-Fusion, paper" in text and "the true joints" in text and "our hand finder" in text
    assert "not 100 sequences" in text, "an incomplete data set is said to be one"
    report = json.loads((folder / "out" / "kpt_fusion_dexycb.json").read_text())
    truth = next(row for row in report["scores"]["s0"] if row["center"] == "truth")
    assert truth["samples"] == truth["found"] == 1
    # The toy network puts its hand at the patch's centre: some centimetres, not more, not nothing.
    assert 0.005 < truth["mpjpe"] < 0.08
    row = [float(value) for value in results.read_text().split(",")]
    assert row[0] == 1 and len(row) == 64, "frame 0 shows no hand and has no line"
    assert 400 < row[3] < 900, "millimetres"


def test_dexycb_in_all_set_ups_needs_all_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--dataset", "dexycb", "--root", str(folder / "dexycb"), "--split", "all") == 2
    assert "none of the subjects of s1_test" in capsys.readouterr().err


def test_ho3d_with_its_submission(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "pred.json"
    assert run(folder, "--dataset", "ho3d", "--root", str(folder / "ho3d"), "--submission", str(out)) == 0
    text = capsys.readouterr().out
    assert "what the data gives" in text and "1.79" in text and "its vertices are zeros" in text
    xyz, verts = json.loads(out.read_text())
    assert np.shape(xyz) == (2, 21, 3) and np.shape(verts) == (2, 778, 3)
    assert np.array(xyz)[:, :, 2].max() < 0, "OpenGL: the hand lies along negative z"
    report = json.loads((folder / "out" / "kpt_fusion_ho3d.json").read_text())
    assert report["about"]["cube_size"] == 0.28, "the paper's cube, unless another one is asked for"


def test_ho3d_without_truth_still_submits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = toy.write_ho3d(folder / "hidden", released=False).root
    arguments = ("--dataset", "ho3d", "--root", str(root), "--cube-size", "0.3")
    assert run(folder, *arguments) == 2
    assert "evaluation_xyz.json" in capsys.readouterr().err
    assert run(folder, *arguments, "--submission", str(folder / "hidden.json")) == 0
    assert len(json.loads((folder / "hidden.json").read_text())[0]) == 2
    report = json.loads((folder / "out" / "kpt_fusion_ho3d.json").read_text())
    assert report["about"]["cube_size"] == 0.3


def test_ho3d_with_meshes_from_the_users_hand_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mano = toy.write_toy_mano(folder / "mano")
    out = folder / "meshes.json"
    arguments = ("--dataset", "ho3d", "--root", str(folder / "ho3d"), "--submission", str(out))
    assert run(folder, *arguments, "--mano-path", str(mano)) == 0
    text = capsys.readouterr().out
    assert "Mesh, errors in cm" in text and "F@15 mm" in text and "zeros" not in text
    xyz, verts = (np.array(part) for part in json.loads(out.read_text()))
    gap = np.linalg.norm(verts[:, :5] - xyz[:, 16:], axis=2)
    assert gap.max() < 0.06, "the first vertices of the toy mesh are its fingertips"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--dataset", "dexycb", "--root", "/nowhere"), "/nowhere: expected the folder of dexycb"),
        (("--dataset", "dexycb", "--root", "ROOT/ho3d"), "camera calibration"),
        (("--dataset", "ho3d", "--root", "ROOT/dexycb"), "part evaluation"),
        (("--dataset", "dexycb", "--root", "ROOT/dexycb", "--split", "s9"), "expected a split among"),
        (("--dataset", "dexycb", "--root", "ROOT/dexycb", "--every", "0"), "--every: expected at least 1"),
        (("--dataset", "dexycb", "--root", "ROOT/dexycb", "--centers", "given"), "given is not known"),
        (("--dataset", "dexycb", "--root", "ROOT/dexycb", "--version", "2"), "--version is HO-3D's"),
        (("--dataset", "ho3d", "--root", "ROOT/ho3d", "--version", "3"), "version 3 was asked for"),
        (("--dataset", "ho3d", "--root", "ROOT/ho3d", "--submission", "x.zip"), "a .json"),
        (("--dataset", "ho3d", "--root", "ROOT/ho3d", "--submission", "x.json", "--every", "2"), "every sample"),
        (("--dataset", "dexycb", "--root", "ROOT/dexycb", "--checkpoint", "/none.pth"), "/none.pth"),
    ],
)
def test_mistakes_are_answered(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert run(folder, *(word.replace("ROOT", str(folder)) for word in arguments)) == 2
    assert says in capsys.readouterr().err
