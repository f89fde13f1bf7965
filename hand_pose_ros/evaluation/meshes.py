"""Meshes for joints: the hand model fitted to each hand on its own."""

from __future__ import annotations

import numpy as np

from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.types import FloatArray, InvalidData


def fit_meshes(model: HandModel, joints: FloatArray) -> FloatArray:
    """Vertices (N, V, 3) float32 metres for joints (N, 21, 3); NaN where no hand has such joints."""
    fitter = HandFitter(model)
    vertices = np.full((len(joints), model.num_vertices, 3), np.nan, dtype=np.float32)
    for number, hand in enumerate(joints):
        if not np.isfinite(hand).all():
            continue
        fitter.reset()
        try:
            vertices[number] = fitter.fit(hand)[1]
        except (InvalidData, np.linalg.LinAlgError):
            continue
    return vertices
