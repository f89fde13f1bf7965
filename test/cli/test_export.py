"""`hand_pose export kpt_fusion`: a checkpoint of the authors becomes a model that says what it cannot tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.cli import main as cli  # noqa: E402
from hand_pose_ros.engines.zoo import verify  # noqa: E402
from hand_pose_ros.networks import keypoint_fusion  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.authors import AuthorsKeypointFusion  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.check import HandCheck  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.config import PRESETS, KeypointFusionConfig  # noqa: E402


def _narrow() -> AuthorsKeypointFusion:
    eight, one = (8, 8, 8, 8), (1, 1, 1, 1)
    few = {"depth": eight, "rgb": eight, "depth_blocks": one, "rgb_blocks": one, "features": 16, "tokens": 16}
    widths = replace(PRESETS["r18"], **few, layers=1)  # type: ignore[arg-type]
    return AuthorsKeypointFusion(KeypointFusionConfig(size="r18", variant="authors", widths=widths))


def test_model_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    # The real reading of files is tested beside the networks; a full-size export takes too long here.
    monkeypatch.setattr(keypoint_fusion, "load_checkpoint", lambda path: _narrow())
    given, check, out = tmp_path / "KPFusion_Dexycb_s0.pth", tmp_path / "hand_check.pt", tmp_path / "kpt.onnx"
    given.write_bytes(b"read by load_checkpoint")
    torch.save(HandCheck().state_dict(), check)
    arguments = ["--checkpoint", str(given), "--check", str(check), "--data", "DexYCB s0", "--out", str(out)]
    arguments += ["--precision", "fp16"]
    assert cli.main(["export", "kpt_fusion", *arguments]) == 0
    assert "joint_std is not calibrated" in capsys.readouterr().out
    card = out.with_suffix(".md").read_text()
    assert out.is_file()
    for line in ("- source: KPFusion_Dexycb_s0.pth", "- data: DexYCB s0", "- joint_std: not calibrated", "- sha256: "):
        assert line in card
    assert "always 1" not in card  # the check tells
    assert "- precision: fp16" in card
    verify(out)  # the card is of the file as it was written last


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "expected a checkpoint that torch.save wrote"),
        (["--validation", "crops"], "--validation: not for a checkpoint of the authors"),
        (["--save-weights", "w.pt"], "--save-weights: not for a checkpoint of the authors"),
    ],
)
def test_a_wrong_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no checkpoint")
    out = str(tmp_path / "x.onnx")
    assert cli.main(["export", "kpt_fusion", "--checkpoint", str(wrong), "--out", out, *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
