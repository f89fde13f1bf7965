"""Training samples of two-hand networks: a square picture around the hands that belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.datasets.synthetic.interaction import plan_meeting
from hand_pose_ros.datasets.synthetic.plans import PictureWish, Plan
from hand_pose_ros.datasets.synthetic.samples import limit_detail, outside, sense, visible_joints
from hand_pose_ros.datasets.synthetic.scene import plan_empty_scene
from hand_pose_ros.datasets.synthetic.sensor import sample_sensor
from hand_pose_ros.datasets.synthetic.shards import pack_depth
from hand_pose_ros.datasets.synthetic.spec import Label, Rendered, SceneSpec, SyntheticConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import BoolArray, ByteArray, FloatArray, Intrinsics

SCENE_PIXELS: Final = 192
# The picture's side over the longer side of the box of all joints: room for a network's crop (1.3 to 1.5 of it),
# shifted and turned.
SCENE_SPAN: Final = 1.75
SIDES: Final = (Side.RIGHT, Side.LEFT)
_SMALLEST: Final = 30.0  # px of the camera's picture
_EMPTY: Final = 0.03  # share without a hand
_LEAST_SEEN: Final = 5  # joints of every hand


@dataclass(frozen=True)
class SceneCrop:
    """A square picture around the hands of a scene.

    Attributes:
        color: (192, 192, 3) uint8 RGB.
        depth: (192, 192) float32 metres with noise, 0 = no reading.
        mask: (192, 192) uint8 `Label`.
        intrinsics: of this picture: a square of the whole camera's, magnified.
        box: (4,) x0, y0, x1, y1 of all joints, pixels of this picture (without hands: its middle).
        visible: (H, 21) bool for the hands of `spec`: the joint's own hand is what is seen at its pixel.
        spec: hands, objects and the whole 640x480 camera.
    """

    color: ByteArray
    depth: FloatArray
    mask: ByteArray
    intrinsics: Intrinsics
    box: FloatArray
    visible: BoolArray
    spec: SceneSpec


def square_camera(camera: Intrinsics, box: FloatArray, pixels: int = SCENE_PIXELS) -> Intrinsics:
    """The square of a camera's picture centred on `box` (x0, y0, x1, y1; its pixels), `SCENE_SPAN` of its longer side,
    magnified to `pixels`."""
    x0, y0, x1, y1 = (float(value) for value in box)
    side = SCENE_SPAN * max(x1 - x0, y1 - y0, _SMALLEST)
    scale = pixels / side
    # From edge to edge: the middle of the first pixel is half a pixel inside.
    left, top = 0.5 * (x0 + x1 - side), 0.5 * (y0 + y1 - side)
    return Intrinsics(
        camera.fx * scale,
        camera.fy * scale,
        (camera.cx - left) * scale - 0.5,
        (camera.cy - top) * scale - 0.5,
        pixels,
        pixels,
    )


def joint_box(joints: FloatArray, camera: Intrinsics) -> FloatArray:
    """(4,) x0, y0, x1, y1 in pixels around joints (..., 3)."""
    pixels = project(joints.reshape(-1, 3), camera)
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]).astype(np.float32)


def plan_scene_crop(rng: np.random.Generator, config: SyntheticConfig) -> Plan[SceneCrop]:
    """One picture around one hand or two, or (3 %) around none."""
    if rng.random() < _EMPTY:
        spec = yield from plan_empty_scene(rng, config)
        sample, rendered = yield from _plan_picture(spec, _any_box(rng, spec.camera))
        return _sensed(sample, rendered, rng, config)
    for _ in range(4):
        spec = yield from plan_meeting(rng, config)
        joints = np.stack([hand.joints for hand in spec.hands])
        sample, rendered = yield from _plan_picture(spec, joint_box(joints, spec.camera))
        if (sample.visible.sum(axis=1) >= _LEAST_SEEN).all():
            break
    return _sensed(sample, rendered, rng, config)


def _sensed(sample: SceneCrop, rendered: Rendered, rng: np.random.Generator, config: SyntheticConfig) -> SceneCrop:
    """With the depth that a random sensor delivers; drawn last: a seed's pictures do not hang on it."""
    whole = sample.spec.camera
    # Of 640 to 1024 columns where the colour camera has 640, as `plan_crop` has it.
    native = whole.fx * (1.0 if rng.random() < 0.7 else 1.6)
    depth = sense(rendered, rng, sample_sensor(rng, config.sensor), sample.intrinsics, native)
    _cut(depth, sample.intrinsics, whole)
    return dataclasses.replace(sample, depth=depth)


def _cut(image: NDArray[Any], camera: Intrinsics, whole: Intrinsics) -> None:
    """Nothing is seen outside the whole camera's picture."""
    columns, rows = outside(camera, whole)
    image[:, columns] = 0
    image[rows] = 0


def _any_box(rng: np.random.Generator, camera: Intrinsics) -> FloatArray:
    side = float(np.exp(rng.uniform(np.log(60.0), np.log(250.0))))
    x, y = rng.uniform(0.0, camera.width), rng.uniform(0.0, camera.height)
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], dtype=np.float32)


def _plan_picture(spec: SceneSpec, box: FloatArray) -> Plan[tuple[SceneCrop, Rendered]]:
    """The picture with ideal depth, and what a sensor would look at."""
    camera = square_camera(spec.camera, box)
    rendered: Rendered = yield PictureWish(spec, camera)
    color = limit_detail(rendered.color, camera, spec.camera.fx)
    mask = rendered.mask
    for image in (color, mask):
        _cut(image, camera, spec.camera)
    # The mask is cut by now: what lies outside the camera's picture is not seen.
    seen = [visible_joints(hand.joints, hand.side, rendered, camera) for hand in spec.hands]
    visible = np.stack(seen) if seen else np.zeros((0, NUM_JOINTS), dtype=bool)
    scale = camera.fx / spec.camera.fx
    edges = (box - np.tile([spec.camera.cx, spec.camera.cy], 2)) * scale + np.tile([camera.cx, camera.cy], 2)
    sample = SceneCrop(color, rendered.depth, mask, camera, edges.astype(np.float32), visible, spec)
    return sample, rendered


def scene_record(sample: SceneCrop) -> dict[str, NDArray[Any]]:
    """The arrays of one scene as they are stored (`shards.py` says what they are)."""
    joints = np.zeros((2, NUM_JOINTS, 3), dtype=np.float32)
    present, visible = np.zeros(2, dtype=bool), np.zeros((2, NUM_JOINTS), dtype=bool)
    mano = np.zeros((2, 58), dtype=np.float32)
    for hand, seen in zip(sample.spec.hands, sample.visible, strict=True):
        slot = SIDES.index(hand.side)
        present[slot], joints[slot], visible[slot] = True, hand.joints, seen
        mano[slot] = np.concatenate([hand.mano.global_orient, hand.mano.hand_pose, hand.mano.betas])
    thing = sample.spec.objects[0] if sample.spec.objects and sample.spec.hands else None
    return {
        "color": sample.color,
        "depth": pack_depth(sample.depth),
        "mask": sample.mask,
        "intrinsics": _row(sample.intrinsics),
        "camera": _row(sample.spec.camera),
        "box": sample.box,
        "present": present,
        "joints": joints,
        "visible": visible,
        "mano": mano,
        "object_present": np.array(thing is not None),
        "object_shape": np.array(-1 if thing is None else int(thing.shape), dtype=np.int8),
        "object_rotation": np.eye(3, dtype=np.float32) if thing is None else thing.rotation,
        "object_translation": np.zeros(3, dtype=np.float32) if thing is None else thing.translation,
        "object_extent": np.zeros(3, dtype=np.float32) if thing is None else thing.extent,
        "object_pixels": np.array((sample.mask == Label.OBJECT).sum(), dtype=np.int32),
    }


def _row(camera: Intrinsics) -> FloatArray:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy], dtype=np.float32)
