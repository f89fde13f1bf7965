"""Training samples: crops around a right hand, and whole frames, with sensor noise and truth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.plans import PictureWish, Plan, carry_out
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.scene import plan_empty_scene, plan_scene
from hand_pose_ros.datasets.synthetic.sensor import SensorKind, SensorModel, depth_noise, sample_sensor
from hand_pose_ros.datasets.synthetic.spec import HAND_LABEL, HandTruth, Rendered, SceneSpec, SyntheticConfig
from hand_pose_ros.geometry.camera import back_project, project, scale_intrinsics
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import BoolArray, ByteArray, DoubleArray, FloatArray, Intrinsics

CROP_PIXELS = 160
CUBE = 0.25
# The picture covers more than the cube so that the trainer can shift and turn the crop.
CROP_SPAN = 1.25 * CUBE
# A joint counts as seen when the visible surface of its hand is at most this much (m) nearer or farther.
VISIBLE_DEPTH = 0.03
NEGATIVE_CLEARANCE = 0.08
MIN_VISIBLE_JOINTS = 5


@dataclass(frozen=True)
class CropSample:
    """A square picture of the surroundings of one place.

    Attributes:
        color: (160, 160, 3) uint8 RGB.
        depth: (160, 160) float32 metres with sensor noise, 0 = no reading.
        mask: (160, 160) uint8 `Label`.
        intrinsics: of this picture: an off-axis camera looking at `center` (which falls on pixel 79.5, 79.5).
        joints: (21, 3) float32 camera metres of the right hand; zeros for negatives.
        center: (3,) float32 the mean of the joints, or the place looked at.
        visible: (21,) bool, whether the joint's own hand is what is seen at its pixel.
        negative: there is no right hand at the centre.
        wrong_side: there is a left hand at the centre (then also `negative`).
        side: always right.
    """

    color: ByteArray
    depth: FloatArray
    mask: ByteArray
    intrinsics: Intrinsics
    joints: FloatArray
    center: FloatArray
    visible: BoolArray
    negative: bool
    wrong_side: bool = False
    side: Side = Side.RIGHT


@dataclass(frozen=True)
class FrameHand:
    """Truth of one hand in a frame: its model truth and which joints (21,) are seen."""

    truth: HandTruth
    visible: BoolArray

    @property
    def visible_fraction(self) -> float:
        """Share of joints that are seen."""
        return float(self.visible.mean())


@dataclass(frozen=True)
class FrameSample:
    """A whole picture: color (H, W, 3) uint8, depth (H, W) float32 metres with noise, mask (H, W) uint8, truth."""

    color: ByteArray
    depth: FloatArray
    mask: ByteArray
    intrinsics: Intrinsics
    hands: tuple[FrameHand, ...]
    spec: SceneSpec


def crop_camera(center: FloatArray | DoubleArray, pixels: int = CROP_PIXELS) -> Intrinsics:
    """The off-axis camera whose picture is CROP_SPAN wide at the depth of `center` (3,), centred on it."""
    x, y, z = (float(value) for value in center)
    focal = pixels * z / CROP_SPAN
    middle = (pixels - 1) / 2
    return Intrinsics(focal, focal, middle - focal * x / z, middle - focal * y / z, pixels, pixels)


def visible_joints(joints: FloatArray, side: Side, rendered: Rendered, camera: Intrinsics) -> BoolArray:
    """(21,) whether the surface seen at each joint's pixel belongs to that hand and lies at the joint's depth."""
    visible = np.zeros(NUM_JOINTS, dtype=bool)
    front = np.flatnonzero(joints[:, 2] > 0.05)
    pixels = np.rint(project(joints[front], camera)).astype(int)
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    u, v = pixels[inside].T
    chosen = front[inside]
    near = np.abs(rendered.depth[v, u] - joints[chosen, 2]) < VISIBLE_DEPTH
    visible[chosen] = near & (rendered.mask[v, u] == HAND_LABEL[side])
    return visible


def sensor_for(sensor: SensorModel, native: float, focal: float) -> SensorModel:
    """The sensor as seen through a picture of focal length `focal` px made by skipping pixels of one of `native` px."""
    ratio = focal / native
    subpixel = sensor.subpixel * ratio if sensor.kind is SensorKind.STEREO else sensor.subpixel
    median = sensor.median if ratio > 0.7 else 0
    return dataclasses.replace(
        sensor, subpixel=subpixel, smooth=sensor.smooth * ratio, ragged=sensor.ragged * ratio, median=median
    )


def sense(
    rendered: Rendered, rng: np.random.Generator, sensor: SensorModel, camera: Intrinsics, native: float
) -> FloatArray:
    """Depth as a sensor of focal length `native` px sees it, then resampled to this picture by the nearest pixel."""
    depth, loss = rendered.depth, rendered.loss
    if native >= camera.fx:
        return depth_noise(depth, rng, sensor_for(sensor, native, camera.fx), camera, loss)
    # Magnified: the sensor has fewer pixels than this picture.
    ratio = native / camera.fx
    width, height = max(round(camera.width * ratio), 8), max(round(camera.height * ratio), 8)
    small = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
    loss = np.asarray(cv2.resize(loss, (width, height), interpolation=cv2.INTER_NEAREST))
    noisy = depth_noise(small, rng, sensor, scale_intrinsics(camera, width, height), loss)
    return np.asarray(cv2.resize(noisy, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST))


def limit_detail(color: ByteArray, camera: Intrinsics, native: float) -> ByteArray:
    """Colour with no more detail than a camera of focal length `native` px gives."""
    if native >= camera.fx:
        return color
    size = (max(int(camera.width * native / camera.fx), 8), max(int(camera.height * native / camera.fx), 8))
    small = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR))


def outside(camera: Intrinsics, whole: Intrinsics) -> tuple[BoolArray, BoolArray]:
    """Columns and rows of a crop that lie outside the picture of the whole camera."""
    u = (np.arange(camera.width) - camera.cx) / camera.fx * whole.fx + whole.cx
    v = (np.arange(camera.height) - camera.cy) / camera.fy * whole.fy + whole.cy
    return (u < -0.5) | (u > whole.width - 0.5), (v < -0.5) | (v > whole.height - 0.5)


def _look_at(
    rng: np.random.Generator, spec: SceneSpec, center: FloatArray, config: SyntheticConfig
) -> Plan[tuple[Rendered, FloatArray, Intrinsics]]:
    """Ideal picture and noisy depth of the crop at `center`, cut at the borders of the scene's camera."""
    camera = crop_camera(center)
    rendered: Rendered = yield PictureWish(spec, camera)
    native = spec.camera.fx * (1.0 if rng.random() < 0.7 else 1.6)
    depth = sense(rendered, rng, sample_sensor(rng, config.sensor), camera, native)
    color = limit_detail(rendered.color, camera, native)
    columns, rows = outside(camera, spec.camera)
    for image in (color, depth, rendered.depth, rendered.mask):
        image[:, columns] = 0
        image[rows] = 0
    return dataclasses.replace(rendered, color=color), depth, camera


def plan_crop(rng: np.random.Generator, config: SyntheticConfig) -> Plan[CropSample]:
    """One crop around a right hand, or (share `config.negatives`) around something else."""
    if rng.random() < config.negatives:
        negative = _plan_wrong_side if rng.random() < 0.35 else _plan_negative
        return (yield from negative(rng, config))
    for _ in range(4):
        spec = yield from plan_scene(rng, config, Side.RIGHT)
        hand = spec.hands[0]
        rendered, depth, camera = yield from _look_at(rng, spec, hand.center, config)
        visible = visible_joints(hand.joints, Side.RIGHT, rendered, camera)
        if visible.sum() >= MIN_VISIBLE_JOINTS:
            break
    return CropSample(rendered.color, depth, rendered.mask, camera, hand.joints, hand.center, visible, False)


def hand_crop_sample(renderer: Renderer, rng: np.random.Generator, config: SyntheticConfig) -> CropSample:
    """`plan_crop` carried out alone."""
    return carry_out([plan_crop(rng, config)], renderer)[0]


def _plan_wrong_side(rng: np.random.Generator, config: SyntheticConfig) -> Plan[CropSample]:
    spec = yield from plan_scene(rng, config, Side.LEFT)
    return (yield from _without_hand(rng, spec, spec.hands[0].center, config, wrong_side=True))


def _plan_negative(rng: np.random.Generator, config: SyntheticConfig) -> Plan[CropSample]:
    """A place on a surface that is not near a right hand, every kind of surface in turn."""
    empty = rng.random() < 0.3
    spec = yield from plan_empty_scene(rng, config) if empty else plan_scene(rng, config)
    small = scale_intrinsics(spec.camera, CROP_PIXELS, CROP_PIXELS * 3 // 4)
    overview: Rendered = yield PictureWish(spec, small)
    usable = (overview.depth > 0.2) & (overview.depth < 1.8)
    usable &= overview.mask != HAND_LABEL[Side.LEFT]
    labels = [label for label in np.unique(overview.mask[usable]) if label != HAND_LABEL[Side.RIGHT]]
    center = np.array([0.0, 0.0, rng.uniform(0.4, 1.2)], dtype=np.float32)
    for _ in range(8 if labels else 0):
        label = labels[int(rng.integers(len(labels)))]
        places = np.flatnonzero(usable & (overview.mask == label))
        v, u = divmod(int(places[int(rng.integers(len(places)))]), small.width)
        z = float(overview.depth[v, u]) + float(rng.uniform(0.0, 0.04))
        candidate = back_project(np.array([u, v]), np.asarray(z), small).astype(np.float32)
        if _clear_of_hands(spec, candidate):
            return (yield from _without_hand(rng, spec, candidate, config, wrong_side=False))
    bare = dataclasses.replace(spec, hands=())
    return (yield from _without_hand(rng, bare, center, config, wrong_side=False))


def _clear_of_hands(spec: SceneSpec, center: FloatArray) -> bool:
    return all(
        float(np.linalg.norm(hand.joints - center, axis=1).min()) > NEGATIVE_CLEARANCE
        for hand in spec.hands
        if hand.side is Side.RIGHT
    )


def _without_hand(
    rng: np.random.Generator, spec: SceneSpec, center: FloatArray, config: SyntheticConfig, *, wrong_side: bool
) -> Plan[CropSample]:
    kept = tuple(
        hand
        for hand in spec.hands
        if hand.side is Side.LEFT or float(np.linalg.norm(hand.joints - center, axis=1).min()) > NEGATIVE_CLEARANCE
    )
    spec = dataclasses.replace(spec, hands=kept)
    rendered, depth, camera = yield from _look_at(rng, spec, center, config)
    joints = np.zeros((NUM_JOINTS, 3), dtype=np.float32)
    unseen = np.zeros(NUM_JOINTS, dtype=bool)
    return CropSample(rendered.color, depth, rendered.mask, camera, joints, center, unseen, True, wrong_side)


def plan_frame(
    rng: np.random.Generator, config: SyntheticConfig, width: int = 160, height: int = 120
) -> Plan[FrameSample]:
    """One whole picture of a random 640x480 camera, rendered at width x height, as a random depth sensor sees it."""
    empty = rng.random() < config.no_hand
    spec = yield from plan_empty_scene(rng, config) if empty else plan_scene(rng, config)
    camera = scale_intrinsics(spec.camera, width, height)
    rendered: Rendered = yield PictureWish(spec, camera)
    depth = sense(rendered, rng, sample_sensor(rng, config.sensor), camera, spec.camera.fx)
    hands = tuple(FrameHand(hand, visible_joints(hand.joints, hand.side, rendered, camera)) for hand in spec.hands)
    return FrameSample(rendered.color, depth, rendered.mask, camera, hands, spec)


def frame_sample(
    renderer: Renderer, rng: np.random.Generator, config: SyntheticConfig, width: int = 160, height: int = 120
) -> FrameSample:
    """`plan_frame` carried out alone."""
    return carry_out([plan_frame(rng, config, width, height)], renderer)[0]
