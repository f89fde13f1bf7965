"""Networks of two hands on data sets of scenes, by the papers' protocols.

The crop is made of the annotated box, as the papers do. A network whose output is 2.5D is given each hand's true wrist
depth (or another network's, such as RootNet's); networks with joints in space need none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.scene_shards import shape_points
from hand_pose_ros.datasets.two_hands import HANDS, SceneSample, scene_box
from hand_pose_ros.engines.base import Array
from hand_pose_ros.evaluation.scene_fit import SceneFit
from hand_pose_ros.evaluation.two_hands import (
    RHD_AUC_RANGE,
    TwoHandScores,
    curve_area,
    end_point_error,
    handedness_accuracy,
    two_hand_scores,
    wrist_relative,
)
from hand_pose_ros.evaluation.two_hands_objects import ObjectScores, Poses, mssd
from hand_pose_ros.geometry.lifting import place_joints
from hand_pose_ros.geometry.scene_crop import MIN_SIDE, SceneCutter, Window
from hand_pose_ros.pipeline.scene_network import SceneNetwork, SeenHand, SeenScene, taken_by
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST
from hand_pose_ros.types import BoolArray, DoubleArray, Intrinsics

# Points (V, 3) and symmetries (S, 3, 3) of an object by its name and box (8, 3).
ObjectModel = Callable[[str, NDArray[Any]], tuple[DoubleArray, DoubleArray]]
# A hand that is not there is placed somewhere, so that all numbers are finite; it never counts.
_SOMEWHERE = 0.5
RIGHT, LEFT = 0, 1


@dataclass(frozen=True)
class SceneResults:
    """What a network says of N pictures, and the truth; metres, hands (right, left), joints in our order.

    Attributes:
        joints: (N, 2, 21, 3) from each hand's own wrist.
        presence: (N, 2) 0..1.
        translation: (N, 3) right to left wrist; NaN where the network does not tell it.
        truth, valid: (N, 2, 21, 3) camera frame; (N, 2, 21).
        present: (N, 2). sides_known: (N,).
        pixels: (N, 2, 21) distance in the picture over the crop's side; NaN where not valid.
        mssd: of the object of each picture in metres; NaN without one, or where the network tells none.
        objects: the objects' names, "" without one.
        object_presence: (N,) 0..1; NaN where the network tells none.
    """

    joints: DoubleArray
    presence: DoubleArray
    translation: DoubleArray
    truth: DoubleArray
    valid: BoolArray
    present: BoolArray
    sides_known: BoolArray
    pixels: DoubleArray
    mssd: DoubleArray
    objects: tuple[str, ...]
    object_presence: DoubleArray


@dataclass(frozen=True)
class SceneFigures:
    """The papers' figures, in metres; NaN where there is nothing to measure.

    Attributes:
        hands: MPJPE single, interacting and all, MRRPE.
        epe, auc: RHD's end-point error and area from 20 to 50 mm.
        pixels: mean distance in the picture over the crop's side.
        presence: share of pictures whose two scores say which hands there are.
        objects: MSSD by model.
    """

    hands: TwoHandScores
    epe: float
    auc: float
    pixels: float
    presence: float
    objects: ObjectScores | None


def look_at(
    samples: Iterable[SceneSample],
    network: SceneNetwork,
    object_model: ObjectModel | None = None,
    wrist_depths: Mapping[int, DoubleArray] | None = None,
    fit: SceneFit | None = None,
) -> SceneResults:
    """Run a network over samples that have a picture.

    Args:
        samples: those without a box (nothing annotated) are looked at as a whole.
        network: engine and how its outputs are read.
        object_model: what MSSD is measured on; None takes the corners of the true box, without symmetries.
        wrist_depths: of sample numbers, (2,) metres, in place of the true ones.
        fit: lays hands onto the depth image, as the pipeline does; None measures the network alone.

    Raises:
        ValueError: a sample without a picture, or no sample.
    """
    model = object_model or (lambda _, box: (np.asarray(box, dtype=np.float64), np.eye(3)[None]))
    rows = []
    for number, sample in enumerate(samples):
        depths = None if wrist_depths is None else wrist_depths.get(number)
        rows.append(_look(sample, network, model, depths, fit))
    if not rows:
        raise ValueError("expected samples to look at, got none")
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "objects"}
    return SceneResults(**columns, objects=tuple(str(row["objects"]) for row in rows))


def _look(
    sample: SceneSample,
    network: SceneNetwork,
    model: ObjectModel,
    depths: DoubleArray | None,
    fit: SceneFit | None,
) -> dict[str, Any]:
    window = crop_window(sample, network.margin, network.around_object)
    seen = network.read(run_network(network, sample), window)
    truth, camera = sample.joints.astype(np.float64), sample.intrinsics
    roots = depths if depths is not None else truth[:, WRIST, 2]
    z = np.where(roots > 0, roots, _SOMEWHERE)
    joints = np.stack([wrist_joints(hand, float(z[k]), camera) for k, hand in enumerate(seen.hands)])
    translation = _translation(seen, float(z[RIGHT]), camera)
    if fit is not None:
        fitted = fit(seen, sample)
        for k, hand in fitted.items():
            joints[k] = hand - hand[WRIST]
        if len(fitted) == len(HANDS):
            translation = (fitted[LEFT][WRIST] - fitted[RIGHT][WRIST]).astype(np.float64)
    return {
        "joints": joints,
        "presence": np.array([hand.presence for hand in seen.hands]),
        "translation": translation,
        "truth": truth,
        "valid": sample.valid,
        "present": sample.present,
        "sides_known": np.array(sample.sides_known),
        "pixels": _pixel_errors(seen, sample, window),
        **_object_errors(seen, sample, model),
    }


def run_network(network: SceneNetwork, sample: SceneSample) -> Mapping[str, Array]:
    """The network's outputs on `crop_window` of a sample that has a picture; it is shown depth where it reads it.

    Raises:
        ValueError: the sample has no picture.
    """
    if sample.rgb is None:
        raise ValueError(f"{sample.key}: expected a picture; read the data set with Reading(color=True)")
    window = crop_window(sample, network.margin, network.around_object)
    cutter = SceneCutter(network.size, taken_by(network.engine))
    return network.engine.run(cutter.cut(window, sample.rgb, sample.depth, sample.intrinsics.fx))


def crop_window(sample: SceneSample, margin: float, around_object: bool = True) -> Window:
    """The square of `margin` times the longer side of the annotated box, which may leave the object out (networks that
    were not trained so); the whole picture where there is none."""
    box = scene_box(sample if around_object else dataclasses.replace(sample, object=None))
    width, height = sample.intrinsics.width, sample.intrinsics.height
    if box is None:
        return Window((width - 1) / 2, (height - 1) / 2, float(max(width, height)))
    side = margin * max(box.width, box.height)
    return Window(box.x + box.width / 2, box.y + box.height / 2, max(side, MIN_SIDE))


def wrist_joints(hand: SeenHand, z: float, camera: Intrinsics) -> DoubleArray:
    """Joints (21, 3) metres from the wrist: the network's own, or its places and depths with the wrist at depth z."""
    points = hand.shape if hand.shape is not None else place_joints(hand.uv, hand.depth, z, camera)
    return np.asarray(points - points[WRIST])


def _translation(seen: SeenScene, z: float, camera: Intrinsics) -> DoubleArray:
    """Right to left wrist: told, or made of both wrists' places and their relative depth."""
    if np.isfinite(seen.offset_std).all():
        return seen.offset
    if not np.isfinite(seen.offset_std[2]):
        return np.full(3, np.nan)
    uv = np.stack([hand.uv[WRIST] for hand in seen.hands])
    wrists = np.concatenate(
        [place_joints(uv[k : k + 1], np.zeros(1), depth, camera) for k, depth in enumerate((z, z + seen.offset[2]))]
    )
    return np.asarray(wrists[LEFT] - wrists[RIGHT])


def _pixel_errors(seen: SeenScene, sample: SceneSample, window: Window) -> DoubleArray:
    errors = np.full((len(HANDS), NUM_JOINTS), np.nan)
    camera = sample.intrinsics
    for k, hand in enumerate(seen.hands):
        ahead = sample.valid[k] & (sample.joints[k, :, 2] > 0)
        points = sample.joints[k, ahead].astype(np.float64)
        true = points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        errors[k, ahead] = np.linalg.norm(hand.uv[ahead] - true, axis=1) / window.side
    return errors


def _object_errors(seen: SeenScene, sample: SceneSample, model: ObjectModel) -> dict[str, Any]:
    """MSSD with both poses from the right wrist (where only the left hand is annotated, from that)."""
    nothing = {"mssd": np.array(np.nan), "objects": "" if sample.object is None else sample.object.name}
    told = np.nan if seen.held is None else seen.held.presence
    wrists = sample.valid[:, WRIST]
    if sample.object is None or seen.held is None or not wrists.any():
        return {**nothing, "object_presence": np.array(told)}
    origin = sample.joints[RIGHT if wrists[RIGHT] else LEFT, WRIST].astype(np.float64)
    points, symmetries = model(sample.object.name, sample.object.box)
    found = Poses(seen.held.rotation[None], seen.held.translation[None])
    true = Poses(
        sample.object.rotation[None].astype(np.float64), (sample.object.translation.astype(np.float64) - origin)[None]
    )
    error = mssd(found, true, points, symmetries)[0]
    return {"mssd": np.array(error), "objects": sample.object.name, "object_presence": np.array(told)}


def figures(results: SceneResults) -> SceneFigures:
    """The papers' figures; pictures without any hand count for presence only."""
    some: BoolArray = np.asarray(results.present.any(axis=1))
    both = np.asarray(results.present.all(axis=1))
    told = np.isfinite(results.translation).all(axis=1) | ~both
    hands = two_hand_scores(
        results.joints[some],
        results.truth[some],
        results.valid[some],
        results.present[some],
        # NaN (not told) would spoil the mean; without any told MRRPE is taken away below.
        np.nan_to_num(results.translation[some]),
    )
    if not told.all():
        hands = TwoHandScores(hands.single, hands.interacting, hands.all, float("nan"), (*hands.pictures[:2], 0))
    errors = wrist_relative(results.joints, results.truth, results.valid)
    flat = errors.flat()
    return SceneFigures(
        hands=hands,
        epe=end_point_error(errors),
        auc=curve_area(flat, *RHD_AUC_RANGE) if len(flat) else float("nan"),
        pixels=float(np.nanmean(results.pixels)) if np.isfinite(results.pixels).any() else float("nan"),
        presence=handedness_accuracy(results.presence, results.present, results.sides_known),
        objects=object_figures(results),
    )


def object_figures(results: SceneResults) -> ObjectScores | None:
    """MSSD of all samples and by model; None without any."""
    known = np.isfinite(results.mssd)
    if not known.any():
        return None
    names = np.array(results.objects)
    models = {
        str(name): (float(results.mssd[known & (names == name)].mean()), int((known & (names == name)).sum()))
        for name in dict.fromkeys(names[known].tolist())
    }
    return ObjectScores(float(results.mssd[known].mean()), models)


def synthetic_model(name: str, box: NDArray[Any]) -> tuple[DoubleArray, DoubleArray]:
    """`ObjectModel` of stored synthetic scenes."""
    return shape_points(name, box)
