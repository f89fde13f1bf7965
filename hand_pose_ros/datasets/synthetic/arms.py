"""Hands with their forearms: where they come from, how the wrist bends, what they wear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.materials import sample_material
from hand_pose_ros.datasets.synthetic.placement import between, frame_along, rotation_about, unit
from hand_pose_ros.datasets.synthetic.plans import Plan, PoseWish
from hand_pose_ros.datasets.synthetic.skin import sample_skin
from hand_pose_ros.datasets.synthetic.skinning import HandWish, PosedHand, stub_weights
from hand_pose_ros.datasets.synthetic.spec import (
    FOREARM_LABEL,
    HandTruth,
    Label,
    Material,
    Pattern,
    Primitive,
    Shape,
    Skin,
)
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.pose_prior import draw_candidates, mirror_pose, sample_betas
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray

# Half width and half thickness (m) of the bundled hand at its wrist; betas change them little.
WRIST_RADII = np.array([0.0275, 0.0195])
# Where forearms come from: below, right, left, behind the hand (facing the camera), from the camera's side.
ELBOW_DIRECTIONS = np.array(
    [(0.0, 1.0, 0.1), (1.0, 0.4, 0.2), (-1.0, 0.4, 0.2), (0.0, 0.4, 1.0), (0.0, 0.6, -0.8)], dtype=np.float64
)


def sample_elbow_direction(rng: np.random.Generator, stretched: bool = False) -> DoubleArray:
    """Unit vector wrist -> elbow: mostly from below, the sides, behind or the camera; sometimes from anywhere.

    A stretched arm lies along the picture and comes in from any side of it.
    """
    if stretched:
        angle = rng.uniform(0.0, 2.0 * np.pi)
        return unit(np.array([np.cos(angle), np.sin(angle), rng.normal(0.0, 0.3)]))
    if rng.random() < 0.3:
        return unit(rng.standard_normal(3))
    main = ELBOW_DIRECTIONS[int(rng.integers(len(ELBOW_DIRECTIONS)))]
    return unit(unit(main) + 0.5 * rng.standard_normal(3))


def plan_hand(
    rng: np.random.Generator,
    side: Side,
    place: DoubleArray,
    poses: Sequence[str] = (),
    stretched: bool = False,
) -> Plan[HandTruth]:
    """A hand whose mean joint is at `place` (3,), with random pose, orientation, shape and skin.

    `poses` names the key poses of the prior to draw between (all ways of posing by default); `stretched` is whether the
    arm lies along the picture.
    """
    pose: FloatArray = yield PoseWish(draw_candidates(rng, poses))
    if side is Side.LEFT:
        pose = mirror_pose(pose)
    return (yield from plan_posed(rng, side, place, pose, sample_arm(rng, side, stretched)))


@dataclass(frozen=True)
class Arm:
    """How a hand and its forearm lie: unit vector wrist -> `elbow` (3,), and the rotations (3, 3) of both."""

    elbow: DoubleArray
    forearm: DoubleArray
    hand: DoubleArray

    def mirrored(self, normal: DoubleArray) -> Arm:
        """The other hand's arm, as a mirror with this unit normal (3,) shows it."""
        mirror = np.eye(3) - 2.0 * np.outer(normal, normal)
        # The models are mirrored along their own x.
        other = np.array([-1.0, 1.0, 1.0])
        return Arm(mirror @ self.elbow, mirror @ self.forearm * other, mirror @ self.hand * other)

    def turned(self, rotation: DoubleArray) -> Arm:
        """The arm turned by a rotation (3, 3) of the camera's axes."""
        return Arm(rotation @ self.elbow, rotation @ self.forearm, rotation @ self.hand)


def sample_arm(rng: np.random.Generator, side: Side, stretched: bool = False) -> Arm:
    """Any arm, with its wrist bent."""
    elbow_direction = sample_elbow_direction(rng, stretched)
    # Rest pose: fingers along -x, so the forearm leaves along +x (left hands: the other way round); palm -y; flexion
    # turns about z, deviation about y.
    sign = 1.0 if side is Side.RIGHT else -1.0
    forearm_frame = frame_along(sign * elbow_direction, float(rng.uniform(0.0, 2.0 * np.pi)))[:, [2, 0, 1]]
    flexion = min(max(rng.normal(0.0, 0.35), -1.1), 1.1)
    deviation = min(max(rng.normal(0.0, 0.15), -0.4), 0.4)
    rotation = forearm_frame @ rotation_about(2, flexion) @ rotation_about(1, deviation)
    return Arm(elbow_direction, forearm_frame, rotation)


def plan_posed(
    rng: np.random.Generator,
    side: Side,
    place: DoubleArray,
    pose: FloatArray,
    arm: Arm,
    like: HandTruth | None = None,
) -> Plan[HandTruth]:
    """A hand with this pose (45,) and arm; `like` is the other hand of the same person: equal shape and skin."""
    orient = cv2.Rodrigues(arm.hand)[0].reshape(3).astype(np.float32)
    betas = sample_betas(rng) if like is None else like.mano.betas
    posed: PosedHand = yield HandWish(side, orient, pose, betas, arm.forearm, place)
    length = float(rng.uniform(0.2, 0.29))
    return HandTruth(
        side=side,
        joints=posed.joints,
        vertices=posed.vertices,
        surface=posed.surface,
        mano=posed.mano,
        skin=sample_skin(rng) if like is None else like.skin,
        elbow=(posed.joints[0] + length * arm.elbow).astype(np.float32),
    )


def bend_stub(
    model: HandModel, vertices: FloatArray, wrist: FloatArray, hand: DoubleArray, forearm_frame: DoubleArray
) -> FloatArray:
    """Blend the model's stub of forearm from the hand's rotation (3, 3) into the forearm's: no edge stands off."""
    weight = stub_weights(model)[:, None]
    turned = (vertices - wrist) @ (forearm_frame @ hand.T).T + wrist
    return np.asarray(vertices + weight * (turned - vertices), dtype=np.float32)


def forearm(rng: np.random.Generator, hand: HandTruth, model: HandModel) -> list[Primitive]:
    """The forearm that continues the hand at its wrist, with or without a sleeve, watch or cuff."""
    rotation = np.asarray(cv2.Rodrigues(hand.mano.global_orient.astype(np.float64))[0], dtype=np.float64)
    wrist, elbow = hand.joints[0].astype(np.float64), hand.elbow.astype(np.float64)
    size = float(np.linalg.norm(hand.joints[9] - hand.joints[0])) / float(np.linalg.norm(model.joint_template[4]))
    radii = WRIST_RADII * size * rng.uniform(0.94, 1.06, 2)
    # The wrist joint lies 2 mm above the middle of the cross-section.
    start = wrist + rotation @ np.array([0.0, -0.002, 0.0]) + 0.008 * unit(elbow - wrist)
    taper, bulge = float(rng.uniform(1.25, 1.75)), float(rng.uniform(0.0, 0.2))
    label = FOREARM_LABEL[hand.side]
    arm = Primitive(
        Shape.CAPSULE,
        between(start, elbow, radii, rotation[:, 2]),
        skin_material(hand.skin),
        label,
        taper=taper,
        bulge=bulge,
        cap=float(0.02 / np.linalg.norm(elbow - start)),
    )
    parts = [arm]
    kind = rng.random()
    if kind < 0.5:
        parts += _sleeve(rng, start, elbow, radii, rotation[:, 2], taper, label)
    elif kind < 0.6:
        parts.append(_watch(rng, start, elbow, radii, rotation[:, 2], label))
    return parts


def _sleeve(
    rng: np.random.Generator,
    start: DoubleArray,
    elbow: DoubleArray,
    radii: DoubleArray,
    axis: DoubleArray,
    taper: float,
    label: Label,
) -> list[Primitive]:
    # Half of the sleeves reach the wrist, some cover the heel of the hand.
    begin = float(rng.uniform(-0.1, 0.15) if rng.random() < 0.5 else rng.uniform(0.1, 0.9))
    from_point = start + begin * (elbow - start)
    thickness = float(rng.uniform(1.06, 1.6)) * (1.0 + (taper - 1.0) * max(begin, 0.0) * 1.3)
    cloth, end = sample_material(rng), elbow + 0.02 * unit(elbow - start)
    widening, bulge = float(rng.uniform(1.0, 1.4)), float(rng.uniform(-0.05, 0.15))
    transform = between(from_point, end, radii * thickness, axis)
    parts = [Primitive(Shape.CAPSULE, transform, cloth, label, taper=widening, bulge=bulge, cap=0.02)]
    if rng.random() < 0.3:  # rolled up
        cuff_end = from_point + float(rng.uniform(0.015, 0.05)) * unit(end - from_point)
        cuff = between(from_point, cuff_end, radii * thickness * float(rng.uniform(1.06, 1.2)), axis)
        parts.append(Primitive(Shape.CAPSULE, cuff, cloth, label, bulge=0.06, cap=0.15))
    return parts


def _watch(
    rng: np.random.Generator,
    start: DoubleArray,
    elbow: DoubleArray,
    radii: DoubleArray,
    axis: DoubleArray,
    label: Label,
) -> Primitive:
    along = unit(elbow - start)
    from_point = start + along * float(rng.uniform(0.005, 0.03))
    width = float(rng.uniform(0.008, 0.03))
    return Primitive(
        Shape.CYLINDER,
        between(from_point, from_point + width * along, radii * float(rng.uniform(1.1, 1.35)), axis),
        sample_material(rng),
        label,
    )


def skin_material(skin: Skin) -> Material:
    """The forearm's skin: that of the back of the hand."""
    red, green, blue = skin.back
    second = (red * 0.95, green * 0.87, blue * 0.84)
    return Material(skin.back, second, Pattern.BLOTCHES, 60.0, skin.noise, skin.specular, skin.offset, skin=True)
