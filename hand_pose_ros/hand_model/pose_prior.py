"""Natural hand poses and shapes to draw from: key poses, blended and varied within the joints' limits.

Works in the 22 anatomical angles of `anatomy` (degrees), where mixing two poses gives a pose between them; the samples
come out as `hand_pose` (45,). Left hands take the mirrored pose (`mirror_pose`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.anatomy import LIMITS_DEGREES, NUM_ANGLES, joints_of_poses, pose_from_angles
from hand_pose_ros.hand_model.collision import penetration
from hand_pose_ros.hand_model.model import MIRROR_AXIS_ANGLE, NUM_BETAS

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]


def _key(thumb: tuple[int, ...], *fingers: tuple[int, int, int, int]) -> Array:
    return np.array([*thumb, *(angle for finger in fingers for angle in finger)], dtype=np.float64)


# Finger shapes as (MCP flexion, radial deviation, PIP, DIP).
_STRAIGHT = (2, 0, 4, 3)
_CURLED = (88, 0, 106, 73)
_CURLED_LITTLE = (86, 0, 98, 60)  # shorter: it meets the palm earlier
_RELAXED = ((18, 0, 25, 12), (22, 0, 30, 14), (25, 0, 32, 15), (28, -2, 32, 15))
_FIST = (_CURLED, _CURLED, _CURLED, _CURLED_LITTLE)
_OVER_FIST = (21, 22, 55, 39, 0, 43)  # thumb across the curled fingers
_HITCHHIKER = (-16, -6, -5, -8, 0, -22)
_BESIDE = (22, -2, 0, -4, 0, 2)  # thumb along the index
_ACROSS = (28, -5, 53, 60, 0, 73)  # thumb folded over the flat palm

# Thumb poses of the pinches, grips and fists were solved so that its pulp meets the finger's or the object's side.
KEY_POSES: Final[dict[str, Array]] = {
    "flat": _key((0, 0, 0, 0, 0, 0), *(_STRAIGHT,) * 4),
    "spread": _key((-14, 2, 0, -5, 0, -5), (0, 14, 2, 2), (0, 2, 2, 2), (0, -10, 2, 2), (0, -18, 2, 2)),
    "together": _key(_BESIDE, (4, -7, 4, 3), (4, 0, 4, 3), (4, 5, 4, 3), (4, 12, 4, 3)),
    "back": _key((-18, -10, 0, -8, 0, -15), *((-18, 0, 5, 0),) * 4),
    "relaxed": _key((8, 12, 12, 12, 0, 14), *_RELAXED),
    "cupped": _key((12, 18, 18, 10, 0, 12), (38, -4, 22, 10), (40, 0, 24, 10), (42, 3, 25, 10), (44, 8, 25, 10)),
    "claw": _key((4, 22, 25, 5, 0, 40), (5, 5, 70, 45), (5, 0, 74, 45), (5, -4, 72, 45), (5, -10, 66, 45)),
    "hook": _key((6, 2, 0, 8, 0, 10), *((8, 0, 95, 60),) * 4),
    "tabletop": _key((12, 0, 0, 5, 0, 5), *((78, 0, 8, 4),) * 4),
    "fist": _key(_OVER_FIST, *_FIST),
    "fist_thumb_on_index": _key((4, 22, 54, 48, 0, 54), *_FIST),
    "fist_loose": _key((16, 16, 29, 29, 0, 35), *((62, 0, 78, 45),) * 4),
    "fist_thumb_beside": _key((26, 2, 5, 0, 0, 8), *_FIST),
    "thumbs_up": _key(_HITCHHIKER, *_FIST),
    "point": _key(_OVER_FIST, _STRAIGHT, _CURLED, _CURLED, _CURLED_LITTLE),
    "point_thumb_out": _key((-8, 0, 0, 0, 0, -8), _STRAIGHT, _CURLED, _CURLED, _CURLED_LITTLE),
    "two": _key(_OVER_FIST, (0, 12, 3, 2), (0, -8, 3, 2), _CURLED, _CURLED_LITTLE),
    "three": _key(_OVER_FIST, (0, 12, 3, 2), (0, 0, 3, 2), (2, -12, 4, 2), (75, 0, 85, 50)),
    "three_with_thumb": _key((-12, 0, 0, -4, 0, -8), (0, 12, 3, 2), (0, -6, 3, 2), _CURLED, _CURLED_LITTLE),
    "four": _key(_ACROSS, (0, 4, 2, 2), (0, 0, 2, 2), (0, -4, 2, 2), (2, -6, 2, 2)),
    "horns": _key(_OVER_FIST, (2, 4, 4, 2), _CURLED, _CURLED, (2, -8, 4, 2)),
    "call_me": _key(_HITCHHIKER, _CURLED, _CURLED, _CURLED, (2, -14, 4, 2)),
    "little_up": _key(_OVER_FIST, _CURLED, _CURLED, (78, 0, 95, 60), (8, -4, 6, 3)),
    "middle_up": _key(_OVER_FIST, _CURLED, (4, 0, 4, 2), _CURLED, _CURLED_LITTLE),
    "ok": _key((31, 17, 43, 8, 0, -4), (39, 0, 46, 30), (14, 0, 14, 6), (8, -2, 8, 4), (4, -8, 6, 3)),
    "pinch_index": _key((31, 17, 43, 8, 0, -4), (39, 0, 46, 30), *_RELAXED[1:]),
    "pinch_middle": _key((42, 19, 35, 10, 0, -8), _RELAXED[0], (43, 0, 56, 30), *_RELAXED[2:]),
    "pinch_ring": _key((42, 21, 42, 32, 0, -13), *_RELAXED[:2], (49, 0, 45, 30), _RELAXED[3]),
    "pinch_little": _key((42, 25, 54, 49, 0, -15), *_RELAXED[:3], (60, 0, 17, 30)),
    "tripod": _key((26, 23, 42, 11, 0, 6), (52, 0, 40, 22), (54, 0, 41, 22), (60, 0, 50, 25), (62, 0, 50, 25)),
    "pen": _key((23, 18, 38, 11, 0, 22), (52, 0, 42, 15), (60, 0, 58, 25), (68, 0, 72, 35), (70, 0, 75, 40)),
    "grip_25": _key((13, 24, 47, 8, 0, 7), (46, 0, 35, 22), (46, 0, 35, 22), (46, 0, 35, 22), (40, -2, 38, 20)),
    "grip_60": _key((2, 30, 49, 7, 0, 12), *((43, 0, 33, 22),) * 3, (42, 0, 32, 22)),
    "grip_85": _key((-12, 30, 47, 0, 0, 17), (40, 4, 31, 22), (39, 0, 31, 22), (38, 0, 30, 22), (38, -5, 31, 22)),
    "ball": _key((-4, 28, 42, 2, 0, 18), (28, 8, 36, 22), (28, 0, 38, 22), (28, -6, 36, 22), (30, -14, 34, 22)),
    "cylinder_30": _key((20, 26, 42, 22, 0, 30), (62, 0, 66, 38), (64, 0, 68, 38), (66, 0, 68, 38), (68, 0, 64, 36)),
    "cylinder_50": _key((8, 28, 42, 12, 0, 22), (48, 0, 52, 32), (50, 0, 54, 32), (50, 0, 54, 32), (52, 0, 50, 30)),
    "cylinder_75": _key((-6, 28, 40, 4, 0, 18), (32, 2, 42, 26), (34, 0, 44, 26), (34, 0, 44, 26), (36, -4, 40, 24)),
    "trigger": _key((8, 24, 36, 12, 0, 20), (26, 4, 48, 20), (54, 0, 60, 34), (56, 0, 60, 34), (58, 0, 56, 32)),
    "lateral": _key((26, 2, 0, 2, 0, 0), (45, 0, 60, 30), (60, 0, 70, 40), (65, 0, 75, 45), (68, 0, 75, 45)),
    "platform": _key((-10, 8, 10, 0, 0, 4), *((6, 0, 10, 5),) * 4),
    "press": _key((14, 10, 16, 14, 0, 14), (30, 0, 22, 10), (58, 0, 66, 36), (64, 0, 70, 40), (66, 0, 68, 40)),
}
_NAMES: Final = tuple(KEY_POSES)
_POSES: Final = np.stack([KEY_POSES[name] for name in _NAMES])
_FREE_HAND: Final = KEY_POSES["relaxed"]
# Overlap of the capsules that soft tissue may hide, metres.
TOLERATED_OVERLAP: Final = 0.005

# Shares of the ways to draw a pose; the rest curls each finger on its own.
_NEAR_KEY: Final = 0.55
_BETWEEN_KEYS: Final = 0.25
# Share of the poses whose thumb is drawn apart from the fingers.
_FREE_THUMB: Final = 0.25
# Per-angle noise of a key pose, standard deviation in degrees, thumb then one long finger.
_THUMB_NOISE: Final = (6.0, 6.0, 6.0, 6.0, 2.0, 8.0)
_FINGER_NOISE: Final = (7.0, 3.0, 8.0, 5.0)
_FIRST_OF_FINGER: Final = 6 + 4 * np.arange(4)


def _noise(rng: np.random.Generator, count: int) -> Array:
    """Pose noise (N, 22), degrees: a part common to the long fingers, a part shared by neighbours, an own part."""
    draws = rng.normal(size=(count, 46))
    own = draws[:, :16].reshape(-1, 4, 4)
    shared = draws[:, None, 16:20]
    between = draws[:, 20:40].reshape(-1, 5, 4)
    # Neighbours share tendons: most of the variance is common, a little is each finger's own.
    mixed = 0.6 * shared + 0.5 / np.sqrt(2.0) * (between[:, :4] + between[:, 1:]) + 0.62 * own
    mixed[..., 1] = own[..., 1]
    # The distal joint follows the middle one by two thirds (Landsmeer's coupling); its own freedom is small.
    mixed[..., 3] = mixed[..., 2] * (2.0 / 3.0) * _FINGER_NOISE[2] / _FINGER_NOISE[3] + 0.5 * own[..., 3]
    noise = np.concatenate([draws[:, 40:] * _THUMB_NOISE, (mixed * _FINGER_NOISE).reshape(count, 16)], axis=1)
    return np.asarray(noise * rng.gamma(2.0, 0.45, (count, 1)))


def _by_finger(rng: np.random.Generator) -> Array:
    """Each finger curled on its own within its limits, neighbours alike, thumb from a key pose."""
    level = np.clip(0.45 + 0.33 * np.cumsum(rng.normal(size=4)) * 0.8 + 0.25 * rng.normal(), 0.0, 1.0)
    angles: Array = _POSES[rng.integers(len(_POSES))].copy()
    mcp = -15 + 100 * np.clip(level + 0.2 * rng.normal(size=4), 0, 1)
    pip = 105 * np.clip(level + 0.2 * rng.normal(size=4), 0, 1)
    angles[_FIRST_OF_FINGER] = mcp
    angles[_FIRST_OF_FINGER + 1] = rng.normal(size=4) * 7
    angles[_FIRST_OF_FINGER + 2] = pip
    angles[_FIRST_OF_FINGER + 3] = pip * 2 / 3 + rng.normal(size=4) * 6
    return angles


def _thumb_anywhere(rng: np.random.Generator) -> Array:
    """(6,) a thumb anywhere in its joints' reach, whatever the fingers do.

    The saddle joint pronates the thumb as it adducts and abducts (the factors are those of the key poses); MCP and IP
    bend together.
    """
    adduction, abduction, flexion = rng.uniform((-20.0, -16.0, -12.0), (42.0, 47.0, 56.0))
    pronation, radial, tip = rng.normal(size=3)
    return np.array(
        [
            *(adduction, abduction, 0.48 * adduction + 1.34 * abduction + 8.0 * pronation),
            *(flexion, 4.0 * radial, 0.7 * flexion + 22.0 * tip),
        ]
    )


def _draw_base(rng: np.random.Generator, names: Sequence[str]) -> Array:
    """(22,) angles in degrees before noise."""
    if names:
        a, b = (KEY_POSES[names[index]] for index in rng.integers(len(names), size=2))
        return np.asarray(a + rng.random() * (b - a))
    angles = _draw_whole(rng)
    if rng.random() < _FREE_THUMB:
        angles = np.concatenate([_thumb_anywhere(rng), angles[6:]])
    return angles


def _draw_whole(rng: np.random.Generator) -> Array:
    """A key pose, one between two, or fingers curled one by one."""
    way = rng.random()
    if way < _NEAR_KEY:
        return np.asarray(_POSES[rng.integers(len(_POSES))])
    if way < _NEAR_KEY + _BETWEEN_KEYS:
        a, b = rng.integers(len(_POSES), size=2)
        share = rng.random()
        return np.asarray((1 - share) * _POSES[a] + share * _POSES[b])
    return _by_finger(rng)


def clip_to_limits(degrees: Array) -> Array:
    """Angles (..., 22) in degrees, brought inside `LIMITS_DEGREES`."""
    return np.asarray(np.clip(degrees, LIMITS_DEGREES[:, 0], LIMITS_DEGREES[:, 1]))


def overlap_of(degrees: Array) -> FloatArray:
    """How deep the hand passes through itself, metres, (N,) for angles (N, 22)."""
    return penetration(joints_of_poses(pose_from_angles(degrees)))


# How much of the relaxed hand is mixed in until a pose is free of itself.
_LOOSENING: Final = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0])


def draw_candidates(rng: np.random.Generator, names: Sequence[str] = ()) -> Array:
    """(3, 22) angles in degrees to choose a pose from with `choose_free`; some may pass through themselves.

    With `names` poses are drawn between these key poses only.
    """
    return clip_to_limits(np.stack([_draw_base(rng, names) for _ in range(3)]) + _noise(rng, 3))


def choose_free(candidates: Array) -> tuple[Array, FloatArray]:
    """Of each row's candidates (N, 3, 22) the first that does not pass through itself.

    Where none is free, the first is loosened as much as it needs. Returns angles (N, 22) in degrees and hand_pose
    (N, 45) of a right hand; a row depends on its own candidates alone, so that many are drawn at once.
    """
    angles, poses, free = _first_free(candidates)
    stuck = np.flatnonzero(~free)
    if len(stuck):
        first = candidates[stuck, :1]
        loosened = first + _LOOSENING[:, None] * (_FREE_HAND - first)
        # The relaxed hand ends the loosening and is free (tested).
        angles[stuck], poses[stuck], _ = _first_free(loosened)
    return angles, poses


def _first_free(candidates: Array) -> tuple[Array, FloatArray, NDArray[np.bool_]]:
    """The first of each row's angles (N, K, 22) that is free of itself, its hand_pose, and whether there is one."""
    count, choice, _ = candidates.shape
    poses = pose_from_angles(candidates)
    overlap = penetration(joints_of_poses(poses.reshape(count * choice, -1))).reshape(count, choice)
    free: NDArray[np.bool_] = np.asarray(overlap <= TOLERATED_OVERLAP)
    rows, first = np.arange(count), free.argmax(axis=1)
    return candidates[rows, first], poses[rows, first], np.asarray(free.any(axis=1))


def _draw(rng: np.random.Generator) -> tuple[Array, FloatArray]:
    angles, poses = choose_free(draw_candidates(rng)[None])
    return angles[0], poses[0]


def sample_angles(rng: np.random.Generator) -> Array:
    """One natural pose as (22,) angles in degrees (`anatomy.ANGLES`), without gross self-penetration."""
    return _draw(rng)[0]


def sample_pose(rng: np.random.Generator) -> FloatArray:
    """One natural pose of a right hand, hand_pose (45,): gestures, fists, pinches, grasps and poses between."""
    return _draw(rng)[1]


def mirror_pose(axis_angles: FloatArray) -> FloatArray:
    """The same pose (or global_orient) for the other hand: (..., 3k) axis-angles."""
    shape = axis_angles.shape
    return (axis_angles.reshape(-1, 3) * MIRROR_AXIS_ANGLE).reshape(shape).astype(np.float32)


def sample_pose_sequence(rng: np.random.Generator, n: int, fps: float) -> FloatArray:
    """A smooth motion of n frames, hand_pose (n, 45): minimum-jerk moves between natural poses, with rests.

    Moves take 0.3 to 1.2 s, rests up to 0.6 s (people's reaching and gesturing speeds).
    """
    if n < 1 or fps <= 0:
        raise ValueError(f"expected n >= 1 frames at fps > 0, got n={n}, fps={fps}")
    frames = np.empty((0, NUM_ANGLES))
    here = sample_angles(rng)
    while len(frames) < n:
        there = sample_angles(rng)
        move = max(2, round(fps * rng.uniform(0.3, 1.2)))
        rest = round(fps * rng.uniform(0.0, 0.6))
        t = np.arange(1, move + 1) / move
        ease = (10 * t**3 - 15 * t**4 + 6 * t**5)[:, None]  # Flash & Hogan 1985
        frames = np.concatenate([frames, here + ease * (there - here), np.repeat(there[None], rest, axis=0)])
        here = there
    angles = clip_to_limits(frames[:n] + _tremor(rng, n, fps))
    return pose_from_angles(_loosen_sequence(angles, fps))


def _tremor(rng: np.random.Generator, n: int, fps: float) -> Array:
    """Slow wandering of the angles (n, 22), about 1.5 degrees, below 2 Hz."""
    times = np.arange(n)[:, None] / fps
    waves = np.zeros((n, NUM_ANGLES))
    for _ in range(3):
        frequency = rng.uniform(0.2, 1.8, NUM_ANGLES)
        waves += rng.normal(size=NUM_ANGLES) * 0.9 * np.sin(2 * np.pi * (frequency * times + rng.random(NUM_ANGLES)))
    return waves


def _loosen_sequence(angles: Array, fps: float) -> Array:
    """Mix in the relaxed hand around frames that pass through themselves, smoothly in time."""
    amount = np.zeros(len(angles))
    for share in _LOOSENING[1:]:
        stuck = overlap_of(angles + amount[:, None] * (_FREE_HAND - angles)) > TOLERATED_OVERLAP
        if not stuck.any():
            break
        amount[stuck] = share
    if not amount.any():
        return angles
    reach = max(1, round(0.15 * fps))
    padded = np.pad(amount, 2 * reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    kernel = np.hanning(2 * reach + 3)[1:-1]
    smooth = np.convolve(windows.max(axis=1), kernel / kernel.sum(), mode="valid")
    return np.asarray(angles + smooth[:, None] * (_FREE_HAND - angles))


def sample_betas(rng: np.random.Generator) -> FloatArray:
    """A population-like shape, betas (10,): independent standard normals, cut at 2.5 standard deviations."""
    return np.clip(rng.normal(size=NUM_BETAS), -2.5, 2.5).astype(np.float32)
