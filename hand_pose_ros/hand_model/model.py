"""A parametric hand in MANO's layout (Romero et al. 2017, "Embodied Hands"), evaluated with numpy.

The same class holds the bundled licence-free hand and the user's own MANO files. Rest pose of the bundled right hand:
the wrist at the origin, fingers along -x, the palm facing -y, the thumb on the +z side (MANO's axes); the left hand
is its mirror image in x. Zero pose is the flat hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.hand_model.mano_file import MODEL_KEYS, read_model_file
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import MANO_TO_CANONICAL, Side
from hand_pose_ros.types import FloatArray, InvalidData, ManoParameters, check_array

NUM_MODEL_JOINTS: Final = 16
NUM_BETAS: Final = 10
NUM_POSE_FEATURES: Final = 9 * (NUM_MODEL_JOINTS - 1)
# Kinematic tree in MANO's order: wrist, index, middle, little, ring, thumb, three joints each from base to tip.
MANO_PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
# Fingertip vertices of MANO's mesh (thumb, index, middle, ring, little) as the field uses them (manopth's table).
MANO_TIPS: Final = {Side.RIGHT: (745, 317, 444, 556, 673), Side.LEFT: (745, 317, 445, 556, 673)}
MANO_VERTICES: Final = 778
# A mirror in x turns an axis-angle (x, y, z) into (x, -y, -z).
MIRROR_AXIS_ANGLE: Final = np.array([1.0, -1.0, -1.0], dtype=np.float32)
MIRROR_AXIS_ANGLE.setflags(write=False)

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class HandGeometry:
    """A posed hand: vertices (V, 3) and joints (21, 3) in the canonical order, float32 metres.

    `HandModel.forward_batch` returns the same with a leading batch axis.
    """

    vertices: FloatArray
    joints: FloatArray


@dataclass(frozen=True, eq=False)
class HandModel:
    """A hand template with linear shape and pose blend shapes and linear blend skinning.

    Attributes:
        side: which hand.
        v_template: (V, 3) rest vertices, metres.
        faces: (F, 3) int64, counter-clockwise from outside.
        shapedirs: (V, 3, 10) metres per unit beta (one standard deviation).
        posedirs: (V, 3, 135) metres per entry of (R - I) of joints 1..15, row-major.
        J_regressor: (16, V) joints from shaped vertices.
        weights: (V, 16) skinning weights.
        parents: (16,) int64, -1 for the wrist.
        hand_mean: (45,) a relaxed hand; not added by `forward` (flat-hand convention).
        tips: (5,) int64 fingertip vertices: thumb, index, middle, ring, little.
    """

    side: Side
    v_template: FloatArray
    faces: IntArray
    shapedirs: FloatArray
    posedirs: FloatArray
    J_regressor: FloatArray
    weights: FloatArray
    parents: IntArray
    hand_mean: FloatArray
    tips: IntArray
    _last_shape: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_array("hand model v_template", self.v_template, (None, 3), np.float32)
        count = len(self.v_template)
        check_array("hand model faces", self.faces, (None, 3), np.int64)
        check_array("hand model shapedirs", self.shapedirs, (count, 3, NUM_BETAS), np.float32)
        check_array("hand model posedirs", self.posedirs, (count, 3, NUM_POSE_FEATURES), np.float32)
        check_array("hand model J_regressor", self.J_regressor, (NUM_MODEL_JOINTS, count), np.float32)
        check_array("hand model weights", self.weights, (count, NUM_MODEL_JOINTS), np.float32)
        check_array("hand model parents", self.parents, (NUM_MODEL_JOINTS,), np.int64)
        check_array("hand model hand_mean", self.hand_mean, (45,), np.float32)
        check_array("hand model tips", self.tips, (5,), np.int64)
        for name, indices in (("faces", self.faces), ("tips", self.tips)):
            if indices.min() < 0 or indices.max() >= count:
                raise InvalidData(f"hand model {name}: expected vertex indices below {count}, got {indices.max()}")

    @classmethod
    def bundled(cls, side: Side) -> HandModel:
        """The licence-free hand shipped with the package (made by `scripts/make_hand_model.py`)."""
        return _bundled(Side(side))

    @classmethod
    def from_file(cls, path: str | Path, side: Side) -> HandModel:
        """Read MANO's `MANO_RIGHT.pkl` / `MANO_LEFT.pkl`, or an .npz of the same arrays; the file must be of this side.

        Raises `ModelFileError` (a ValueError) when the file is not a hand model or holds anything but arrays.
        """
        arrays = read_model_file(Path(path))
        if "tips" not in arrays:
            count = len(arrays["v_template"])
            if count != MANO_VERTICES:
                raise InvalidData(
                    f"{path}: has {count} vertices and no 'tips'; expected MANO's {MANO_VERTICES} vertices or an "
                    "array 'tips' (5,) of fingertip vertices, thumb to little"
                )
            arrays["tips"] = np.array(MANO_TIPS[Side(side)], dtype=np.int64)
        return cls(side=Side(side), **arrays)

    @property
    def num_vertices(self) -> int:
        """V."""
        return len(self.v_template)

    def mirrored(self) -> HandModel:
        """The hand of the other side: the mirror image in x.

        The pose (x, y, z) -> (x, -y, -z) of each joint gives exactly the mirrored mesh.
        """
        flip = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
        # (R - I) of the mirrored rotation is M (R - I) M, M = diag(-1, 1, 1).
        features = np.tile(np.outer(flip, flip).reshape(9), NUM_MODEL_JOINTS - 1)
        return HandModel(
            side=self.side.other,
            v_template=self.v_template * flip,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            shapedirs=self.shapedirs * flip[:, None],
            posedirs=self.posedirs * flip[:, None] * features,
            J_regressor=self.J_regressor,
            weights=self.weights,
            parents=self.parents,
            hand_mean=(self.hand_mean.reshape(15, 3) * MIRROR_AXIS_ANGLE).reshape(45),
            tips=self.tips,
        )

    @cached_property
    def _pose_basis(self) -> FloatArray:
        """posedirs as (135, 3V)."""
        return np.ascontiguousarray(self.posedirs.reshape(-1, NUM_POSE_FEATURES).T)

    @cached_property
    def _shape_basis(self) -> FloatArray:
        """shapedirs as (10, 3V)."""
        return np.ascontiguousarray(self.shapedirs.reshape(-1, NUM_BETAS).T)

    @cached_property
    def joint_template(self) -> FloatArray:
        """(16, 3) rest joints of the mean shape, MANO order."""
        return self.J_regressor @ self.v_template

    @cached_property
    def joint_shapedirs(self) -> FloatArray:
        """(16, 3, 10) how the rest joints move with the betas."""
        joints: FloatArray = np.einsum("jv,vck->jck", self.J_regressor, self.shapedirs)
        return joints

    def shaped(self, betas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rest vertices (V, 3) and rest joints (16, 3) of this shape. The last shape asked for is kept."""
        key = betas.tobytes()
        # One look-up, one assignment: safe when two threads share the model.
        last = self._last_shape.get("last")
        if last is not None and last[0] == key:
            return last[1], last[2]
        vertices = self.v_template + (betas @ self._shape_basis).reshape(-1, 3)
        joints = self.joint_template + self.joint_shapedirs @ betas
        self._last_shape["last"] = (key, vertices, joints)
        return vertices, joints

    def forward(
        self, global_orient: FloatArray, hand_pose: FloatArray, betas: FloatArray, transl: FloatArray
    ) -> HandGeometry:
        """Pose the hand: axis-angles (3,) and (45,) radians, betas (10,), transl (3,) metres, all float32.

        As in MANO the hand turns about its wrist joint and `transl` is added at the end. Raises `InvalidData` on
        wrong shapes, dtypes or non-finite values.
        """
        parameters = ManoParameters(global_orient, hand_pose, betas, transl)
        return self.forward_parameters(parameters)

    def forward_parameters(self, parameters: ManoParameters) -> HandGeometry:
        """`forward` of checked parameters."""
        rest, joints = self.shaped(parameters.betas)
        axis_angles = np.concatenate([parameters.global_orient, parameters.hand_pose]).reshape(1, 16, 3)
        vertices, posed = self._pose(
            rest[None], joints[None], axis_angle_to_matrix(axis_angles), parameters.transl[None]
        )
        return HandGeometry(vertices[0], posed[0])

    def forward_batch(
        self, global_orient: FloatArray, hand_pose: FloatArray, betas: FloatArray, transl: FloatArray
    ) -> HandGeometry:
        """`forward` of B hands: (B, 3), (B, 45), (B, 10), (B, 3) -> vertices (B, V, 3), joints (B, 21, 3)."""
        for name, array, size in (
            ("global_orient", global_orient, 3),
            ("hand_pose", hand_pose, 45),
            ("betas", betas, NUM_BETAS),
            ("transl", transl, 3),
        ):
            check_array(name, array, (len(global_orient), size), np.float32)
        batch = len(global_orient)
        rest = self.v_template + (betas @ self._shape_basis).reshape(batch, -1, 3)
        joints = self.joint_template + np.einsum("jck,bk->bjc", self.joint_shapedirs, betas)
        axis_angles = np.concatenate([global_orient, hand_pose], axis=1).reshape(batch, 16, 3)
        vertices, posed = self._pose(rest, joints, axis_angle_to_matrix(axis_angles), transl)
        return HandGeometry(vertices, posed)

    def joint_transforms(self, rest_joints: FloatArray, rotations: FloatArray) -> FloatArray:
        """World transforms (B, 16, 3, 4) that take rest-pose points to posed points, before `transl`.

        rest_joints (B, 16, 3); rotations (B, 16, 3, 3), each relative to its parent (wrist: to the world).
        """
        world = np.empty((*rotations.shape[:-1], 4), dtype=np.float32)
        world[:, 0, :, :3] = rotations[:, 0]
        world[:, 0, :, 3] = rest_joints[:, 0]
        # Five fingers at once, one tree level after the other.
        for level in self.levels:
            parent = world[:, self.parents[level]]
            offset = rest_joints[:, level] - rest_joints[:, self.parents[level]]
            world[:, level, :, :3] = parent[..., :3] @ rotations[:, level]
            world[:, level, :, 3:] = parent[..., :3] @ offset[..., None] + parent[..., 3:]
        world[..., 3] -= (world[..., :3] @ rest_joints[..., None])[..., 0]
        return world

    @cached_property
    def levels(self) -> tuple[IntArray, ...]:
        """The joints at one, two and three joints from the wrist."""
        depth = [0] * NUM_MODEL_JOINTS
        for joint in range(1, NUM_MODEL_JOINTS):
            depth[joint] = depth[int(self.parents[joint])] + 1
        return tuple(np.flatnonzero(np.array(depth) == level) for level in range(1, max(depth) + 1))

    def _pose(
        self, rest: FloatArray, joints: FloatArray, rotations: FloatArray, transl: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        batch, count = rest.shape[:2]
        features = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(batch, NUM_POSE_FEATURES)
        local = rest + (features @ self._pose_basis).reshape(batch, count, 3)
        world = self.joint_transforms(joints, rotations)
        blended = (self.weights @ world.reshape(batch, NUM_MODEL_JOINTS, 12)).reshape(batch, count, 3, 4)
        vertices = (blended[..., :3] @ local[..., None])[..., 0] + (blended[..., 3] + transl[:, None])
        posed = (world[..., :3] @ joints[..., None])[..., 0] + (world[..., 3] + transl[:, None])
        native = np.concatenate([posed, vertices[:, self.tips]], axis=1)
        return vertices, native[:, MANO_TO_CANONICAL]


@lru_cache(maxsize=2)
def _bundled(side: Side) -> HandModel:
    file = resources.files("hand_pose_ros.hand_model") / "data" / "hand_model.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in (*MODEL_KEYS, "tips")}
    for name, array in arrays.items():
        arrays[name] = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
    right = HandModel(side=Side.RIGHT, **arrays)
    return right if side is Side.RIGHT else right.mirrored()
