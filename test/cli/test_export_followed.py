"""`hand_pose export handformer2t_followed`: the shipped model's looks again, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from hand_pose_ros.cli.main import main
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.followed_looks import followed_path, open_followed

RECIPE = "handformer2t_followed"


def test_the_shipped_looks_can_be_written_again(tmp_path: Path) -> None:
    shipped = find_model("handformer2t_lite")
    model = Path(shutil.copy(shipped, tmp_path))
    assert main(["export", RECIPE, "--checkpoint", str(model), "--out", str(followed_path(model))]) == 0
    engine = OnnxRuntimeEngine(model, 1)
    assert open_followed(model, engine) is not None
    rng = np.random.default_rng(0)
    looks = [OnnxRuntimeEngine(followed_path(path), 1) for path in (model, shipped)]
    given = {spec.name: rng.uniform(0, 1, spec.shape).astype(spec.dtype) for spec in looks[0].inputs}
    given["expected_uv"] = (32 + 64 * given["expected_uv"]).astype(np.float32)
    answers = [look.run(given) for look in looks]
    for name, value in answers[0].items():
        np.testing.assert_allclose(value, answers[1][name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--checkpoint", "missing.onnx", "--out", "missing.followed.onnx"], "no such file"),
        (["--checkpoint", "last.ckpt", "--out", "x.followed.onnx"], "expected a model file"),
        (["--checkpoint", "model.onnx", "--out", "x.onnx"], "expected model.followed.onnx"),
        (
            ["--checkpoint", "model.onnx", "--out", "model.followed.onnx", "--precision", "fp16"],
            "leave out --precision",
        ),
        (["--checkpoint", "model.onnx", "--out", "model.followed.onnx", "--command", "x"], "leave out --command"),
        (["--checkpoint", "model.onnx", "--out", "model.followed.onnx"], "model.onnx"),
    ],
)
def test_what_is_refused(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"")
    shutil.copy(find_model("hand_finder"), tmp_path / "model.onnx")
    assert main(["export", RECIPE, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "model.followed.onnx").exists() and not list(tmp_path.glob(".*"))


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    model = linked / "handformer2t_lite.onnx"
    model.symlink_to(find_model("handformer2t_lite"))
    followed_path(model).write_bytes(b"before")
    assert main(["export", RECIPE, "--checkpoint", str(model), "--out", str(followed_path(model))]) == 2
    assert "cannot be read out of" in capsys.readouterr().err
    assert followed_path(model).read_bytes() == b"before" and len(list(linked.iterdir())) == 2
