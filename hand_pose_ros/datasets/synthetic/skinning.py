"""Many hands posed at once; each comes out the same to the last bit in whatever company it is posed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hand_pose_ros.engines.blas import single_threaded_blas
from hand_pose_ros.hand_model.model import NUM_MODEL_JOINTS, NUM_POSE_FEATURES, HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import MANO_TO_CANONICAL, Side
from hand_pose_ros.types import DoubleArray, FloatArray, ManoParameters

# Matrix products of other heights round otherwise, so hands are posed in blocks of this many.
_BLOCK: Final = 8


@dataclass(frozen=True)
class HandWish:
    """A hand to be posed: `pose` (45,), `betas` (10,), its rotation `orient` (3,) as axis-angle, the rotation `forearm`
    (3, 3) into which its stub is bent, and `place` (3,) metres for the mean of its joints."""

    side: Side
    orient: FloatArray
    pose: FloatArray
    betas: FloatArray
    forearm: DoubleArray
    place: DoubleArray


@dataclass(frozen=True)
class PosedHand:
    """A posed hand in camera metres: joints (21, 3), vertices (V, 3), and what is drawn (`surface`: the stub bent)."""

    mano: ManoParameters
    joints: FloatArray
    vertices: FloatArray
    surface: FloatArray


@dataclass(frozen=True)
class _Basis:
    """A hand model laid out for posing many: blend shapes (145, 3V), the stub's vertices and how far each is bent
    (N, 1)."""

    model: HandModel
    blend: FloatArray
    stub: NDArray[np.intp]
    bend: FloatArray


@lru_cache(maxsize=2)
def _basis(side: Side) -> _Basis:
    model = HandModel.bundled(side)
    count = model.num_vertices
    blend = np.concatenate([model.posedirs.reshape(3 * count, -1), model.shapedirs.reshape(3 * count, -1)], axis=1)
    weight = stub_weights(model)
    stub = np.flatnonzero(weight)
    return _Basis(model, np.ascontiguousarray(blend.T), stub, weight[stub, None])


def stub_weights(model: HandModel) -> FloatArray:
    """(V,) how far each vertex of the model's stub of forearm follows the forearm instead of the hand: 0 to 1.

    The model ends 26 mm behind the wrist joint along the hand's own axis, however the wrist is bent.
    """
    place = model.v_template[:, 0] if model.side is Side.RIGHT else -model.v_template[:, 0]
    weight = np.clip((place + 0.012) / 0.03, 0.0, 1.0)
    return np.asarray(weight * weight * (3.0 - 2.0 * weight), dtype=np.float32)


def pose_hands(wishes: Sequence[HandWish]) -> list[PosedHand]:
    """The wished hands, in order."""
    posed: dict[int, PosedHand] = {}
    for side in Side:
        chosen = [index for index, wish in enumerate(wishes) if wish.side is side]
        for start in range(0, len(chosen), _BLOCK):
            block = chosen[start : start + _BLOCK]
            # So do products that are split over threads, on some processors.
            with single_threaded_blas():
                hands = _pose_block([wishes[index] for index in block], _basis(side))
            posed.update(zip(block, hands, strict=True))
    return [posed[index] for index in range(len(wishes))]


def _pose_block(wishes: Sequence[HandWish], basis: _Basis) -> list[PosedHand]:
    model, count = basis.model, len(wishes)
    angles = np.zeros((_BLOCK, NUM_MODEL_JOINTS, 3), dtype=np.float32)
    features = np.zeros((_BLOCK, len(basis.blend)), dtype=np.float32)
    for row, wish in enumerate(wishes):
        angles[row, 0] = wish.orient
        angles[row, 1:] = wish.pose.reshape(-1, 3)
        features[row, NUM_POSE_FEATURES:] = wish.betas
    rotations = axis_angle_to_matrix(angles)
    features[:, :NUM_POSE_FEATURES] = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(_BLOCK, -1)
    local = (features @ basis.blend).reshape(_BLOCK, -1, 3) + model.v_template
    betas = features[:, NUM_POSE_FEATURES:]
    rest = model.joint_template + (model.joint_shapedirs.reshape(-1, betas.shape[1]) @ betas[..., None]).reshape(
        _BLOCK, NUM_MODEL_JOINTS, 3
    )
    world = model.joint_transforms(rest, rotations)
    joints = (world[..., :3] @ rest[..., None])[..., 0] + world[..., 3]
    # Rows of the blended transforms apart: sums over whole arrays are faster than products of small matrices.
    blended = (model.weights @ world.reshape(_BLOCK, NUM_MODEL_JOINTS, 12)).reshape(_BLOCK, -1, 3, 4)
    return [
        _finish(wish, basis, joints[row], blended[row], local[row])
        for row, wish in zip(range(count), wishes, strict=True)
    ]


def _finish(wish: HandWish, basis: _Basis, joints: FloatArray, blended: FloatArray, local: FloatArray) -> PosedHand:
    vertices = np.einsum("vij,vj->vi", blended[..., :3], local)
    vertices += blended[..., 3]
    native = np.concatenate([joints, vertices[basis.model.tips]])[MANO_TO_CANONICAL]
    transl = (wish.place - native.mean(axis=0)).astype(np.float32)
    vertices += transl
    wrist = joints[0] + transl
    # Vectors as rows: the turn from the hand's rotation into the forearm's, transposed.
    turn = (axis_angle_to_matrix(wish.orient.astype(np.float64)) @ wish.forearm.T).astype(np.float32)
    surface = vertices.copy()
    stub = vertices[basis.stub]
    surface[basis.stub] += basis.bend * ((stub - wrist) @ turn + wrist - stub)
    mano = ManoParameters(wish.orient, wish.pose, wish.betas, transl)
    return PosedHand(mano, native + transl, vertices, surface)
