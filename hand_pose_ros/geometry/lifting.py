"""From image places and depths relative to the wrist to metres: where the wrist (the root) is.

A network of colour alone says where joints are seen (u, v) and how far each lies behind the hand's own wrist. What it
cannot say is how far the wrist is. That comes from the depth image, as the value on which most joints agree, or, where
there is none, from the known lengths of bones. Two hands' roots are then brought to agree with the translation that the
network sees between them, everything weighted by its certainty.

In all of this, r = ((u - cx) / fx, (v - cy) / fy, 1) is a pixel's ray; a joint lies at (Z + d) r, with Z the root's
depth and d the joint's depth behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

# A camera sees the skin: how deep each joint lies under it, over the joints' mean. Medians of 182 rendered hands whose
# mean is 10 mm; the wrist lies deepest, a tip is itself a point of the skin.
_DEPTHS_MM: Final = (22, 15, 12, 10.5, 1, 13, 10, 9, 1, 16, 10, 9, 1, 14.5, 9.5, 8.5, 1, 14, 9, 8, 1)
SKIN_PROFILE: Final = np.array(_DEPTHS_MM) / np.mean(_DEPTHS_MM)
SKIN_DEPTH: Final = 0.01
# Readings this far (m) from the value looked for still count half; see `root_from_depth`.
AGREEMENT: Final = 0.012
# So many joints must agree on a root, and so large a part of those that have readings.
MIN_JOINTS: Final = 4.0
MIN_SHARE: Final = 0.25
# What no number of joints averages out: the skin's thickness and the network's common error (m).
ROOT_FLOOR: Final = 0.004
# Spread of hand sizes between adults, as a part of the size (bone lengths: Buryanov and Kotiuk 2010).
SIZE_SPREAD: Final = 0.06
# Depths that a hand without depth readings is looked for at (m).
NEAREST, FARTHEST = 0.1, 5.0
_GRID: Final = np.geomspace(NEAREST, FARTHEST, 80)
# Distances that hardly change as a hand moves, and long enough that a network's noise does not stretch them by much:
# within the palm, and the thumb's and the fingers' first bones.
STRUTS: Final = (
    *((0, 5), (0, 9), (0, 13), (0, 17), (5, 17), (5, 13), (9, 17)),
    *((1, 2), (5, 6), (9, 10), (13, 14), (17, 18)),
)
_STARTS: Final = np.array([start for start, _ in STRUTS])
_ENDS: Final = np.array([end for _, end in STRUTS])
# A joint is read at nine pixels, so that a hole or an edge does not take it away.
_PATCH: Final = np.array([(v, u) for v in (0, -1, 1) for u in (0, -1, 1)])
_STEPS: Final = 6
# Where hands are (m), and how little that says.
_USUAL: Final = (0.6, 3.0)


@dataclass(frozen=True)
class Root:
    """How far a wrist is from the camera's plane.

    Attributes:
        z: metres.
        std: metres, one standard deviation.
        support: joints (or bones) that speak for it.
    """

    z: float
    std: float
    support: float


def rays(uv: DoubleArray, camera: Intrinsics) -> DoubleArray:
    """(..., 3) of pixels (..., 2): the camera point at a depth of one metre."""
    x, y = (uv[..., 0] - camera.cx) / camera.fx, (uv[..., 1] - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def read_depth(depth: FloatArray, uv: DoubleArray, limits: tuple[float, float], step: int = 2) -> DoubleArray:
    """Readings (N, 9) in metres at pixels (N, 2) and around them, `step` pixels apart; NaN where there is none.

    Args:
        depth: (H, W) float32 metres, 0 = no reading.
        uv: pixels, also outside the image.
        limits: nearest and farthest reading that counts.
        step: of the nine pixels' grid.
    """
    height, width = depth.shape
    middle = np.rint(np.clip(uv, -1e6, 1e6)).astype(np.int64)
    rows = middle[:, 1, None] + step * _PATCH[:, 0]
    columns = middle[:, 0, None] + step * _PATCH[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    values = depth[np.where(inside, rows, 0), np.where(inside, columns, 0)].astype(np.float64)
    return np.where(inside & (values >= limits[0]) & (values <= limits[1]) & (values > 0), values, np.nan)


def root_from_depth(
    readings: DoubleArray,
    relative: DoubleArray,
    relative_std: DoubleArray,
    prior: Root | None = None,
    skin: float = SKIN_DEPTH,
) -> Root | None:
    """The root depth on which the most joints agree: joints behind something, beside the hand or in holes do not count.

    A reading says: root = reading + the skin's depth - d. Every such value is tried; a joint votes with its best
    reading, exp(-ln 2 (difference / h)^2), h = 12 mm and the deviation of its d, and the less the wider that is. Then
    the mean of those that agree.

    Args:
        readings: (21, K) metres, NaN = none, see `read_depth`.
        relative: (21,) d, metres behind the root.
        relative_std: (21,) its standard deviation.
        prior: what is known otherwise; values more than a few of its deviations off count less.
        skin: how deep a joint lies under what the camera sees, mean of the joints.

    Returns:
        None where fewer than four joints, or a quarter of those with readings, agree.
    """
    roots = readings + (skin * SKIN_PROFILE - relative)[:, None]
    tried = roots[np.isfinite(roots)]
    if not tried.size:
        return None
    width = np.hypot(AGREEMENT, relative_std)
    # Joints without readings vote nothing.
    known = np.where(np.isfinite(roots), roots, np.inf)
    # By columns: the smallest along a short axis takes longer than all the rest.
    nearest = np.abs(known[:, 0] - tried[:, None])
    for column in known.T[1:]:
        np.minimum(nearest, np.abs(column - tried[:, None]), out=nearest)
    agreement = np.exp2(-((nearest / width) ** 2))
    votes = agreement @ (AGREEMENT / width)
    if prior is not None:
        votes = votes * np.exp(-0.5 * ((tried - prior.z) / (3 * prior.std)) ** 2)
    best = int(votes.argmax())
    doubt = 1.0 if prior is None else float(np.exp(-0.5 * ((tried[best] - prior.z) / (3 * prior.std)) ** 2))
    readable = int(np.isfinite(roots).any(axis=1).sum())
    if doubt * float(agreement[best].sum()) < max(MIN_JOINTS, MIN_SHARE * readable):
        return None
    return _mean_of_agreeing(known, width, float(tried[best]))


def _mean_of_agreeing(roots: DoubleArray, width: DoubleArray, start: float) -> Root:
    z = start
    for _ in range(_STEPS):
        nearest = np.take_along_axis(roots, np.abs(roots - z).argmin(axis=1)[:, None], axis=1)[:, 0]
        agree = np.abs(nearest - z) <= 2 * width
        share = agree / width**2
        z = float(share @ np.where(agree, nearest, 0.0) / share.sum())
    spread = float(share @ np.where(agree, nearest - z, 0.0) ** 2 / share.sum())
    effective = float(share.sum() ** 2 / (share**2).sum())
    return Root(z, float(np.sqrt(spread / effective + ROOT_FLOOR**2)), float(agree.sum()))


def root_from_bones(
    uv: DoubleArray,
    relative: DoubleArray,
    lengths: DoubleArray,
    camera: Intrinsics,
    relative_std: DoubleArray,
    size_spread: float = SIZE_SPREAD,
) -> Root:
    """The root depth at which the `STRUTS` come out as long as they should be: robust least squares.

    Such a vector is Z (r_b - r_a) + (d_b r_b - d_a r_a), so that its length is known for every Z; the best Z of a
    grid is refined by Gauss-Newton steps with Huber weights.

    Args:
        uv: (21, 2) pixels of the image. relative: (21,) metres behind the wrist. relative_std: (21,) metres.
        lengths: (12,) metres, see `strut_lengths`.
        size_spread: how much hands differ from `lengths`, as a part.
    """
    r = rays(uv, camera)
    across = (r[_ENDS] - r[_STARTS])[:, :2]
    along = relative[_ENDS, None] * r[_ENDS] - relative[_STARTS, None] * r[_STARTS]
    a = (across**2).sum(axis=1)
    b = (across * along[:, :2]).sum(axis=1)
    c = (along**2).sum(axis=1)
    # A strut that points at the camera owes its length to d alone: it says little of Z.
    depth_std = np.sqrt(relative_std[_ENDS] ** 2 + relative_std[_STARTS] ** 2)
    slope = np.abs(along[:, 2]) / np.maximum(lengths, 1e-6)
    scale = np.sqrt((depth_std * np.minimum(slope, 1.0)) ** 2 + 0.004**2)

    def residuals(z: DoubleArray) -> DoubleArray:
        squared = a * z[:, None] ** 2 + 2 * b * z[:, None] + c
        return np.asarray((np.sqrt(np.maximum(squared, 1e-12)) - lengths) / scale)

    cost = _huber_cost(residuals(_GRID)).sum(axis=1)
    z, information = float(_GRID[cost.argmin()]), 1e-12
    for _ in range(_STEPS):
        error = residuals(np.array([z]))[0]
        gradient = (a * z + b) / np.maximum(error * scale + lengths, 1e-6) / scale
        weight = np.minimum(1.0, 1.5 / np.maximum(np.abs(error), 1e-9))
        information = max(float(weight @ gradient**2), 1e-12)
        z = float(np.clip(z - (weight @ (gradient * error)) / information, z / 1.5, z * 1.5))
    z = float(np.clip(z, NEAREST, FARTHEST))
    return Root(z, float(np.hypot(size_spread * z, 1.0 / np.sqrt(information))), float(len(lengths)))


def _huber_cost(error: DoubleArray, knee: float = 1.5) -> DoubleArray:
    size = np.abs(error)
    return np.asarray(np.where(size <= knee, 0.5 * size**2, knee * (size - 0.5 * knee)))


def root_from_shape(
    uv: DoubleArray, shape: DoubleArray, camera: Intrinsics, uv_std: DoubleArray, size_spread: float = SIZE_SPREAD
) -> Root:
    """The root depth at which joints of known shape are seen where they are seen: linear least squares, robust.

    (X + tx) = x (Z + d) and (Y + ty) = y (Z + d) for each joint are linear in tx, ty and Z; about the weighted means
    only Z is left.

    Args:
        uv: (N, 2) pixels. shape: (N, 3) metres from the root, camera axes, of the right size. uv_std: (N,) pixels.
        size_spread: how much the size may be wrong, as a part.
    """
    across = rays(uv, camera)[:, :2]
    wanted = shape[:, :2] - across * shape[:, 2:]
    spread = np.clip(np.stack([uv_std / camera.fx, uv_std / camera.fy], axis=1), 1e-6, 10.0)
    z, weight, information = _USUAL[0], np.ones_like(across), 0.0
    for _ in range(_STEPS):
        # Residuals are metres at the joint's depth, pixels parts of it.
        share = weight / (spread * z) ** 2
        total = share.sum(axis=0)
        a, v = across - (share * across).sum(axis=0) / total, wanted - (share * wanted).sum(axis=0) / total
        # Joints on one spot tell nothing: then it is what is usual.
        information = float((share * a**2).sum()) + _USUAL[1] ** -2
        z = (float((share * a * v).sum()) + _USUAL[0] * _USUAL[1] ** -2) / information
        z = float(np.clip(z, NEAREST, FARTHEST))
        weight = np.minimum(1.0, 2.0 / np.maximum(np.abs(a * z - v) / (spread * z), 1e-9))
    return Root(z, float(np.sqrt((size_spread * z) ** 2 + 1 / information)), float(len(uv)))


def place_shape(uv: DoubleArray, shape: DoubleArray, z: float, camera: Intrinsics, uv_std: DoubleArray) -> DoubleArray:
    """Joints (N, 3) of a known shape (N, 3), its root at depth `z`, moved sideways to where they are seen (N, 2)."""
    r = rays(uv, camera)
    wanted = r[:, :2] * (z + shape[:, 2:]) - shape[:, :2]
    spread = uv_std[:, None] * (z / camera.fx)
    shift, weight = np.median(wanted, axis=0), np.ones_like(wanted)
    for _ in range(_STEPS):
        weight = np.minimum(1.0, 2.0 / np.maximum(np.abs(wanted - shift) / spread, 1e-9)) / spread**2
        shift = (weight * wanted).sum(axis=0) / weight.sum(axis=0)
    return np.asarray(shape + np.array([shift[0], shift[1], z]))


def place_joints(uv: DoubleArray, relative: DoubleArray, z: float, camera: Intrinsics) -> DoubleArray:
    """Joints (N, 3) metres seen at (N, 2) whose depth behind the root, at depth `z`, is (N,)."""
    return rays(uv, camera) * (z + relative)[:, None]


def joint_std(
    joints: DoubleArray, uv_std: DoubleArray, depth_std: DoubleArray, root: Root, focal: float
) -> DoubleArray:
    """One isotropic deviation (N,) in metres: root mean square over the axes, the root's own included.

    An error of the root moves a joint along its ray.
    """
    z = np.maximum(joints[:, 2], NEAREST)
    lateral = 2 * (uv_std * z / focal) ** 2
    stretch = (joints**2).sum(axis=1) / z**2
    return np.asarray(np.sqrt((lateral + (depth_std**2 + root.std**2) * stretch) / 3))


def agree(
    right: Root, left: Root, wrist_rays: DoubleArray, offset: DoubleArray, offset_std: DoubleArray, limit: float = 4.0
) -> tuple[Root, Root]:
    """Both roots together with the translation between the wrists: weighted least squares of two unknowns.

    Z_r = right, Z_l = left, and Z_l r_l - Z_r r_r = offset in three axes, each with its deviation.

    Args:
        right, left: each hand's own root.
        wrist_rays: (2, 3) of the right and the left wrist.
        offset: (3,) metres, right to left wrist. offset_std: (3,); infinite where it says nothing.
        limit: an axis that is this many deviations off what the roots say is not believed.
    """
    from_right, to_left = -wrist_rays[0], wrist_rays[1]
    own = right.z * from_right + left.z * to_left
    own_std = np.sqrt((right.std * from_right) ** 2 + (left.std * to_left) ** 2)
    believed = np.isfinite(offset_std) & (np.abs(offset - own) <= limit * np.hypot(own_std, offset_std))
    rows = np.concatenate([np.eye(2), np.stack([from_right, to_left], axis=1)[believed]])
    values = np.concatenate([[right.z, left.z], offset[believed]])
    share = 1.0 / np.concatenate([[right.std, left.std], offset_std[believed]]) ** 2
    covariance = np.linalg.inv(rows.T @ (share[:, None] * rows))
    z = covariance @ (rows.T @ (share * values))
    std = np.sqrt(np.diag(covariance))
    return Root(float(z[0]), float(std[0]), right.support), Root(float(z[1]), float(std[1]), left.support)


def blend(told: Root, expected: Root, limit: float = 3.0) -> Root:
    """What one frame tells of a root and what the frames before let expect, weighted by their certainty.

    They are not independent (what was expected was told before), so that the deviation is their weighted mean. A frame
    that says something else altogether is one of a bad pose more often than one of a jump: its deviation is taken for
    as large as it seems, so that a hand that did jump is followed within a few frames.

    Args:
        limit: what is told is at most so many deviations from what was expected.
    """
    std = max(told.std, abs(told.z - expected.z) / limit)
    share = std**2 / (std**2 + expected.std**2)
    return Root(told.z + share * (expected.z - told.z), std + share * (expected.std - std), told.support)


def strut_lengths(joints: DoubleArray) -> DoubleArray:
    """Lengths (12,) of the `STRUTS` of joints (21, 3)."""
    return np.asarray(np.linalg.norm(joints[_ENDS] - joints[_STARTS], axis=1))
