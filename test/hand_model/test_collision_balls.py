from __future__ import annotations

import numpy as np

from hand_pose_ros.hand_model.collision import balls
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import TIPS, Side


def test_balls_lie_in_the_hand() -> None:
    model = HandModel.bundled(Side.RIGHT)
    zeros = np.zeros(3, np.float32)
    hand = model.forward(zeros, np.zeros(45, np.float32), np.zeros(10, np.float32), zeros)
    vertices, joints = hand.vertices, hand.joints
    centres, radii = balls(joints)
    assert centres.shape == (len(radii), 3)
    # Every ball nearly fills the hand (least at the wrist) and hardly reaches out of it.
    distance = np.linalg.norm(centres[:, None] - vertices[None], axis=-1).min(axis=1)
    assert (distance < radii + 0.010).all()
    assert (distance > radii - 0.002).all()
    # The last balls of the fingers end at the tips.
    reach = np.linalg.norm(centres[:, None] - joints[None, list(TIPS)], axis=-1) - radii[:, None]
    assert np.abs(reach.min(axis=0)).max() < 1e-3
