"""Handformer2T is trained by its options on shards of scenes, and what is exported is what was measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.config import PRESETS, Widths  # noqa: E402
from hand_pose_ros.networks.handformer2t.decode import decode  # noqa: E402
from hand_pose_ros.networks.handformer2t.output import Handformer2TOutput  # noqa: E402
from hand_pose_ros.training import checkpoints, handformer2t_training  # noqa: E402
from hand_pose_ros.training.errors import TrainingError  # noqa: E402
from hand_pose_ros.training.handformer2t_deploy import export_handformer2t, infer_of  # noqa: E402
from hand_pose_ros.training.handformer2t_module import measured, targets_of  # noqa: E402
from hand_pose_ros.training.handformer2t_options import PLANS, Handformer2TOptions, assembled, network_config  # noqa: E402
from hand_pose_ros.training.handformer2t_training import run_handformer2t  # noqa: E402
from hand_pose_ros.training.handformer2t_weights import trained  # noqa: E402
from hand_pose_ros.training.run import RunSettings  # noqa: E402
from hand_pose_ros.training.scene_crops import SceneBatch  # noqa: E402
from hand_pose_ros.training.scene_sources import SceneData  # noqa: E402

CROP = 64
NARROW = Widths(
    backbone=(8, 8, 8, 16),
    blocks=(1, 1, 1, 1),
    bottleneck=False,
    stem=8,
    stem_kernel=3,
    token=16,
    lengths=(32, 32, 80),
    whole_channels=(1, 1, 1),
    patch_channels=(2, 2),
    crop=CROP,
)


def raw(count: int = 8, pixels: int = 96) -> dict[str, np.ndarray]:
    """Scenes as they are stored: one hand, two, or none."""
    rng = np.random.default_rng(5)
    joints = rng.normal((0.0, 0.0, 0.6), 0.04, (count, 2, 21, 3)).astype(np.float32)
    present = np.ones((count, 2), dtype=bool)
    present[1::4, 0] = present[2::4, 1] = False
    present[3] = False
    joints[~present] = 0
    middle = (pixels - 1) / 2
    return {
        "color": rng.integers(1, 255, (count, pixels, pixels, 3), dtype=np.uint8),
        "intrinsics": np.tile(np.array([220.0, 220.0, middle, middle], np.float32), (count, 1)),
        "present": present,
        "joints": joints,
        "mask": np.zeros((count, pixels, pixels), np.uint8),
    }


def crops(recipe: str = "ours", seed: int = 0) -> SceneBatch:
    return assembled(PLANS[recipe].training, CROP)(raw(), np.random.default_rng(seed))


def perfect(batch: SceneBatch) -> Handformer2TOutput:
    targets = targets_of(batch, CROP)
    return Handformer2TOutput(
        poses=targets.poses[None],
        scales=torch.full_like(targets.poses[None, ..., 0], 0.01),
        presence_logits=20 * targets.presence - 10,
        relative_depth=targets.relative_depth,
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("training", "validation"):
        folder = tmp_path / name / "scenes-000000"
        folder.mkdir(parents=True)
        for array, values in raw().items():
            np.save(folder / f"{array}.npy", values)
    return tmp_path / "training", tmp_path / "validation"


def options(folders: tuple[Path, Path], **changes: object) -> Handformer2TOptions:
    chosen = Handformer2TOptions(
        SceneData((str(folders[0]),), folders[1]), batch_size=4, steps=2, network={"widths": NARROW}
    )
    return dataclasses.replace(chosen, **changes)  # type: ignore[arg-type]


def settings(out: Path, **changes: object) -> RunSettings:
    chosen = RunSettings(out, steps=0, validate_every=2, accelerator="cpu", progress=False, threads=1)
    return dataclasses.replace(chosen, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_the_targets_decoded_are_the_truth(seed: int) -> None:
    batch = crops(seed=seed)
    values = measured(decode(perfect(batch), CROP), batch)
    assert values["presence"] == (1.0, 16.0)
    for name in ("mpjpe_mm", "mpjpe_single_mm", "mpjpe_interacting_mm", "error_px", "mrrpe_mm"):
        error, count = values[name]
        assert count > 0
        assert error < 1e-2


def test_single_and_interacting_hands_are_told_apart() -> None:
    batch = crops()
    values = measured(decode(perfect(batch), CROP), batch)
    assert values["mpjpe_single_mm"][1] + values["mpjpe_interacting_mm"][1] == values["mpjpe_mm"][1]
    assert values["mrrpe_mm"][1] == batch.present.all(dim=1).sum()


def test_an_error_in_the_picture_is_measured() -> None:
    batch = crops()
    output = perfect(batch)
    shifted = output._replace(poses=output.poses + torch.tensor([3 / CROP, 4 / CROP, 0.0]))
    assert measured(decode(shifted, CROP), batch)["error_px"][0] == pytest.approx(5.0, abs=1e-3)


def test_absent_hands_teach_presence_only() -> None:
    targets = targets_of(crops(), CROP)
    assert (targets.joint_valid.sum(dim=2) > 0).tolist() == (targets.presence > 0).tolist()
    assert torch.equal(targets.relative_valid, (targets.presence.sum(dim=1) == 2).float())


def test_the_papers_rate_falls_at_shares_of_the_training() -> None:
    chosen = PLANS["paper"]
    schedule = handformer2t_training.Schedule(2700, falls=chosen.falls, fall=chosen.fall)
    assert [schedule.factor(step) for step in (0, 799, 800, 1700, 2500)] == [1.0, 1.0, 0.25, 0.0625, 0.25**3]


@pytest.mark.parametrize(("recipe", "precision"), [("paper", "32"), ("ours", "bf16-mixed")])
def test_a_training_runs_resumes_and_is_read_back(
    folders: tuple[Path, Path], tmp_path: Path, recipe: str, precision: str
) -> None:
    out = tmp_path / "run"
    before = checkpoints.read(run_handformer2t(options(folders, recipe=recipe), settings(out, precision=precision)))[
        "state_dict"
    ]
    path = run_handformer2t(options(folders, recipe=recipe, steps=3), settings(out, precision=precision, resume=True))
    state = checkpoints.read(path)
    assert state["global_step"] == 3
    # What helps training learns along, and stays out of the network.
    part = "losses.flows" if recipe == "paper" else "maps."
    beside = [name for name in before if name.startswith(part) and name.endswith("weight")]
    assert any(not torch.equal(before[name], state["state_dict"][name]) for name in beside)
    network = trained(path)
    assert network.config.widths == NARROW
    assert not any("flow" in name or "maps" in name for name, _ in network.named_parameters())


def test_our_variant_is_trained_and_read_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    path = run_handformer2t(options(folders, placed=True), settings(tmp_path / "run"))
    network = trained(path)
    assert network.config.maps and network.config.order == "place"
    values = measured(decode(network(crops().rgb), CROP), crops())
    assert values["presence"][1] == 16 and np.isfinite([value for value, _ in values.values()]).all()


def test_maps_learn_alone_and_begin_another_training_at_another_crop(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    widths = {"widths": dataclasses.replace(NARROW, decoder=(12, 8, 8))}
    first = run_handformer2t(options(folders, placed=True, maps_only=True, network=widths), settings(tmp_path / "maps"))
    learnt = trained(first).state_dict()
    larger = {"widths": dataclasses.replace(widths["widths"], crop=96, lengths=(32, 64, 200))}
    begun = options(folders, placed=True, network=larger, encoder=first, learning_rate=1e-9)
    network = trained(run_handformer2t(begun, settings(tmp_path / "run")))
    assert network.config.network_widths.crop == 96
    for name, value in network.state_dict().items():
        if name.startswith(("backbone.", "decoder.", "maps.")) and name.endswith(("weight", "bias")):
            torch.testing.assert_close(value, learnt[name], rtol=0, atol=1e-6)
    torch.save(network.state_dict(), tmp_path / "a.pt")
    other = options(folders, placed=True, network={"widths": NARROW}, encoder=tmp_path / "a.pt")
    with pytest.raises(TrainingError, match="decoder"):
        run_handformer2t(other, settings(tmp_path / "other"))


@pytest.mark.parametrize("depth", [False, True])
def test_weights_alone_are_the_network_and_its_crop(tmp_path: Path, depth: bool) -> None:
    torch.manual_seed(0)
    chosen = Handformer2TOptions(SceneData(()), crop=96, placed=True, depth=depth)
    network = Handformer2T(network_config(chosen)).eval()
    checkpoints.save_weights(network, tmp_path / "a.pt", half=True)
    found = trained(tmp_path / "a.pt")
    assert found.config == network.config
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-4, rtol=1e-3)
    torch.save({"a": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(TrainingError, match="save-weights"):
        trained(tmp_path / "b.pt")
    weights = {**network.state_dict(), "backbone.conv1.weight": torch.zeros(2, 3, 5, 5)}
    torch.save(weights, tmp_path / "c.pt")
    with pytest.raises(TrainingError, match="another's"):
        trained(tmp_path / "c.pt")


def test_maps_alone_leave_tokens_as_they_are(folders: tuple[Path, Path], tmp_path: Path) -> None:
    chosen = options(folders, placed=True, maps_only=True)
    states = []
    for steps in (1, 3):
        path = run_handformer2t(
            dataclasses.replace(chosen, steps=steps), settings(tmp_path / "run", resume=True, validate_every=1)
        )
        states.append(checkpoints.read(path)["state_dict"])
    changed = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert not any("coarse" in name or "refiners" in name for name in changed)
    assert any(name.startswith("network.maps") for name in changed)
    log = (tmp_path / "run" / "log.csv").read_text(encoding="utf-8")
    assert "val/error_px" in log and "val/side" in log


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": "r18"}, "size"),
        ({"maps_only": True}, "placed"),
        ({"recipe": "authors"}, "recipe"),
        ({"crop": 100, "network": {}}, "32"),
        ({"network": {"stages": 9}}, "stages"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    with pytest.raises(TrainingError, match=text):
        run_handformer2t(options(folders, **changes), settings(tmp_path / "run"))


def test_a_smaller_crop_costs_no_parameters() -> None:
    def config(crop: int | None) -> object:
        return network_config(Handformer2TOptions(SceneData(("",)), crop=crop)).network_widths

    assert config(None) == PRESETS["lite"]
    assert config(128) == dataclasses.replace(PRESETS["lite"], crop=128)


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoints.write({"state_dict": {}, "global_step": 0, "network": {"size": "lite"}}, tmp_path / "a.ckpt")
    with pytest.raises(TrainingError, match="handformer2t"):
        trained(tmp_path / "a.ckpt")


def test_the_file_says_what_the_network_says(folders: tuple[Path, Path], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = trained(run_handformer2t(options(folders), settings(tmp_path / "run")))
    path = tmp_path / "hands.onnx"
    export_handformer2t(network, path, {"wrist_depth_std": "0.03"}, 2.0)
    infer, size, taken = infer_of(network)
    assert taken == ("rgb",)
    crop = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = dict(zip([item.name for item in session.get_outputs()], session.run(None, {"rgb": crop}), strict=True))
    expected = infer({"rgb": crop})
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        factor = 2.0 if name.endswith("_std") else 1.0
        np.testing.assert_allclose(outputs[name], factor * value, atol=1e-4, rtol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["wrist_depth_std"] == "0.03"
    whole = path.stat().st_size
    export_handformer2t(network, path, {}, 2.0, half_weights=True)
    assert path.stat().st_size < 0.75 * whole
    half = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for item, value in zip(half.get_outputs(), half.run(None, {"rgb": crop}), strict=True):
        # Half a millimetre at a pixel of a millimetre.
        np.testing.assert_allclose(value, outputs[item.name], atol=0.02 if item.name == "uv" else 5e-4, rtol=5e-3)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"crop: {CROP} px" in card and "sha256" in card
