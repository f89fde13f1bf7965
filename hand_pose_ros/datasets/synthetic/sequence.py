"""Smooth sequences of one or two hands with truth, as a camera would record them; equal seeds give equal sequences.

Body, room, lights and camera stand still; arms follow the hands; one depth sensor with a noise pattern of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.actors import INSTANTS, Cast, cast_of
from hand_pose_ros.datasets.synthetic.persistence import still_noise
from hand_pose_ros.datasets.synthetic.photometry import degrade_color
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.samples import sense, visible_joints
from hand_pose_ros.datasets.synthetic.sensor import SensorKind, SensorModel, sample_sensor
from hand_pose_ros.datasets.synthetic.spec import HandTruth, ObjectTruth, Rendered, SceneSpec, SequenceConfig
from hand_pose_ros.geometry.box import box_around
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.wrist import wrist_pose
from hand_pose_ros.skeleton import NUM_JOINTS, Side
from hand_pose_ros.types import (
    BoolArray,
    ByteArray,
    FloatArray,
    Frame,
    HandEstimate,
    Intrinsics,
    ObjectEstimate,
    Scene,
    TrackingState,
)

FRAME_ID: Final = "camera_color_optical_frame"
START_NS: Final = 1_700_000_000_000_000_000
# A hand is in the truth when at least this many of its joints are seen, and half of them lie in the picture.
MIN_SEEN_JOINTS: Final = 5
# What a RealSense D435 at 640x480 delivers: 50 mm baseline, steps of 1 mm. Its depth camera sees wider than the colour
# camera (focal length 383 px), so that depth aligned to colour is magnified 1.6 times.
D435: Final = SensorModel(
    SensorKind.STEREO, subpixel=0.05, smooth=3.0, ragged=1.0, flying=0.1, edge_holes=0.1, speckle=0.0, grazing=9.0
)
# Where in the pixel the five exposures are drawn: each row and column of a 5x5 grid once.
_JITTER: Final = ((-0.4, 0.2), (-0.2, -0.4), (0.0, 0.0), (0.2, 0.4), (0.4, -0.2))

# As far (pixels) as frayed outlines reach.
_NEIGHBOURHOOD: Final = np.ones((13, 13), dtype=np.uint8)


def generate_sequence(
    seed: int, config: SequenceConfig, renderer: Renderer | None = None
) -> Iterator[tuple[Frame, Scene]]:
    """Frames of one sequence with the true scene of each.

    Args:
        seed: equal seeds (and configurations) give equal sequences.
        config: what they show.
        renderer: to draw with; None makes one and closes it at the end.

    Raises:
        RendererUnavailable: OpenGL cannot be had.
        ConfigError: a gesture that the prior does not know.
    """
    rng = np.random.default_rng([seed, 0x5E9])
    cast = cast_of(rng, config)
    own = renderer is None
    drawing = Renderer() if renderer is None else renderer
    try:
        yield from _record(rng, cast, config, drawing)
    finally:
        if own:
            drawing.close()


def _record(
    rng: np.random.Generator, cast: Cast, config: SequenceConfig, renderer: Renderer
) -> Iterator[tuple[Frame, Scene]]:
    camera = cast.camera
    sensor = D435 if config.sensor == "d435" else sample_sensor(rng, config.sensor)
    depth_camera = _DepthCamera(sensor, int(rng.integers(2**31)), config)
    for index in range(config.frames):
        stamp = START_NS + round(index * 1e9 / config.fps)
        spec, rendered = _expose(renderer, cast, index * INSTANTS, config.exposures)
        photometry = dataclasses.replace(cast.photometry, seed=int(rng.integers(2**31)))
        color = degrade_color(rendered.color, photometry)
        frame = Frame(stamp, FRAME_ID, camera, color, depth_camera.sense(rendered, camera))
        yield frame, scene_truth(stamp, spec, rendered, camera)


def _expose(renderer: Renderer, cast: Cast, instant: int, exposures: int) -> tuple[SceneSpec, Rendered]:
    """The scene and picture at an instant; colour is the mean of `exposures` drawn around it, without camera noise."""
    bare = dataclasses.replace(cast, photometry=dataclasses.replace(cast.photometry, blur=0.0, noise=0.0))
    spec = bare.at(instant)
    rendered = renderer.render(spec, cast.camera)
    if exposures == 1:
        return spec, rendered
    total = rendered.color.astype(np.uint16)
    last = INSTANTS * (instant // INSTANTS + 1) - 1
    for step, (right, down) in enumerate(_JITTER, start=-2):
        if step == 0:
            continue
        moved = dataclasses.replace(cast.camera, cx=cast.camera.cx + right, cy=cast.camera.cy + down)
        total += renderer.render(bare.at(min(max(instant + step, 0), last)), moved).color
    color: ByteArray = ((total + 2) // 5).astype(np.uint8)
    return spec, dataclasses.replace(rendered, color=color)


class _DepthCamera:
    """One depth sensor: the same noise pattern at the same pixel, or (not `still`) a new one in every frame."""

    def __init__(self, sensor: SensorModel, seed: int, config: SequenceConfig) -> None:
        self._sensor, self._seed, self._still = sensor, seed, config.still
        self._native = config.depth_focal * config.width / 640.0
        self._count = 0
        self._last: tuple[FloatArray, FloatArray] | None = None

    def sense(self, rendered: Rendered, camera: Intrinsics) -> FloatArray:
        rng = np.random.default_rng([self._seed, 0 if self._still else self._count])
        ideal = rendered.depth
        measured = sense(rendered, rng, self._sensor, camera, self._native)
        self._count += 1
        if self._still and self._last is not None:
            kept = still_noise(measured, ideal, *self._last)
            # Near a moving outline, and where a shadow comes or goes, readings change although the surface is still.
            near = cv2.dilate((ideal != self._last[1]).astype(np.uint8), _NEIGHBOURHOOD) > 0
            measured = np.where(near | ((kept > 0) != (measured > 0)), measured, kept)
        self._last = (measured, ideal)
        return measured


def scene_truth(stamp_ns: int, spec: SceneSpec, rendered: Rendered, camera: Intrinsics) -> Scene:
    """The hands (and objects) of a scene that can be seen, as a perfect observer would report them."""
    hands = []
    for hand in spec.hands:
        seen = visible_joints(hand.joints, hand.side, rendered, camera)
        inside = _inside(hand.joints, camera)
        if seen.sum() >= MIN_SEEN_JOINTS and 2 * inside.sum() >= NUM_JOINTS:
            hands.append(_estimate(hand, inside, camera))
    objects = tuple(_object(item) for item in spec.objects)
    return Scene(stamp_ns, FRAME_ID, tuple(hands), objects)


def _inside(joints: FloatArray, camera: Intrinsics) -> BoolArray:
    pixels = project(joints, camera)
    low, high = pixels >= -0.5, pixels < np.array([camera.width, camera.height]) - 0.5
    return np.asarray((low & high).all(axis=1) & (joints[:, 2] > 0))


def _estimate(hand: HandTruth, inside: BoolArray, camera: Intrinsics) -> HandEstimate:
    box = box_around(project(hand.joints, camera), camera)
    assert box is not None  # half of the joints lie in the picture
    return HandEstimate(
        side=hand.side,
        joints=hand.joints,
        joint_std=np.zeros(NUM_JOINTS, dtype=np.float32),
        joint_valid=inside,
        score=1.0,
        track_id=1 if hand.side is Side.RIGHT else 2,
        state=TrackingState.TRACKED,
        roi=box,
        wrist=wrist_pose(hand.joints, hand.side),
        mano=hand.mano,
    )


def _object(item: ObjectTruth) -> ObjectEstimate:
    return ObjectEstimate(item.shape.name.lower(), item.rotation, item.translation, item.extent, 1.0)
