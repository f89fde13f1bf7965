"""Networks of two hands on stored synthetic scenes, each cropped around the true joints as the pipeline does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.shards import unpack_depth
from hand_pose_ros.evaluation.calibration import Calibration, calibration
from hand_pose_ros.evaluation.report import Table
from hand_pose_ros.evaluation.two_hands import TwoHandScores, end_point_error, two_hand_scores, wrist_relative
from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.geometry.scene_crop import SceneCutter, Window, window_around
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST
from hand_pose_ros.types import BoolArray, ByteArray, DoubleArray, FloatArray, Intrinsics

Array = NDArray[Any]
# From what `SceneCutter` cuts to the outputs of `networks.handformer2t.export`.
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]

RIGHT, LEFT = 0, 1
_READ: Final = ("color", "intrinsics", "present", "joints")
_DEPTH: Final = "depth"


@dataclass(frozen=True)
class StoredScene:
    """One sample of shards of scenes: color (H, W, 3) uint8, depth (H, W) float32 metres, 0 = none (None in shards
    without), its camera, present (2,) bool, joints (2, 21, 3) m."""

    color: ByteArray
    depth: FloatArray | None
    camera: Intrinsics
    present: BoolArray
    joints: FloatArray

    def window(self) -> Window:
        """Around all joints, as the pipeline does it; without a hand the whole picture."""
        if not self.present.any():
            side = float(self.camera.width)
            return Window((side - 1) / 2, (side - 1) / 2, side)
        points = self.joints[self.present].reshape(-1, 3)
        return window_around(np.asarray(project(points, self.camera), dtype=np.float64))


def stored_scenes(folder: Path, count: int | None = None) -> Iterator[StoredScene]:
    """The first `count` samples of a folder of `hand_pose synth scenes`, or all.

    Raises:
        FileNotFoundError: there are none; the text says how to make them.
    """
    shards = [path for path in sorted(folder.glob("scenes-*")) if path.is_dir()]
    if not shards:
        raise FileNotFoundError(
            f"{folder}: no shards of scenes; make them with `hand_pose synth scenes --out {folder}`"
        )
    left = count
    for shard in shards:
        names = (*_READ, _DEPTH) if (shard / f"{_DEPTH}.npy").is_file() else _READ
        arrays = {name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in names}
        for index in range(len(arrays["color"])):
            if left is not None:
                if left == 0:
                    return
                left -= 1
            color, intrinsics, present, joints = (np.array(arrays[name][index]) for name in _READ)
            fx, fy, cx, cy = (float(value) for value in intrinsics)
            camera = Intrinsics(fx, fy, cx, cy, color.shape[1], color.shape[0])
            depth = unpack_depth(arrays[_DEPTH][index]) if _DEPTH in arrays else None
            yield StoredScene(color, depth, camera, present, joints)


@dataclass(frozen=True)
class ScenePredictions:
    """What a network says of N scenes, and the truth; metres, hands (right, left).

    Attributes:
        joints: (N, 2, 21, 3) camera frame, each wrist at its true depth.
        std: (N, 2, 21) one standard deviation per joint.
        presence: (N, 2) 0..1.
        translation: (N, 3) right to left wrist, the right one at its true depth; NaN where not both are there.
        pixels: (N, 2, 21) error in the picture, as a part of the crop's side.
        truth: (N, 2, 21, 3). present: (N, 2) bool.
    """

    joints: DoubleArray
    std: DoubleArray
    presence: DoubleArray
    translation: DoubleArray
    pixels: DoubleArray
    truth: DoubleArray
    present: BoolArray

    def part(self, chosen: slice) -> ScenePredictions:
        """Some of the scenes."""
        return ScenePredictions(
            self.joints[chosen],
            self.std[chosen],
            self.presence[chosen],
            self.translation[chosen],
            self.pixels[chosen],
            self.truth[chosen],
            self.present[chosen],
        )

    @property
    def distances(self) -> DoubleArray:
        """(M, 21) errors in metres of the hands that are there, each wrist at its true depth."""
        return np.asarray(np.linalg.norm(self.joints - self.truth, axis=-1)[self.present])

    @property
    def deviations(self) -> DoubleArray:
        """(M, 21) what the network expects of them."""
        return np.asarray(self.std[self.present])

    def reliability(self, factor: float = 1.0) -> Calibration:
        """Of the deviations times `factor`."""
        return calibration(self.distances, factor * self.deviations)


def predict(
    infer: Infer,
    size: int,
    folder: Path,
    count: int | None = None,
    taken: Collection[str] = ("rgb",),
    shown: bool = True,
) -> ScenePredictions:
    """Run a network with crops of `size` pixels over stored scenes.

    Args:
        infer: the network.
        size: of its crops.
        folder: shards of scenes.
        count: the first so many.
        taken: names of its inputs.
        shown: whether it is shown the depth that a shard has, if it takes any.

    Raises:
        FileNotFoundError: there are no shards.
    """
    cutter = SceneCutter(size, taken)
    rows = [_look(infer, size, cutter, scene, shown) for scene in stored_scenes(folder, count)]
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return ScenePredictions(**arrays)


def _look(infer: Infer, size: int, cutter: SceneCutter, scene: StoredScene, shown: bool) -> dict[str, Array]:
    window = scene.window()
    outputs = infer(cutter.cut(window, scene.color, scene.depth if shown else None, scene.camera.fx))
    truth, camera = scene.joints.astype(np.float64), scene.camera
    uv = window.to_image(np.asarray(outputs["uv"][0], dtype=np.float64), size)
    depth = np.asarray(outputs["depth"][0], dtype=np.float64)
    joints = back_project(uv, truth[:, WRIST : WRIST + 1, 2] + depth, camera)
    # As `networks.handformer2t.decode.metric_std`: root mean square over the three axes.
    lateral = np.asarray(outputs["uv_std"][0]) * (window.side / size) * truth[..., 2] / camera.fx
    std = np.sqrt((2 * lateral**2 + np.asarray(outputs["depth_std"][0]) ** 2) / 3)
    translation = np.full(3, np.nan)
    if scene.present.all() and "wrist_depth" in outputs:
        z = truth[RIGHT, WRIST, 2] + np.array([0.0, float(outputs["wrist_depth"][0])])
        wrists = back_project(uv[:, WRIST], z, camera)
        translation = wrists[LEFT] - wrists[RIGHT]
    gap = np.zeros((2, NUM_JOINTS))
    for hand in np.flatnonzero(scene.present):
        gap[hand] = np.linalg.norm(uv[hand] - project(scene.joints[hand], camera), axis=-1) / window.side
    return {
        "joints": joints,
        "std": std,
        "presence": np.asarray(outputs["presence"][0], dtype=np.float64),
        "translation": translation,
        "pixels": gap,
        "truth": truth,
        "present": scene.present,
    }


@dataclass(frozen=True)
class SceneScores:
    """Figures of a network on scenes.

    Attributes:
        hands: MPJPE of single and interacting hands and MRRPE, metres.
        epe: mean error of the joints of all hands from their wrists, metres.
        pixels: mean error in the picture as a part of the crop's side.
        presence: share of the answers, is this hand there, that are right. absent, present: of hands that are not
            there, and of those that are.
        single_side: share of single hands whose own side is the likelier one. pair_sides: share of the scenes with two
            hands whose poses lie nearer to the hands of their sides, in the picture, than to the others.
        reliability: of the standard deviations.
    """

    hands: TwoHandScores
    epe: float
    pixels: float
    presence: float
    absent: float
    present: float
    single_side: float
    pair_sides: float
    reliability: Calibration


def _single_sides(found: ScenePredictions) -> BoolArray:
    """For each scene with one hand, whether its own side is the likelier one."""
    single = found.present.sum(axis=1) == 1
    likelier: BoolArray = found.presence[single].argmax(axis=1) == found.present[single].argmax(axis=1)
    return likelier


def _pair_sides(found: ScenePredictions) -> BoolArray:
    """For each scene with two hands, whether its poses lie nearer to the hands of their sides than to the others."""
    both = found.present.all(axis=1)
    seen, true = (points[both][..., :2] / points[both][..., 2:] for points in (found.joints, found.truth))
    apart = np.linalg.norm(seen[:, :, None] - true[:, None], axis=-1).mean(axis=-1)
    nearer: BoolArray = apart[:, 0, 0] + apart[:, 1, 1] < apart[:, 0, 1] + apart[:, 1, 0]
    return nearer


def _share(right: BoolArray) -> float:
    return float(right.mean()) if len(right) else float("nan")


def scores(found: ScenePredictions) -> SceneScores:
    """All figures; scenes without a hand count for presence only."""
    some: BoolArray = np.asarray(found.present.any(axis=1))
    valid = np.repeat(found.present[:, :, None], NUM_JOINTS, axis=2)
    hands = two_hand_scores(
        found.joints[some],
        found.truth[some],
        valid[some],
        found.present[some],
        np.nan_to_num(found.translation[some]),
    )
    right = (found.presence > 0.5) == found.present
    return SceneScores(
        hands=hands,
        epe=end_point_error(wrist_relative(found.joints, found.truth, valid)),
        pixels=float(found.pixels[found.present].mean()),
        presence=float(right.mean()),
        absent=float(right[~found.present].mean()) if (~found.present).any() else float("nan"),
        present=float(right[found.present].mean()),
        single_side=_share(_single_sides(found)),
        pair_sides=_share(_pair_sides(found)),
        reliability=found.reliability(),
    )


def score_tables(result: SceneScores) -> tuple[Table, ...]:
    """For people."""
    single, interacting, pairs = result.hands.pictures
    errors = (
        ("EPE, all hands", result.epe * 1e3, single + interacting),
        ("MPJPE, single hands", result.hands.single * 1e3, single),
        ("MPJPE, interacting hands", result.hands.interacting * 1e3, interacting),
        ("MRRPE", result.hands.mrrpe * 1e3, pairs),
    )
    known = result.reliability
    shares = (
        ("presence told right", result.presence, None),
        ("of hands that are there", result.present, None),
        ("of hands that are not", result.absent, None),
        ("single hands on their side", result.single_side, None),
        ("pairs with both hands on their sides", result.pair_sides, None),
        ("error in the picture / side of the crop", result.pixels, None),
        *(
            (f"joints within {k} std (3D)", seen, expected)
            for k, seen, expected in zip((1, 2, 3), known.within, known.expected, strict=True)
        ),
        ("calibration error (mean |observed - nominal|)", known.error, 0.0),
        ("rank correlation of std and error", known.correlation, 1.0),
    )
    return (
        Table("Errors from the hand's own wrist", ("measure", "mm", "pictures"), errors, (0, 2, 0)),
        Table("Answers and how sure they are", ("measure", "value", "ideal"), shares, 3),
    )


def card_figures(first: ScenePredictions, second: ScenePredictions, factor: float) -> dict[str, str]:
    """For a model's card: calibrated on the first scenes with this factor, all figures of the second."""
    result = scores(dataclasses.replace(second, std=factor * second.std))
    known, before, fitted = result.reliability, second.reliability(), first.reliability(factor)
    bins = zip(known.bin_std, known.bin_rms, strict=True)
    depth = np.sqrt(np.nanmean(_wrist_depth_errors(first) ** 2))
    return {
        "validation_scenes": f"{len(first.present)} to calibrate, {len(second.present)} to measure",
        "epe_mm": f"{1e3 * result.epe:.2f}",
        "mpjpe_single_mm": f"{1e3 * result.hands.single:.2f}",
        "mpjpe_interacting_mm": f"{1e3 * result.hands.interacting:.2f}",
        "mrrpe_mm": f"{1e3 * result.hands.mrrpe:.2f}",
        "error_in_picture": f"{100 * result.pixels:.2f} % of the crop's side",
        "presence": f"{result.presence:.3f} right ({result.present:.3f} of hands there, {result.absent:.3f} of others)",
        "wrist_depth_std": f"{depth:.4f}",
        "deviation_factor": f"{factor:.3f}",
        "calibration_error": f"{known.error:.3f} (before {before.error:.3f}; calibrating half {fitted.error:.3f})",
        "within_std": ", ".join(
            f"{k}: {seen:.3f} ({expected:.3f} expected)"
            for k, seen, expected in zip((1, 2, 3), known.within, known.expected, strict=True)
        ),
        "std_rank_correlation": f"{known.correlation:.3f}",
        "reliability_mm (std: error per axis)": ", ".join(f"{1e3 * std:.1f}: {1e3 * rms:.1f}" for std, rms in bins),
    }


def _wrist_depth_errors(found: ScenePredictions) -> DoubleArray:
    """(N,) metres, of the left wrist's depth from the right one's; NaN where not both are there."""
    true = found.truth[:, LEFT, WRIST, 2] - found.truth[:, RIGHT, WRIST, 2]
    return np.asarray(found.translation[:, 2] - true)
