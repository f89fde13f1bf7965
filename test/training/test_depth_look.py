"""The look by depth alone learns from Keypoint-Fusion's branch on, and goes into both networks of two hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_scene_shards import toy_scenes, write_toy_scenes  # noqa: E402

from hand_pose_ros.cli.main import main  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer, KeypointTransformerConfig  # noqa: E402
from hand_pose_ros.training import checkpoints, depth_look  # noqa: E402
from hand_pose_ros.training.depth_look import CROP, DepthLookModule, begin, trained, with_look  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.handformer2t_options import Handformer2TOptions, assembled, network_config  # noqa: E402
from hand_pose_ros.training.handformer2t_weights import trained as handformer2t_trained  # noqa: E402
from hand_pose_ros.training.optimisation import Schedule  # noqa: E402
from hand_pose_ros.training.scene_crops import VALIDATION  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402
from hand_pose_ros.training.shards import Batch  # noqa: E402

PLACED = KeypointTransformerConfig(crop=64, depth=True, placed=True, self_layers=1)


def with_depth(batch: Batch) -> Batch:
    """Discs at the joints' depths before nothing."""
    pixels = batch["color"].shape[1]
    depth = np.zeros((len(batch["color"]), pixels, pixels), dtype=np.uint16)
    rows, columns = np.mgrid[:pixels, :pixels]
    for n, (fx, fy, cx, cy) in enumerate(batch["intrinsics"]):
        for hand in np.flatnonzero(batch["present"][n]):
            for x, y, z in batch["joints"][n, hand]:
                near = (columns - fx * x / z - cx) ** 2 + (rows - fy * y / z - cy) ** 2 < 9
                depth[n][near] = round(1e4 * (z - 0.01))
    return {**batch, "depth": depth}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look")
    for name, seed in (("a", 0), ("b", 1)):
        write_toy_scenes(folder / name, 8, seed)
        np.save(folder / name / "scenes-000000" / "depth.npy", with_depth(toy_scenes(8, seed))["depth"])
    torch.manual_seed(0)
    torch.save(KeypointFusion(KeypointFusionConfig()).state_dict(), folder / "fusion.pt")
    return folder


@pytest.fixture(scope="module")
def learnt(folder: Path) -> Path:
    """By the command."""
    where = ["--data", str(folder / "a"), "--validation", str(folder / "b"), "--encoder", str(folder / "fusion.pt")]
    length = ["--batch-size", "4", "--steps", "2", "--validate-every", "2", "--accelerator", "cpu", "--threads", "1"]
    assert main(["train", "depth_look", *where, *length, "--out", str(folder / "run")]) == 0
    log = (folder / "run" / "log.csv").read_text(encoding="utf-8")
    assert all(f"val/{name}" in log for name in ("mpjpe_mm", "mpjpe_interacting_mm", "wrist_depth_mm", "side"))
    return folder / "run" / "last.ckpt"


def test_it_begins_as_keypoint_fusions_branch(folder: Path) -> None:
    module = DepthLookModule(Schedule(steps=1))
    begin(module, folder / "fusion.pt")
    fusion = torch.load(folder / "fusion.pt", weights_only=True)
    own = module.network.state_dict()
    torch.testing.assert_close(own["branch.heads.finals.0.weight"], fusion["depth_branch.heads.finals.0.weight"])
    torch.save({"a": torch.zeros(1)}, folder / "other.pt")
    with pytest.raises(TrainingError, match="branch"):
        begin(module, folder / "other.pt")


@pytest.mark.parametrize("kind", ["handformer2t", "keypoint_transformer"])
def test_networks_of_two_hands_take_it(learnt: Path, kind: str) -> None:
    torch.manual_seed(0)
    network = KeypointTransformer(PLACED)
    if kind == "handformer2t":
        network = Handformer2T(Handformer2TConfig(depth=True, order="place", presence=True))
    looking = with_look(network, learnt)
    assert looking.config.depth_look and looking.depth_look is not None
    weights, own = trained(learnt), looking.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(own[f"depth_look.{name}"], value)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(own[name], value)
    # And in place of one that they have.
    again = with_look(looking, learnt).state_dict()
    torch.testing.assert_close(again["depth_look.spread_bias"], weights["spread_bias"])


def test_weights_alone_say_what_network_they_are_of(learnt: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = Handformer2TOptions(
        SceneData(()), crop=64, placed=True, depth=True, closer_only=True, network={"stages": 2}
    )
    network = with_look(Handformer2T(network_config(options)), learnt)
    checkpoints.save_weights(network, tmp_path / "hands.pt", half=True)
    assert handformer2t_trained(tmp_path / "hands.pt").config == network.config


def test_what_does_not_fit_is_refused(learnt: Path, folder: Path) -> None:
    with pytest.raises(TrainingError, match="depth"):
        with_look(Handformer2T(Handformer2TConfig()), learnt)
    torch.save({"state_dict": {}, "global_step": 0, "network": {"size": "lite"}}, folder / "foreign.ckpt")
    with pytest.raises(TrainingError, match="depth_look"):
        trained(folder / "foreign.ckpt")


def test_scenes_without_depth_are_refused() -> None:
    crops = assembled(VALIDATION, CROP, True)(toy_scenes(4), np.random.default_rng(0))
    with pytest.raises(TrainingError, match="depth"):
        DepthLookModule(Schedule(steps=1)).loss(crops)


def test_it_learns_a_few_scenes_by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """In cubes that lie where the hands are."""
    monkeypatch.setattr(depth_look, "disturbed", lambda places: places)
    torch.manual_seed(0)
    module = DepthLookModule(Schedule(200, 1e-2, warmup=5))
    crops = assembled(VALIDATION, CROP, True)(with_depth(toy_scenes(8)), np.random.default_rng(0))
    optimizer, errors = module.optimizer(), []
    for step in range(40):
        terms = module.loss(crops)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        module.average.update(module.network, step + 1)
        errors.append(float(terms["joints_depth"].detach()))
    assert np.mean(errors[-5:]) < 0.6 * np.mean(errors[:3])
    values = module.evaluate(crops)
    assert values["mpjpe_mm"][1] == float(crops.present.sum()) and 0 <= values["side"][0] <= 1
