"""`hand_pose train` hands its options on; the training itself is tested in test/training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hand_pose_ros.cli.main import main
from hand_pose_ros.training.errors import TrainingError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of `run_recipe` and `run_fusion`, which stand in for the real ones; torch is not needed."""
    made: list[tuple[Any, ...]] = []

    def run_recipe(*arguments: Any) -> Path:
        made.append(arguments)
        if arguments[0] == "empty":
            raise TrainingError("no shards")
        return Path("last.ckpt")

    def run_fusion(*arguments: Any) -> Path:
        made.append(arguments)
        return Path("last.ckpt")

    modules = {
        "hand_pose_ros.training.errors": SimpleNamespace(TrainingError=TrainingError),
        "hand_pose_ros.training.recipes": SimpleNamespace(
            RECIPES=("hand_finder", "empty"), batch_size=lambda name: 32, run_recipe=run_recipe
        ),
        "hand_pose_ros.training.run": SimpleNamespace(RunSettings=SimpleNamespace),
        "hand_pose_ros.training.fusion_training": SimpleNamespace(FusionOptions=SimpleNamespace, run_fusion=run_fusion),
        "hand_pose_ros.datasets.synthetic.stream": SimpleNamespace(available_workers=lambda: 14),
        "moderngl": SimpleNamespace(),
    }
    monkeypatch.setattr("hand_pose_ros.cli.train.load", modules.__getitem__)
    return made


def folders(tmp_path: Path) -> list[str]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return ["--data", str(tmp_path / "a"), "--validation", str(tmp_path / "b"), "--out", str(tmp_path / "o")]


def test_options_reach_the_training(tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    more = ["--minutes", "1.5", "--depth-steps", "70", "--muon"]
    assert main(["train", "hand_finder", *folders(tmp_path), "--samples", "6400", "--resume", *more]) == 0
    ((name, data, validation, rate, settings, depth_steps, muon),) = calls
    assert (name, [d.name for d in data], validation.name, rate, depth_steps) == ("hand_finder", ["a"], "b", 8e-4, 70)
    assert (settings.steps, settings.minutes, settings.resume, muon) == (200, 1.5, True, True)


def test_keypoint_fusion_takes_any_data_and_network(tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    out = ["--out", str(tmp_path)]
    network = ["--size", "r18", "--stages", "3", "--ablate", "refinement", "projected_rgb", "--recipe", "paper"]
    assert main(["train", "kpt_fusion", "--data", "dexycb", "--root", "d", "--split", "s1", *network, *out]) == 0
    assert main(["train", "kpt_fusion", "--data", "synthetic", "--scene.negatives", "0.5", *out]) == 0
    assert main(["train", "kpt_fusion", *folders(tmp_path), "--precision", "bf16-mixed"]) == 0
    (dexycb, _), (synthetic, _), (shards, settings) = calls
    assert (dexycb.data, dexycb.root, dexycb.split, dexycb.recipe) == (("dexycb",), Path("d"), "s1", "paper")
    assert (dexycb.size, dexycb.stages, dexycb.ablate) == ("r18", 3, ("refinement", "projected_rgb"))
    assert (synthetic.scenes.negatives, synthetic.workers, synthetic.learning_rate) == (0.5, 14, None)
    assert (shards.workers, settings.precision, shards.validation.name) == (0, "bf16-mixed", "b")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nonsense"], "hand_finder, empty, got 'nonsense'"),
        (["empty"], "no shards"),
        (["hand_finder", "--samples", "0"], "at least 1"),
        (["kpt_fusion", "--data", "/nowhere"], "/nowhere: expected synthetic, dexycb, ho3d, a folder of shards"),
        (["hand_finder", "--data", "dexycb"], "dexycb: expected a folder of shards for hand_finder"),
        (["keypoint_transformer", "--data", "dexycb"], "expected interhand, h2o3d, ho3d, rhd, a folder of shards"),
        (["kpt_fusion", "--learning-rate", "-1"], "above 0"),
        (["kpt_fusion", "--validation", "/nowhere"], "/nowhere: expected a folder of shards"),
    ],
)
def test_mistakes(
    tmp_path: Path, calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert main(["train", *folders(tmp_path), *argv]) == 2
    assert says in capsys.readouterr().err


def test_shards_need_others_to_validate_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "kpt_fusion", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "--validation: expected a folder of shards of another seed" in capsys.readouterr().err
