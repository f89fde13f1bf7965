"""Hands as dex-retargeting takes them (dexsuite/dex-retargeting 0.5, `example/vector_retargeting`).

Its detector gives 21 joints in our order, in metres from the wrist, turned into MANO's wrist frame. That frame is
fitted to the wrist and the index and middle fingers' MCP joints: z from the wrist to the middle MCP, x out of the
palm's inner side, y = z × x. It is our wrist frame (`geometry.wrist`) but for the palm's plane, which ours takes from
the little finger's MCP.
"""

from __future__ import annotations

import numpy as np

from hand_pose_ros.geometry.wrist import palm_frame
from hand_pose_ros.skeleton import WRIST, Side
from hand_pose_ros.types import DoubleArray, FloatArray

_MIDDLE_MCP = 9


def dex_retargeting_joints(joints: FloatArray | DoubleArray, side: Side) -> DoubleArray:
    """What dex-retargeting calls `joint_pos`, (21, 3) metres, from joints (21, 3) in any frame.

    Raises:
        ValueError: wrist, index and middle MCP lie on a line.
    """
    points = np.asarray(joints, dtype=np.float64)
    relative: DoubleArray = (points - points[WRIST]) @ palm_frame(points, side, _MIDDLE_MCP)
    return relative
