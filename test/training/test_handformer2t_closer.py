"""The closer look learns by itself, about true joints, and goes into a network that learnt without it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_scene_shards import toy_scenes, write_toy_scenes  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.closer import windows_of  # noqa: E402
from hand_pose_ros.networks.handformer2t.config import PRESETS  # noqa: E402
from hand_pose_ros.training import checkpoints, handformer2t_closer, handformer2t_options  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.handformer2t_closer import CloserModule, begin_closer, disturbed, take_closer  # noqa: E402
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, assembled, network_config  # noqa: E402
from hand_pose_ros.training.handformer2t_training import run_handformer2t  # noqa: E402
from hand_pose_ros.training.handformer2t_weights import trained  # noqa: E402
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.training.run import RunSettings  # noqa: E402
from hand_pose_ros.training.scene_crops import VALIDATION  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that learns in no time."""
    widths = {
        "backbone": (16, 16, 16, 16),
        "blocks": (1, 1, 1, 1),
        "stem": 8,
        "stem_kernel": 3,
        "token": 16,
        "lengths": (32, 64, 400),
        "whole_channels": (1, 1, 1),
        "patch_channels": (2, 2),
        "crop": 64,
    }
    monkeypatch.setitem(PRESETS, "lite", dataclasses.replace(PRESETS["lite"], **widths))  # type: ignore[arg-type]
    placed = {"backbone": (16, 16, 16, 16), "stem": 8, "decoder": (16, 16, 16)}
    monkeypatch.setitem(handformer2t_options.PLACED_WIDTHS, "lite", placed)  # type: ignore[arg-type]


def chosen(folders: tuple[Path, Path] | None = None, **changes: object) -> Handformer2TOptions:
    data = SceneData(()) if folders is None else SceneData((str(folders[0]),), folders[1])
    fixed: dict[str, object] = {"placed": True, "depth": True, "batch_size": 4, "steps": 2}
    return Handformer2TOptions(data, **{**fixed, **changes})  # type: ignore[arg-type]


def settings(out: Path) -> RunSettings:
    return RunSettings(out, steps=0, validate_every=2, accelerator="cpu", progress=False, threads=1)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_toy_scenes(tmp_path / "a", 8), write_toy_scenes(tmp_path / "b", 8, seed=1)


def test_only_the_closer_look_learns_and_another_network_takes_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first = run_handformer2t(chosen(folders, closer_only=True), settings(tmp_path / "closer"))
    torch.manual_seed(0)
    learnt = trained(first).state_dict()
    second = run_handformer2t(chosen(folders, closer=first), settings(tmp_path / "whole"))
    whole = trained(second)
    assert whole.config.picture == 128 and whole.config.depth
    for name, value in whole.state_dict().items():
        same = torch.equal(value, learnt[name])
        if name.startswith("closer."):
            assert same, f"{name} is kept"
        elif name in ("backbone.conv1.weight", "maps.maps.output.weight"):
            assert not same, f"{name} has learnt"
    log = (tmp_path / "closer" / "log.csv").read_text(encoding="utf-8")
    assert all(f"val/{name}" in log for name in ("mpjpe_mm", "error_px", "side"))
    checkpoints.save_weights(whole, tmp_path / "whole.pt", half=True)
    assert trained(tmp_path / "whole.pt").config == whole.config


def test_it_begins_as_what_sees_the_whole_crop() -> None:
    network = Handformer2T(network_config(chosen(closer_only=True)))
    begin_closer(network)
    assert network.closer is not None
    torch.testing.assert_close(network.closer.encoder.state_dict(), network.backbone.state_dict())
    maps = network.state_dict()["maps.maps.output.weight"]
    torch.testing.assert_close(network.closer.maps.weight[:21], maps[:21])
    torch.testing.assert_close(network.closer.maps.weight[63:], maps[84:])
    with pytest.raises(TrainingError, match="closer"):
        take_closer(network, Handformer2T(network_config(chosen())).state_dict())


def test_it_learns_a_few_scenes_by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through windows that lie where the hands are."""
    monkeypatch.setattr(handformer2t_closer, "disturbed", lambda places: places)
    batch = toy_scenes(8)
    batch["depth"] = np.full(batch["color"].shape[:3], 6000, dtype=np.uint16)
    plan = handformer2t_options.PLACED_PLAN
    torch.manual_seed(0)
    module = CloserModule(
        network_config(chosen(closer_only=True)), Schedule(200, 1e-2, warmup=5), plan.losses, muon=True, decay=0.9
    )
    crops = assembled(VALIDATION, module.crop, True)(batch, np.random.default_rng(0))
    optimizer, errors = module.optimizer(), []
    for step in range(80):
        terms = module.loss(crops)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        module.average.update(module.network, step + 1)
        errors.append(float(terms["direct"].detach()))
    assert np.mean(errors[-10:]) < 0.7 * np.mean(errors[:5])
    value, count = module.evaluate(crops)["mpjpe_mm"]
    assert count == float(crops.present.sum()) and np.isfinite(value)


def test_poses_are_as_wrong_as_those_that_are_found() -> None:
    torch.manual_seed(0)
    places = 0.1 * torch.randn(200, 2, 21, 2)
    wrong = disturbed(places)
    straight = torch.ones(200, 2)
    true, found = windows_of(places, straight), windows_of(wrong, straight)
    ratio = (found.side / true.side).log()
    assert -0.3 < ratio.mean() < 0.1 and 0.2 < ratio.std() < 0.5
    moved = (found.middle - true.middle).norm(dim=-1) / true.side
    assert 0.02 < moved.median() < 0.1


def test_what_contradicts_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for changes in ({"maps_only": True}, {"closer": tmp_path / "a.ckpt"}):
        with pytest.raises(TrainingError, match="closer_only"):
            run_handformer2t(chosen(folders, closer_only=True, **changes), settings(tmp_path / "run"))
