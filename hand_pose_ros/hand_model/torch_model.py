"""The hand model in torch, for training and for export: the same arithmetic as `model.HandModel`, batched.

torch is needed to import this module; it comes with the extra `hand_pose_ros[train]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hand_pose_ros.hand_model.model import NUM_MODEL_JOINTS, NUM_POSE_FEATURES, HandModel
from hand_pose_ros.skeleton import MANO_TO_CANONICAL


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, (..., 3) radians -> (..., 3, 3); differentiable everywhere, at zero too."""
    x, y, z = axis_angle.unbind(-1)
    square = (axis_angle * axis_angle).sum(-1)
    small = square < 1e-8
    # The unused branch of `where` must stay finite, or its gradient is NaN.
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    s = torch.where(small, 1.0 - square / 6.0, torch.sin(angle) / angle)
    c = torch.where(small, 0.5 - square / 24.0, (1.0 - torch.cos(angle)) / safe)
    rows = (
        torch.stack([1.0 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y], dim=-1),
        torch.stack([c * x * y + s * z, 1.0 - c * (x * x + z * z), c * y * z - s * x], dim=-1),
        torch.stack([c * x * z - s * y, c * y * z + s * x, 1.0 - c * (x * x + y * y)], dim=-1),
    )
    return torch.stack(rows, dim=-2)


class TorchHandModel(nn.Module):
    """`HandModel` as a module whose arrays are buffers.

    `forward(global_orient (B, 3), hand_pose (B, 45), betas (B, 10), transl (B, 3))` gives vertices (B, V, 3) and
    joints (B, 21, 3) in the canonical order, metres.
    """

    def __init__(self, model: HandModel) -> None:
        super().__init__()
        self.side = model.side
        self.parents = tuple(int(parent) for parent in model.parents)
        count = model.num_vertices
        buffers: dict[str, np.ndarray[Any, Any]] = {
            "v_template": model.v_template,
            "shape_basis": model.shapedirs.reshape(3 * count, -1).T,
            "pose_basis": model.posedirs.reshape(3 * count, NUM_POSE_FEATURES).T,
            "joint_template": model.joint_template,
            "joint_basis": model.joint_shapedirs.reshape(3 * NUM_MODEL_JOINTS, -1).T,
            "weights": model.weights,
            "faces": model.faces,
            "tips": model.tips,
            "order": MANO_TO_CANONICAL,
        }
        self.v_template: Tensor
        self.shape_basis: Tensor
        self.pose_basis: Tensor
        self.joint_template: Tensor
        self.joint_basis: Tensor
        self.weights: Tensor
        self.faces: Tensor
        self.tips: Tensor
        self.order: Tensor
        for name, array in buffers.items():
            # Not part of a checkpoint: a checkpoint must never carry the user's licensed model.
            self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    def forward(self, global_orient: Tensor, hand_pose: Tensor, betas: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        axis_angles = torch.cat([global_orient, hand_pose], dim=1).reshape(-1, NUM_MODEL_JOINTS, 3)
        return self.forward_matrices(axis_angle_to_matrix(axis_angles), betas, transl)

    def forward_matrices(self, rotations: Tensor, betas: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """The same from rotation matrices (B, 16, 3, 3), each relative to its parent; the wrist's comes first."""
        batch = rotations.shape[0]
        rest = self.v_template + (betas @ self.shape_basis).reshape(batch, -1, 3)
        joints = self.joint_template + (betas @ self.joint_basis).reshape(batch, NUM_MODEL_JOINTS, 3)
        eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        features = (rotations[:, 1:] - eye).reshape(batch, NUM_POSE_FEATURES)
        local = rest + (features @ self.pose_basis).reshape(batch, -1, 3)
        turn, place = self._chain(rotations, joints)
        shift = place - (turn @ joints[..., None])[..., 0]
        blended_turn = (self.weights @ turn.reshape(batch, NUM_MODEL_JOINTS, 9)).reshape(batch, -1, 3, 3)
        vertices = (blended_turn @ local[..., None])[..., 0] + self.weights @ shift + transl[:, None]
        native = torch.cat([place + transl[:, None], vertices[:, self.tips]], dim=1)
        return vertices, native[:, self.order]

    def _chain(self, rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
        """World rotations (B, 16, 3, 3) and joint positions (B, 16, 3)."""
        turns, places = [rotations[:, 0]], [joints[:, 0]]
        for joint in range(1, NUM_MODEL_JOINTS):
            parent = self.parents[joint]
            offset = joints[:, joint] - joints[:, parent]
            turns.append(turns[parent] @ rotations[:, joint])
            places.append(places[parent] + (turns[parent] @ offset[..., None])[..., 0])
        return torch.stack(turns, dim=1), torch.stack(places, dim=1)
