"""Networks of two hands on scenes: a network that knows the truth errs nowhere, one that is off is off by so much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_two_hands as toy
from fake_scene_network import BlankEngine
from toy_scene_shards import PIXELS, toy_scenes

from hand_pose_ros.datasets.base import DatasetError, Reading
from hand_pose_ros.datasets.scene_shards import StoredScenes, shape_points
from hand_pose_ros.datasets.scenes import open_scenes
from hand_pose_ros.datasets.two_hands import HANDS, SceneSample
from hand_pose_ros.evaluation.scene_benchmark import crop_window, figures, look_at, synthetic_model
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.pipeline.scene_network import SeenHand, SeenObject, SeenScene
from hand_pose_ros.skeleton import WRIST


class Told:
    """Says the truth of the samples in turn.

    Args:
        samples: which are looked at.
        shaped: joints in space, else places and depths.
        off: metres added to every joint but the wrist, along x.
        offset: "3d", "depth" or "": what it knows of the translation between the hands.
        held_off: metres added to the object's place.
    """

    size, margin, has_object, around_object = 64, 1.25, True, True

    def __init__(
        self,
        samples: list[SceneSample],
        shaped: bool = True,
        off: float = 0.0,
        offset: str = "3d",
        held_off: float = 0.0,
    ) -> None:
        self.samples, self.shaped, self.off, self.offset, self.held_off = samples, shaped, off, offset, held_off
        self.engine: Any = BlankEngine()
        self.windows: list[Window] = []

    def read(self, outputs: Mapping[str, Any], window: Window) -> SeenScene:
        sample = self.samples[len(self.windows)]
        self.windows.append(window)
        joints = sample.joints.astype(np.float64)
        joints[:, 1:, 0] += self.off
        hands = []
        for k, side in enumerate(HANDS):
            placed = joints[k] if sample.valid[k, WRIST] else joints[k] + (0, 0, 0.6)
            shape = placed - placed[WRIST] if self.shaped else None
            uv = project(np.maximum(placed, (-9, -9, 0.1)), sample.intrinsics)
            presence = 0.9 if sample.present[k] else 0.1
            hands.append(SeenHand(side, presence, uv, np.ones(21), placed[:, 2] - placed[WRIST, 2], np.ones(21), shape))
        std = {"3d": np.ones(3), "depth": np.array([np.inf, np.inf, 0.1]), "": np.full(3, np.inf)}[self.offset]
        held = None
        if sample.object is not None:
            origin = joints[0 if sample.valid[0, WRIST] else 1, WRIST]
            place = sample.object.translation.astype(np.float64) - origin + (self.held_off, 0, 0)
            held = SeenObject(sample.object.rotation.astype(np.float64), place, 0.8)
        return SeenScene((hands[0], hands[1]), joints[1, WRIST] - joints[0, WRIST], std, held)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[SceneSample]:
    """Stored scenes: right, left, both, both with a box."""
    folder = tmp_path_factory.mktemp("scenes")
    batch = toy_scenes(4)
    flat = batch["joints"][..., :2] / np.maximum(batch["joints"][..., 2:], 0.1) * 150 + 47.5
    boxes = []
    for n in range(4):
        seen = flat[n][batch["present"][n]].reshape(-1, 2)
        boxes.append([*seen.min(axis=0), *seen.max(axis=0)])
    shard = folder / "scenes-000000"
    shard.mkdir()
    extra = {"box": np.float32(boxes), "visible": np.ones((4, 2, 21), dtype=bool)}
    for name, array in {**batch, **extra}.items():
        np.save(shard / f"{name}.npy", array)
    return list(StoredScenes(folder))


def test_depth_is_read_where_it_is_stored_and_asked_for(samples: list[SceneSample], tmp_path: Path) -> None:
    assert all(sample.depth is None for sample in samples)  # these shards have none
    shard = tmp_path / "scenes-000000"
    shard.mkdir()
    extra = {"box": np.zeros((1, 4), np.float32), "visible": np.ones((1, 2, 21), bool)}
    steps = np.zeros((1, PIXELS, PIXELS), np.uint16)
    steps[0, 3, 5] = 6543
    for name, array in {**toy_scenes(1), **extra, "depth": steps}.items():
        np.save(shard / f"{name}.npy", array)
    depth = StoredScenes(tmp_path)[0].depth
    assert depth is not None and depth.dtype == np.float32
    assert depth[3, 5] == pytest.approx(0.6543) and np.count_nonzero(depth) == 1
    assert StoredScenes(tmp_path, Reading(depth=False))[0].depth is None


@pytest.mark.parametrize("shaped", [True, False])
@pytest.mark.parametrize("offset", ["3d", "depth"])
def test_the_truth_has_no_error(samples: list[SceneSample], shaped: bool, offset: str) -> None:
    network = Told(samples, shaped, offset=offset)
    found = figures(look_at(samples, network, synthetic_model))
    hands = found.hands
    assert (hands.single, hands.interacting, hands.all, found.epe) == pytest.approx((0, 0, 0, 0), abs=1e-6)
    assert hands.mrrpe == pytest.approx(0, abs=1e-6) and hands.pictures == (2, 2, 2)
    assert found.presence == 1 and found.pixels == pytest.approx(0, abs=1e-6) and found.auc == pytest.approx(1)
    assert found.objects is not None and found.objects.models == {"box": (pytest.approx(0, abs=1e-6), 1)}


def test_errors_are_told(samples: list[SceneSample]) -> None:
    found = figures(look_at(samples, Told(samples, off=0.021, held_off=0.03), synthetic_model))
    # The wrists' zero is among the mean of 21 joints.
    assert found.hands.all == pytest.approx(0.020) and found.epe == pytest.approx(0.020)
    assert found.objects is not None and found.objects.mean == pytest.approx(0.03)
    # 21 mm at 0.6 m and 150 pixels of focal length, over windows of 40 to 80 pixels.
    assert 0.02 < found.pixels < 0.3


def test_what_is_not_told_is_not_measured(samples: list[SceneSample]) -> None:
    found = figures(look_at(samples, Told(samples, offset="")))
    assert np.isnan(found.hands.mrrpe) and found.hands.pictures[2] == 0
    assert figures(look_at(samples[:1], Told(samples[:1]))).objects is None


def test_other_wrist_depths_can_be_given(samples: list[SceneSample]) -> None:
    depths = {2: np.array([1.2, 1.2])}
    plain, given = (look_at(samples, Told(samples, shaped=False), wrist_depths=d).joints for d in (None, depths))
    # Twice as far, twice as wide: the picture is the same.
    np.testing.assert_allclose(given[2, 0, 8, :2], 2 * plain[2, 0, 8, :2], rtol=0.15)
    np.testing.assert_allclose(given[[0, 1, 3]], plain[[0, 1, 3]])


def test_windows_are_the_papers(samples: list[SceneSample], tmp_path: Path) -> None:
    network = Told(samples)
    look_at(samples, network)
    box = samples[0].box
    assert box is not None
    window = network.windows[0]
    assert window.side == pytest.approx(1.25 * max(box.width, box.height))
    assert window.x == pytest.approx(box.x + box.width / 2)
    toy.write_h2o3d(tmp_path / "h2o3d")
    scene = open_scenes("h2o3d", tmp_path / "h2o3d", "train_all", reading=Reading(depth=False))[0]
    assert crop_window(scene, 1.25, around_object=False).side <= crop_window(scene, 1.25).side
    nothing = dataclasses.replace(
        samples[0], box=None, valid=np.zeros_like(samples[0].valid), joints=0 * samples[0].joints
    )
    assert crop_window(nothing, 1.25) == Window(47.5, 47.5, 96.0)


def test_pictures_are_needed(samples: list[SceneSample]) -> None:
    with pytest.raises(ValueError, match="expected a picture"):
        look_at([dataclasses.replace(samples[0], rgb=None, object_mask=None)], Told(samples))
    with pytest.raises(ValueError, match="got none"):
        look_at([], Told(samples))


@pytest.mark.parametrize("name", ["box", "cylinder", "capsule", "cup"])
def test_symmetries_leave_the_points_alike(name: str) -> None:
    """Every symmetric turn takes the points onto themselves, as far as a rim of twelve points goes."""
    box = np.array([[x, y, z] for x in (-0.03, 0.03) for y in (-0.03, 0.03) for z in (-0.08, 0.08)])
    points, symmetries = shape_points(name, box)
    rows = symmetries if name == "box" else symmetries[:: 72 // 12]
    assert len(rows) == {"box": 4, "cylinder": 24, "capsule": 24, "cup": 12}[name]
    for turn in rows:
        gaps = np.linalg.norm((points @ turn.T)[:, None] - points[None], axis=2).min(axis=1)
        assert gaps.max() < 1e-9
    assert points.max(axis=0) == pytest.approx(box.max(axis=0))


def test_unknown_shapes_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a shape among box"):
        shape_points("plane", np.zeros((8, 3)))
    assert shape_points("sphere", np.ones((8, 3)))[0].shape == (1, 3)
    with pytest.raises(DatasetError, match="hand_pose synth scenes"):
        StoredScenes(tmp_path)
