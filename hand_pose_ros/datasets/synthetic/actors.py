"""Who is in a sequence: moving arms with what they hold, and the still person and room around them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.datasets.synthetic.arms import forearm
from hand_pose_ros.datasets.synthetic.holding import hold_between
from hand_pose_ros.datasets.synthetic.materials import sample_lighting
from hand_pose_ros.datasets.synthetic.motion import (
    GRASPS,
    HandMotion,
    ease,
    follow_elbow,
    forearm_frames,
    gesture_sequence,
    wander,
)
from hand_pose_ros.datasets.synthetic.placement import between
from hand_pose_ros.datasets.synthetic.props import held_object
from hand_pose_ros.datasets.synthetic.room import SHOULDER_REACH, plain_photometry, sample_cloth, table, torso, wall
from hand_pose_ros.datasets.synthetic.scene import models
from hand_pose_ros.datasets.synthetic.skin import sample_skin
from hand_pose_ros.datasets.synthetic.spec import (
    HandTruth,
    Label,
    Lighting,
    Material,
    ObjectTruth,
    Photometry,
    Primitive,
    SceneSpec,
    SequenceConfig,
    Shape,
    Skin,
)
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.hand_model.pose_prior import mirror_pose, sample_betas, sample_pose_sequence
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# Instants per frame: what is averaged lies this fine apart.
INSTANTS: Final = 15
ENTRY_SECONDS: Final = 0.55
_LANES: Final = {"facing": {Side.RIGHT: (0.0, 0.5), Side.LEFT: (0.55, 1.0)}}
_LANES["egocentric"] = {side.other: lane for side, lane in _LANES["facing"].items()}


@dataclass(frozen=True)
class Held:
    """An object as it lay in the hand at one instant."""

    primitive: Primitive
    truth: ObjectTruth
    instant: int


@dataclass(frozen=True)
class Actor:
    """A moving arm: its hand, what it wears (the seed of its forearm, the cloth of its sleeve), what it holds."""

    motion: HandMotion
    clothes: int
    cloth: Material
    held: Held | None

    def parts(self, instant: int, hand: HandTruth) -> tuple[list[Primitive], ObjectTruth | None]:
        """Forearm, upper arm and held object at an instant, given the hand then."""
        # The same seed each time: the same sleeve or watch.
        arm, *worn = forearm(np.random.default_rng(self.clothes), hand, self.motion.model)
        sleeves = [dataclasses.replace(it, material=self.cloth) if it.shape is Shape.CAPSULE else it for it in worn]
        parts = [arm, *sleeves]
        upper = between(self.motion.shoulder, self.motion.elbows[instant], np.full(2, 0.052), np.array([1.0, 0.2, 0.1]))
        parts.append(Primitive(Shape.CAPSULE, upper, self.cloth, Label.OTHER, taper=0.82, cap=0.15))
        if self.held is None:
            return parts, None
        primitive, truth = self._carried(self.held, instant)
        return [*parts, primitive], truth

    def _carried(self, held: Held, instant: int) -> tuple[Primitive, ObjectTruth]:
        """The object moved with the hand from where it was taken."""
        turn = self.motion.rotation(instant) @ self.motion.rotation(held.instant).T
        start, now = self.motion.wrists[held.instant], self.motion.wrists[instant]
        placed = held.primitive.transform.astype(np.float64)
        transform = np.column_stack([turn @ placed[:, :3], turn @ (placed[:, 3] - start) + now])
        truth = dataclasses.replace(
            held.truth,
            rotation=(turn @ held.truth.rotation).astype(np.float32),
            translation=(turn @ (held.truth.translation - start) + now).astype(np.float32),
        )
        return dataclasses.replace(held.primitive, transform=transform.astype(np.float32)), truth


@dataclass(frozen=True)
class Cast:
    """A whole sequence before it is drawn."""

    camera: Intrinsics
    actors: tuple[Actor, ...]
    still: tuple[Primitive, ...]
    lighting: Lighting
    photometry: Photometry

    def at(self, instant: int) -> SceneSpec:
        """The scene at an instant (`INSTANTS` per frame)."""
        hands = tuple(actor.motion.at(instant) for actor in self.actors)
        primitives, objects = list(self.still), []
        for actor, hand in zip(self.actors, hands, strict=True):
            parts, carried = actor.parts(instant, hand)
            primitives += parts
            if carried is not None:
                objects.append(carried)
        return SceneSpec(self.camera, hands, tuple(primitives), tuple(objects), self.lighting, self.photometry)


def cast_of(rng: np.random.Generator, config: SequenceConfig) -> Cast:
    """Draw a sequence; everything random comes from `rng`."""
    sides: tuple[Side, ...] = (Side.RIGHT, Side.LEFT) if config.hands == "both" else (Side(config.hands),)
    skin, betas, cloth = sample_skin(rng), sample_betas(rng), sample_cloth(rng)
    clothes = int(rng.integers(2**31))
    shoulders = _shoulders(rng, config)
    actors: list[Actor] = []
    if config.together:
        actors, sides = _holding(rng, config, shoulders, skin, betas, clothes, cloth), ()
    for side in sides:
        motion = _motion(rng, config, side, shoulders, skin, betas)
        # Two hands of a sequence never touch: a draw that lets them is drawn again, ever farther out.
        tries = 0
        while actors and not _apart(actors[0].motion, motion):
            tries += 1
            motion = _motion(rng, config, side, shoulders, skin, betas, 0.02 * tries)
        held = _take(rng, motion) if config.held_object and not actors else None
        actors.append(Actor(motion, clothes, cloth, held))
    still = _surroundings(rng, config, actors, shoulders, skin, cloth)
    camera = config.camera
    return Cast(camera, tuple(actors), tuple(still), sample_lighting(rng), plain_photometry(rng, config.noise))


def _holding(
    rng: np.random.Generator,
    config: SequenceConfig,
    shoulders: DoubleArray,
    skin: Skin,
    betas: FloatArray,
    clothes: int,
    cloth: Material,
) -> list[Actor]:
    """Both arms with one thing, which goes with the right hand (the left hand goes with it)."""

    def shoulder(side: Side) -> DoubleArray:
        return np.asarray(shoulders + np.array([SHOULDER_REACH * _outward(side, config.view), 0.0, 0.0]))

    right, left, (primitive, truth) = hold_between(rng, config, config.fps * INSTANTS, shoulder, skin, betas)
    held = Held(primitive, truth, len(right.wrists) // 2)
    return [Actor(right, clothes, cloth, held), Actor(left, clothes, cloth, None)]


def _outward(side: Side, view: str) -> float:
    """The sign of x on this side of the body."""
    return (-1.0 if side is Side.RIGHT else 1.0) * (1.0 if view == "facing" else -1.0)


def _shoulders(rng: np.random.Generator, config: SequenceConfig) -> DoubleArray:
    """(3,) the middle between the shoulders."""
    if config.view == "egocentric":
        return np.array([rng.normal(0.0, 0.02), 0.2, -0.05])
    # An arm's length behind the nearest place of the hand.
    away = float(np.clip(config.min_distance + 0.5, config.max_distance + 0.12, None))
    return np.array([rng.normal(0.0, 0.03), rng.uniform(-0.12, -0.02), away])


def _motion(
    rng: np.random.Generator,
    config: SequenceConfig,
    side: Side,
    shoulders: DoubleArray,
    skin: Skin,
    betas: FloatArray,
    aside: float = 0.0,
) -> HandMotion:
    """A random motion; the wrist's path is moved `aside` metres, away from the other hand."""
    count, rate = config.frames * INSTANTS, config.fps * INSTANTS
    outward = _outward(side, config.view)
    wrists = _wrists(rng, config, side, outward) + np.array([outward * aside, 0.0, 0.0])
    shoulder = shoulders + np.array([SHOULDER_REACH * outward, 0.0, 0.0])
    elbows = follow_elbow(wrists, shoulder, np.array([0.45 * outward, 1.0, 0.15]))
    curves = wander(rng, count, rate, 1.2 * config.pace, 3)
    if config.view == "facing":
        # Palm towards the camera at first, hand bent back; then turning as far as forearms do.
        back, rolls = np.array([0.0, -0.4, 1.0]), 2.6 * curves[:, 0] - 0.4
        bends = np.stack([0.9 * curves[:, 1] - 0.75, 0.5 * curves[:, 2] - 0.25], axis=1)
    else:
        back, rolls = np.array([0.0, -1.0, -0.4]), 2.4 * curves[:, 0] - 0.6
        bends = np.stack([1.1 * curves[:, 1] - 0.55, 0.5 * curves[:, 2] - 0.25], axis=1)
    return HandMotion(
        model=models()[side],
        skin=skin,
        betas=betas,
        poses=_poses(rng, config, side, count, rate),
        wrists=wrists,
        elbows=elbows,
        shoulder=shoulder,
        forearms=forearm_frames(wrists, elbows, back, rolls, side),
        bends=bends,
    )


def _poses(rng: np.random.Generator, config: SequenceConfig, side: Side, count: int, rate: float) -> FloatArray:
    first = side is Side.RIGHT or config.hands == "left"
    if first and config.held_object:
        poses = gesture_sequence(rng, (GRASPS[int(rng.integers(len(GRASPS)))],), count, rate)
    elif first and config.gestures:
        names = [name.strip() for name in config.gestures.split(",")]
        poses = gesture_sequence(rng, names, count, rate)
    else:
        poses = sample_pose_sequence(rng, count, rate)
    return mirror_pose(poses) if side is Side.LEFT else poses


def _wrists(rng: np.random.Generator, config: SequenceConfig, side: Side, outward: float) -> DoubleArray:
    """(n, 3) where the wrist goes: the palm stays in the picture, in its own half when there are two hands."""
    count, rate, camera = config.frames * INSTANTS, config.fps * INSTANTS, config.camera
    curves = wander(rng, count, rate, config.pace, 3)
    z = config.min_distance + curves[:, 0] * (config.max_distance - config.min_distance)
    two = config.hands == "both"
    if two and side is Side.LEFT:  # never nearer than the middle, so that both fit in
        z = 0.5 * (z + config.max_distance)
    lane = _LANES[config.view][side] if two else (0.0, 1.0)
    margin = 0.115 * camera.fx / z
    u = _within(curves[:, 1], lane[0] * camera.width, lane[1] * camera.width, margin)
    v = _within(curves[:, 2], 0.0, camera.height, margin)
    palms = back_project(np.stack([u, v], axis=1), z, camera)
    # From the palm to the wrist, roughly: hands point up, and to the camera or away from it.
    wrists = palms + (np.array([0.0, 0.055, 0.03]) if config.view == "facing" else np.array([0.0, 0.04, -0.06]))
    if two and side is Side.LEFT and config.second_enters > 0:
        start = config.second_enters * count
        out = 1.0 - ease((np.arange(count, dtype=np.float64) - start) / (ENTRY_SECONDS * rate))
        wrists = wrists + out[:, None] * np.array([0.42 * outward, 0.12, 0.05])
    return np.asarray(wrists)


def _within(curve: DoubleArray, low: float, high: float, margin: DoubleArray) -> DoubleArray:
    """`curve` (0..1) spread over low..high less the margins; their middle where there is no room."""
    middle, half = 0.5 * (low + high), np.maximum(0.5 * (high - low) - margin, 0.0)
    return np.asarray(middle + (2.0 * curve - 1.0) * half)


def _apart(first: HandMotion, second: HandMotion, least: float = 0.03) -> bool:
    """Whether no joints of two hands come nearer than `least` metres in any frame."""
    for instant in range(0, len(first.wrists), INSTANTS):
        gap = first.at(instant).joints[:, None] - second.at(instant).joints[None]
        if float((gap * gap).sum(axis=-1).min()) < least * least:
            return False
    return True


def _take(rng: np.random.Generator, motion: HandMotion) -> Held | None:
    """An object that fits the grasp in the middle of the sequence; None where the fingers leave no room for any."""
    instant = len(motion.wrists) // 2
    for _ in range(10):
        found = held_object(rng, motion.at(instant))
        if found is not None:
            return Held(found[0], found[1], instant)
    return None


def _surroundings(
    rng: np.random.Generator,
    config: SequenceConfig,
    actors: list[Actor],
    shoulders: DoubleArray,
    skin: Skin,
    cloth: Material,
) -> list[Primitive]:
    elbows = np.concatenate([actor.motion.elbows for actor in actors])
    top = float(elbows[:, 1].max()) + 0.06
    if config.view == "egocentric":
        far = config.max_distance + float(rng.uniform(0.4, 0.9))
        return [*table(rng, max(top, 0.25), 0.1, far), wall(rng, far + float(rng.uniform(0.1, 1.0)))]
    far = float(shoulders[2] + rng.uniform(0.2, 0.35))
    things = table(rng, top, 0.3, far)
    return [*torso(rng, shoulders, skin, cloth), *things, wall(rng, far + float(rng.uniform(0.2, 0.8)))]
