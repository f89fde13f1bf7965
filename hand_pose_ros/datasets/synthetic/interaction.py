"""Two hands that meet: interlaced, touching, mirrored, one before the other, or holding an object together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.datasets.synthetic.arms import Arm, forearm, plan_posed, sample_arm
from hand_pose_ros.datasets.synthetic.materials import hide_some, sample_lighting, sample_material
from hand_pose_ros.datasets.synthetic.photometry import sample_photometry
from hand_pose_ros.datasets.synthetic.placement import cross, unit
from hand_pose_ros.datasets.synthetic.plans import Plan, PoseWish
from hand_pose_ros.datasets.synthetic.props import gripped_box, held_object, solid
from hand_pose_ros.datasets.synthetic.scene import WIDE_GRIPS, around, models, sample_camera, sample_place
from hand_pose_ros.datasets.synthetic.spec import (
    HandTruth,
    Label,
    ObjectTruth,
    Primitive,
    SceneSpec,
    Shape,
    SyntheticConfig,
)
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.hand_model.collision import balls
from hand_pose_ros.hand_model.pose_prior import draw_candidates, mirror_pose
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import BoolArray, DoubleArray, FloatArray, Intrinsics

_Held = tuple[Primitive, ObjectTruth]

# Poses of a hand that lies against a thing, or against another hand.
_FLAT_GRIPS: Final = ("flat", "spread", "platform", "cupped", "relaxed", "grip_85", "ball", "tabletop")
# What flesh gives way: balls of two hands may overlap by this much (m).
_SOFT: Final = 0.002
_LEAST_INSIDE: Final = 0.55  # of a hand's joints in the picture
# Many poses leave no room for a thing: more is tried than `held_object` says.
_HOLD_MORE: Final = 1.5
_FOREARM_RADIUS: Final = 0.03
_FARTHEST: Final = 0.28  # m along the way that the second hand may be pushed
_NEAREST_Z: Final = 0.13
_PALM: Final = np.array([0.0, -1.0, 0.0])  # where the palm looks in the model's rest pose
_THUMB: Final = np.array([0.0, 0.0, 1.0])  # to the thumb's side or away from it


@dataclass(frozen=True)
class _Meeting:
    """How the second hand comes to the first: its arm, the way it is pushed along, whether it stays in the innermost
    place without penetration, and what is left free beyond (m)."""

    arm: Arm
    way: DoubleArray
    innermost: bool
    gap: float


def free_distance(first: HandTruth, second: HandTruth, way: DoubleArray, innermost: bool) -> float | None:
    """How far (m) the second hand is to go along the unit vector `way` (3,) until nothing of it lies in the first.

    Forearms count. `innermost` takes the first place that is free (which may lie between fingers), else the last.
    None: farther than 28 cm.
    """
    here, radii = _solid(first)
    there, others = _solid(second)
    between = (there[:, None] - here[None]).astype(np.float64)
    reach = others[:, None] + radii[None] - _SOFT
    # |between + s way| < reach for s in (middle - half, middle + half).
    middle = -(between @ way)
    half_squared = reach**2 - (between * between).sum(axis=-1) + middle**2
    touching = half_squared > 0
    half = np.sqrt(half_squared[touching])
    low, high = middle[touching] - half, middle[touching] + half
    if not innermost:
        place = max(float(high.max(initial=0.0)), 0.0)
    else:
        place = 0.0
        for start, end in sorted(zip(low.tolist(), high.tolist(), strict=True)):
            if start > place:
                break
            place = max(place, end)
    return place if place <= _FARTHEST else None


def _solid(hand: HandTruth) -> tuple[FloatArray, FloatArray]:
    """Hand and forearm as balls."""
    centres, radii = balls(hand.joints)
    share = np.linspace(0.15, 1.0, 8, dtype=np.float32)[:, None]
    arm = hand.joints[0] + share * (hand.elbow - hand.joints[0])
    return np.concatenate([centres, arm]), np.concatenate([radii, np.full(len(arm), _FOREARM_RADIUS, np.float32)])


def moved(hand: HandTruth, shift: DoubleArray) -> HandTruth:
    """The hand moved by `shift` (3,) metres."""
    by = shift.astype(np.float32)
    mano = dataclasses.replace(hand.mano, transl=hand.mano.transl + by)
    return dataclasses.replace(
        hand,
        joints=hand.joints + by,
        vertices=hand.vertices + by,
        surface=hand.surface + by,
        elbow=hand.elbow + by,
        mano=mano,
    )


def _meeting(rng: np.random.Generator, arm: Arm, side: Side, kind: str) -> _Meeting:
    """A way of meeting of this kind with a hand of `side` and its arm."""
    gap = 0.0 if rng.random() < 0.55 else float(np.exp(rng.uniform(np.log(0.002), np.log(0.08))))
    wobble = np.asarray(cv2.Rodrigues(rng.standard_normal(3) * rng.uniform(0.05, 0.5))[0], dtype=np.float64)
    if kind == "mirrored":
        palms = rng.random() < 0.6
        axis = arm.hand @ (_PALM if palms else _THUMB * (1.0 if rng.random() < 0.7 else -1.0))
        # Palms may also look away from each other.
        sign = 1.0 if not palms or rng.random() < 0.85 else -1.0
        other = arm.mirrored(axis).turned(wobble)
        return _Meeting(other, unit(sign * axis + 0.2 * rng.standard_normal(3)), rng.random() < 0.4, gap)
    other = sample_arm(rng, side.other)
    if kind == "before":  # one before the other in the picture
        depth = 1.0 if rng.random() < 0.5 else -1.0
        way = unit(np.array([0.0, 0.0, depth]) + 0.4 * rng.standard_normal(3))
        return _Meeting(other, way, False, float(rng.uniform(0.0, 0.15)))
    if kind == "near":
        way = unit(rng.standard_normal(3) * np.array([1.0, 0.8, 0.4]))
        return _Meeting(other, way, False, float(rng.uniform(0.005, 0.12)))
    return _Meeting(other, unit(rng.standard_normal(3)), rng.random() < 0.6, gap)


def _plan_other(
    rng: np.random.Generator, first: HandTruth, arm: Arm, candidates: DoubleArray, kind: str
) -> Plan[HandTruth | None]:
    """The other hand of a pair; None where it finds no place."""
    meeting = _meeting(rng, arm, first.side, kind)
    if kind != "mirrored" or rng.random() < 0.5:
        candidates = draw_candidates(rng, _FLAT_GRIPS if kind == "mirrored" else ())
    pose: FloatArray = yield PoseWish(candidates)
    side = first.side.other
    pose = mirror_pose(pose) if side is Side.LEFT else pose
    offset = 0.025 * rng.standard_normal(3)
    like = first if rng.random() < 0.9 else None
    second = yield from plan_posed(rng, side, first.center + offset, pose, meeting.arm, like)
    distance = free_distance(first, second, meeting.way, meeting.innermost)
    if distance is None:
        return None
    return moved(second, (distance + meeting.gap) * meeting.way)


def _plan_first(
    rng: np.random.Generator, camera: Intrinsics, config: SyntheticConfig, poses: tuple[str, ...], stretched: bool
) -> Plan[tuple[HandTruth, Arm, DoubleArray]]:
    """The first hand, its arm and the candidates of its pose (of a right hand)."""
    side = Side.RIGHT if rng.random() < 0.5 else Side.LEFT
    candidates = draw_candidates(rng, poses)
    pose: FloatArray = yield PoseWish(candidates)
    pose = mirror_pose(pose) if side is Side.LEFT else pose
    arm = sample_arm(rng, side, stretched)
    hand = yield from plan_posed(rng, side, sample_place(rng, camera, config), pose, arm)
    return hand, arm, candidates


_KINDS: Final = ("any", "mirrored", "together", "before", "near")
_SHARES: Final = (0.3, 0.27, 0.15, 0.11, 0.17)


def plan_meeting(rng: np.random.Generator, config: SyntheticConfig) -> Plan[SceneSpec]:
    """A scene with one hand, or (share `config.two_hands`) two in one picture, with or without an object."""
    camera = sample_camera(rng)
    two = rng.random() < config.two_hands
    kind = str(rng.choice(_KINDS, p=_SHARES)) if two else "one"
    gripping, stretched = rng.random() < config.gripped_box, rng.random() < config.long_arm
    poses = _FLAT_GRIPS if kind == "together" else WIDE_GRIPS if gripping else ()
    hands: tuple[HandTruth, ...] = ()
    for _ in range(8):
        first, arm, candidates = yield from _plan_first(rng, camera, config, poses, stretched)
        hands = (first,)
        if two:
            second = yield from _plan_other(rng, first, arm, candidates, "mirrored" if kind == "together" else kind)
            if second is None:
                continue
            pair = (first, second) if kind != "together" else _make_room(rng, (first, second))
            hands = _placed(rng, pair, camera, config)
        if all(_in_picture(hand, camera) for hand in hands):
            break
    held: _Held | None = None
    if kind == "together" and len(hands) == 2:
        held = hold_together(rng, hands)
    if held is None and rng.random() < _HOLD_MORE * config.held_object:
        held = _hold(rng, hands, gripping)
    primitives = [part for hand in hands for part in forearm(rng, hand, models()[hand.side])]
    primitives += [held[0]] if held else []
    primitives += around(rng, hands, config, stretched)
    objects = (held[1],) if held else ()
    shown = tuple(hide_some(rng, primitives, config.dark))
    return SceneSpec(camera, hands, shown, objects, sample_lighting(rng), sample_photometry(rng))


def _placed(
    rng: np.random.Generator, hands: tuple[HandTruth, ...], camera: Intrinsics, config: SyntheticConfig
) -> tuple[HandTruth, ...]:
    """The pair with its middle, not its first hand, somewhere in the picture."""
    middle = np.mean([hand.center for hand in hands], axis=0)
    shift = sample_place(rng, camera, config) - middle
    return tuple(moved(hand, shift) for hand in hands)


def _in_picture(hand: HandTruth, camera: Intrinsics) -> bool:
    """Whether most of the hand is in the picture, and none of it close to the lens."""
    if float(hand.joints[:, 2].min()) < _NEAREST_Z:
        return False
    pixels = project(hand.joints, camera)
    within = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    return bool(within.mean() >= _LEAST_INSIDE)


def _hold(rng: np.random.Generator, hands: tuple[HandTruth, ...], gripping: bool) -> _Held | None:
    """An object in one of the hands that the other does not stand in."""
    for attempt in range(4):
        index = attempt % len(hands)
        hand = hands[index]
        held = gripped_box(rng, hand) if gripping and index == 0 else None
        held = held_object(rng, hand) if held is None else held
        if held is not None and not any(inside(held[1], other).any() for other in hands if other is not hand):
            return held
    return None


def inside(thing: ObjectTruth, hand: HandTruth) -> BoolArray:
    """Which of the balls (N,) of a hand have their middle in the object's own box."""
    centres, _ = balls(hand.joints)
    local = (centres - thing.translation) @ thing.rotation
    return np.asarray((np.abs(local) < 0.5 * thing.extent).all(axis=1))


def _make_room(rng: np.random.Generator, hands: tuple[HandTruth, ...]) -> tuple[HandTruth, ...]:
    """The second hand moved away from the first for a thing between them."""
    middles = _palms(hands)
    return hands[0], moved(hands[1], float(rng.uniform(0.02, 0.14)) * unit(middles[1] - middles[0]))


def _palms(hands: tuple[HandTruth, ...]) -> list[DoubleArray]:
    return [hand.joints[[0, 5, 9, 13, 17]].mean(axis=0).astype(np.float64) for hand in hands]


def hold_together(rng: np.random.Generator, hands: tuple[HandTruth, ...]) -> _Held | None:
    """An object between the palms of two hands, as thick as there is room."""
    middles = _palms(hands)
    across = unit(middles[1] - middles[0])
    fingers = hands[0].joints[9].astype(np.float64) - hands[0].joints[0].astype(np.float64)
    side = unit(cross(across, fingers))
    rotation = np.stack([cross(side, across), side, across], axis=1)
    centre = 0.5 * (middles[0] + middles[1]) + 0.03 * fingers / max(np.linalg.norm(fingers), 1e-6)
    shape = (Shape.BOX, Shape.BOX, Shape.CYLINDER, Shape.CUP, Shape.SPHERE)[int(rng.integers(5))]
    half = rng.uniform(0.02, 0.1, 3)
    # As thick as the balls of both hands that lie over it leave room for.
    low, high = -0.2, 0.2
    for hand in hands:
        centres, radii = balls(hand.joints)
        local = (centres - centre) @ rotation
        over = (np.abs(local[:, :2]) < half[:2]).all(axis=1)
        below, above = over & (local[:, 2] < 0), over & (local[:, 2] >= 0)
        low = max(low, float((local[below, 2] + radii[below]).max(initial=-0.2)))
        high = min(high, float((local[above, 2] - radii[above]).min(initial=0.2)))
    thick = high - low - 0.002
    if thick < 0.008 or thick > 0.2:
        return None
    centre = centre + 0.5 * (high + low) * rotation[:, 2]
    return _between(rng, shape, rotation, centre, half, 0.5 * thick)


def _between(
    rng: np.random.Generator, shape: Shape, rotation: DoubleArray, centre: DoubleArray, half: DoubleArray, thick: float
) -> _Held:
    """An object that is 2 `thick` high along the third axis of `rotation`."""
    if shape is Shape.SPHERE:
        half = np.full(3, thick)
    elif shape in (Shape.CYLINDER, Shape.CUP):
        # Its axis along the fingers or across them, its thickness between the hands.
        rotation = rotation[:, [2, 0, 1]] if rng.random() < 0.5 else rotation[:, [1, 2, 0]]
        half = np.array([thick, thick, half[0]])
    else:
        half = np.array([half[0], half[1], thick])
    material = sample_material(rng, 2.0 * float(half.max()))
    truth = ObjectTruth(shape, rotation.astype(np.float32), centre.astype(np.float32), (2.0 * half).astype(np.float32))
    return solid(shape, rotation, centre, half, material, Label.OBJECT), truth
