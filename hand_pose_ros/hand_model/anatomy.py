"""The joints of a hand as an anatomist counts them: 22 angles, their axes and their limits.

A hand model turns each joint by any axis-angle; a hand flexes, deviates and twists about certain axes. This module
turns 22 angles into `hand_pose` (45,). The axes are those of the bundled right hand's rest pose.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, compose_axis_angles
from hand_pose_ros.skeleton import Side

Array = NDArray[np.float64]

# The angles, in this order. "radial" deviation is towards the thumb; positive flexion is towards the palm.
LONG_FINGERS: Final = ("index", "middle", "ring", "little")
ANGLES: Final[tuple[str, ...]] = (
    "thumb_cmc_adduction",  # across the palm, towards the index
    "thumb_cmc_abduction",  # out of the palm's plane, towards its front
    "thumb_cmc_pronation",  # the pulp turns towards the fingers
    "thumb_mcp_flexion",
    "thumb_mcp_radial",
    "thumb_ip_flexion",
    *(f"{f}_{a}" for f in LONG_FINGERS for a in ("mcp_flexion", "mcp_radial", "pip_flexion", "dip_flexion")),
)
NUM_ANGLES: Final = len(ANGLES)

# Active ranges of motion in degrees, from the flat rest pose: fingers and thumb MCP/IP after the American Academy of
# Orthopaedic Surgeons' tables (MCP 0..90, PIP 0..100, DIP 0..70, hyperextension MCP 45 passive, about 20 active) and
# Hume et al. 1990 (functional ranges); thumb CMC after Cooney et al. 1981 (flexion-extension 53, abduction 42,
# axial 17), the pronation widened because our rest thumb lies in the plane of the palm.
_LONG_LIMITS: Final = {
    "index": ((-25, 92), (-16, 20), (-4, 110), (-8, 80)),
    "middle": ((-22, 94), (-13, 13), (-4, 112), (-8, 80)),
    "ring": ((-20, 95), (-16, 13), (-4, 114), (-8, 80)),
    "little": ((-22, 98), (-24, 15), (-4, 110), (-8, 80)),
}
_THUMB_LIMITS: Final = ((-22, 42), (-18, 48), (-25, 65), (-15, 60), (-12, 12), (-30, 82))
LIMITS_DEGREES: Final[Array] = np.array(
    [*_THUMB_LIMITS, *(limit for finger in LONG_FINGERS for limit in _LONG_LIMITS[finger])], dtype=np.float64
)
LIMITS_DEGREES.setflags(write=False)

# Bent fingers point to the scaphoid: they lose their spread and lean together, degrees of radial deviation at 90
# degrees of MCP flexion.
_CONVERGENCE: Final = np.array([-9.0, -1.0, 6.5, 15.0])
# Rows of a (15, 3) pose, MANO's order: MCPs of index, middle, ring, little; then with the thumb's CMC and MCP.
_LONG_FIRST: Final = np.array([0, 3, 9, 6])
_TWO_AXES: Final = np.array([0, 3, 9, 6, 12, 13])
_LONG_SLICE: Final = slice(6, NUM_ANGLES)
# The thumb's pulp at rest, as (distal, radial, dorsal) components.
_THUMB_PULP: Final = (-0.10, -0.62, -0.72)


# The row of a finger's tip among 16 joints and 5 tips (thumb to little), by its last joint.
TIP_ROW: Final = {3: 17, 6: 18, 9: 20, 12: 19, 15: 16}


def _unit(v: Array) -> Array:
    return np.asarray(v / np.linalg.norm(v))


def joint_axes() -> Array:
    """`axes_of` the bundled right hand."""
    return axes_of(HandModel.bundled(Side.RIGHT))


@lru_cache(maxsize=8)
def axes_of(model: HandModel) -> Array:
    """(15, 3, 3): for joints 1..15 in MANO's order the unit axes of flexion, radial deviation and twist.

    For the thumb's first joint: adduction, palmar abduction, pronation. The model is a right hand in MANO's axes (rest
    fingers along -x, palm facing -y, thumb towards +z).
    """
    joints = np.concatenate([model.joint_template, model.v_template[model.tips]]).astype(np.float64)
    dorsal = np.array([0.0, 1.0, 0.0])
    axes = np.empty((15, 3, 3))
    for joint in range(1, 16):
        along = _unit(joints[TIP_ROW.get(joint, joint + 1)] - joints[joint])
        up = dorsal
        if joint >= 13:
            up = -np.array([-_THUMB_PULP[0], _THUMB_PULP[2], _THUMB_PULP[1]])
        up = _unit(up - along * (along @ up))
        axes[joint - 1] = np.cross(up, along), up, along
    along = axes[12, 2]
    up = _unit(dorsal - along * (along @ dorsal))
    axes[12] = -dorsal, np.cross(up, along), -along
    axes.setflags(write=False)
    return axes


def pose_from_angles(degrees: Array) -> NDArray[np.float32]:
    """(..., 22) angles in degrees, in the order of `ANGLES`, to hand_pose (..., 45) of a right hand."""
    angles = np.radians(np.asarray(degrees, dtype=np.float64))
    lead = angles.shape[:-1]
    axes = joint_axes()
    fingers = angles[..., _LONG_SLICE].reshape(*lead, 4, 4)
    thumb = angles[..., :6]
    bend = np.clip(np.sin(fingers[..., 0]), 0.0, 1.0)
    radial = fingers[..., 1] * (1.0 - 0.6 * bend) + np.radians(_CONVERGENCE) * bend
    # The joints of two axes, all at once: four MCPs, then the thumb's CMC and MCP.
    first = np.concatenate([fingers[..., 0], thumb[..., [0, 3]]], axis=-1)
    second = np.concatenate([radial, thumb[..., [1, 4]]], axis=-1)
    pose = np.zeros((*lead, 15, 3))
    turned = compose_axis_angles(axes[_TWO_AXES, 0] * first[..., None], axes[_TWO_AXES, 1] * second[..., None])
    pose[..., _TWO_AXES, :] = turned
    pose[..., 12, :] = compose_axis_angles(turned[..., 4, :], axes[12, 2] * thumb[..., 2, None])
    pose[..., _LONG_FIRST + 1, :] = axes[_LONG_FIRST + 1, 0] * fingers[..., 2, None]
    pose[..., _LONG_FIRST + 2, :] = axes[_LONG_FIRST + 2, 0] * fingers[..., 3, None]
    pose[..., 14, :] = axes[14, 0] * thumb[..., 5, None]
    return pose.reshape(*lead, 45).astype(np.float32)


def joints_of_poses(poses: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 45) -> (N, 21, 3): the 16 joints and 5 tips (thumb to little) in MANO's order, metres, wrist at the origin.

    Mean shape of the bundled right hand, without skinning: what the checks and solvers need, in a few microseconds.
    """
    model = HandModel.bundled(Side.RIGHT)
    count = len(poses)
    rest = np.broadcast_to(model.joint_template, (count, 16, 3))
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (count, 16, 3, 3)).copy()
    rotations[:, 1:] = axis_angle_to_matrix(poses.reshape(count, 15, 3))
    world = model.joint_transforms(rest, rotations)
    last = world[:, [15, 3, 6, 12, 9]]
    tips = (last[..., :3] @ model.v_template[model.tips][None, :, :, None])[..., 0] + last[..., 3]
    posed = (world[..., :3] @ rest[..., None])[..., 0] + world[..., 3]
    return np.concatenate([posed, tips], axis=1)
