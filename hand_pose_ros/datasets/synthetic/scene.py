"""Random scenes: deterministic in the generator given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from hand_pose_ros.datasets.synthetic.arms import forearm, plan_hand
from hand_pose_ros.datasets.synthetic.materials import hide_some, sample_lighting
from hand_pose_ros.datasets.synthetic.people import body, lap
from hand_pose_ros.datasets.synthetic.photometry import sample_photometry
from hand_pose_ros.datasets.synthetic.placement import unit
from hand_pose_ros.datasets.synthetic.plans import Plan, carry_out
from hand_pose_ros.datasets.synthetic.props import clutter, gripped_box, held_object, occluder, walls
from hand_pose_ros.datasets.synthetic.skin import hand_models
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Label, ObjectTruth, Primitive, SceneSpec, SyntheticConfig
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# Key poses of the prior that hold something wide between thumb and fingertips.
WIDE_GRIPS: Final = ("grip_25", "grip_60", "grip_85", "ball", "cylinder_75")


@lru_cache(maxsize=1)
def models() -> dict[Side, HandModel]:
    """The bundled hands, loaded once."""
    return hand_models()


def sample_camera(rng: np.random.Generator) -> Intrinsics:
    """A 640x480 camera as RGB-D sensors have them: focal length 380 to 650 px, principal point near the middle."""
    focal = float(rng.uniform(380.0, 650.0))
    aspect = float(rng.normal(1.0, 0.003))
    cx, cy = 319.5 + rng.normal(0.0, 6.0), 239.5 + rng.normal(0.0, 6.0)
    return Intrinsics(focal, focal * aspect, float(cx), float(cy), 640, 480)


def sample_place(rng: np.random.Generator, camera: Intrinsics, config: SyntheticConfig) -> DoubleArray:
    """Where a hand is: wholly in the picture if there is room, or (share `config.partial`) across a border."""
    z = float(rng.uniform(config.min_distance, config.max_distance))
    metre = camera.fx / z
    partial = rng.random() < config.partial
    margin = 0.05 * metre if partial else 0.1 * metre
    low_u, low_v = min(margin, 0.45 * camera.width), min(margin, 0.45 * camera.height)
    u = rng.uniform(low_u, camera.width - low_u)
    v = rng.uniform(low_v, camera.height - low_v)
    if partial:
        border, inward = int(rng.integers(4)), float(rng.uniform(-0.03, 0.08)) * metre
        if border < 2:
            u = inward if border == 0 else camera.width - inward
        else:
            v = inward if border == 2 else camera.height - inward
    return back_project(np.array([u, v]), np.asarray(z), camera)


def _second_place(rng: np.random.Generator, first: HandTruth) -> DoubleArray:
    """Beside the first hand: from touching to an arm's width away."""
    direction = unit(rng.standard_normal(3) * np.array([1.0, 0.6, 0.6]))
    distance = float(np.exp(rng.uniform(np.log(0.06), np.log(0.45))))
    place = first.center.astype(np.float64) + distance * direction
    place[2] = max(place[2], 0.2)
    return place


def _apart(hand: HandTruth, other: HandTruth, least: float = 0.028) -> bool:
    """Whether no two joints of the hands are nearer than `least` metres."""
    gap = hand.joints[:, None] - other.joints[None]
    return bool((gap * gap).sum(axis=-1).min() > least * least)


@dataclass(frozen=True)
class _Story:
    """What the main hand does: grip a box wider than itself; come with a stretched arm."""

    gripping: bool
    stretched: bool


def plan_hands(
    rng: np.random.Generator, camera: Intrinsics, config: SyntheticConfig, first: Side | None, story: _Story
) -> Plan[tuple[HandTruth, ...]]:
    """One or two hands; `first` is the side of the one that is placed in the picture (None: either)."""
    side = first or (Side.RIGHT if rng.random() < 0.5 else Side.LEFT)
    poses = WIDE_GRIPS if story.gripping else ()
    hands = [(yield from plan_hand(rng, side, sample_place(rng, camera, config), poses, story.stretched))]
    if rng.random() < config.second_hand:
        for _ in range(4):
            second = yield from plan_hand(rng, side.other, _second_place(rng, hands[0]))
            if _apart(hands[0], second):
                hands.append(second)
                break
    return tuple(hands)


def plan_scene(rng: np.random.Generator, config: SyntheticConfig, first: Side | None = None) -> Plan[SceneSpec]:
    """A scene with one or two hands for a random 640x480 camera; `first` fixes the side of the main hand."""
    camera = sample_camera(rng)
    story = _Story(rng.random() < config.gripped_box, rng.random() < config.long_arm)
    hands = yield from plan_hands(rng, camera, config, first, story)
    primitives, objects = _surroundings(rng, hands, config, story)
    return SceneSpec(camera, hands, tuple(primitives), tuple(objects), sample_lighting(rng), sample_photometry(rng))


def plan_empty_scene(rng: np.random.Generator, config: SyntheticConfig) -> Plan[SceneSpec]:
    """A scene without a hand: what was around one, or a body with its forearms out of sight."""
    spec = yield from plan_scene(rng, config)
    kept = tuple(p for p in spec.primitives if p.label not in (Label.RIGHT_FOREARM, Label.LEFT_FOREARM))
    return dataclasses.replace(spec, hands=(), primitives=kept)


def sample_scene(rng: np.random.Generator, config: SyntheticConfig, first: Side | None = None) -> SceneSpec:
    """`plan_scene` carried out alone."""
    return carry_out([plan_scene(rng, config, first)])[0]


def _surroundings(
    rng: np.random.Generator, hands: tuple[HandTruth, ...], config: SyntheticConfig, story: _Story
) -> tuple[list[Primitive], list[ObjectTruth]]:
    primitives: list[Primitive] = []
    objects: list[ObjectTruth] = []
    for hand in hands:
        primitives += forearm(rng, hand, models()[hand.side])
        held = gripped_box(rng, hand) if story.gripping and hand is hands[0] else None
        if held is None and rng.random() < config.held_object:
            held = held_object(rng, hand)
        if held is not None:
            primitives.append(held[0])
            objects.append(held[1])
    primitives += around(rng, hands, config, story.stretched)
    return hide_some(rng, primitives, config.dark), objects


def around(
    rng: np.random.Generator, hands: tuple[HandTruth, ...], config: SyntheticConfig, stretched: bool
) -> list[Primitive]:
    """Things before and behind the hands, and the person the first of them belongs to."""
    primitives: list[Primitive] = []
    if rng.random() < config.occluder:
        primitives.append(occluder(rng, hands[0]))
    primitives += body(rng, hands[0], config.body, stretched)
    if rng.random() < config.lap:
        primitives += lap(rng, hands[0])
    count = int(rng.integers(0, config.max_clutter + 1)) if rng.random() < 0.7 else 0
    primitives += clutter(rng, hands[0].center.astype(np.float64), count)
    points: FloatArray = np.concatenate([hand.joints for hand in hands])
    return primitives + walls(rng, points, config.background)
