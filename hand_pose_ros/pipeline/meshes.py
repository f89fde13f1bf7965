"""Meshes of the followed hands."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.pipeline.estimator import DroppedHand
from hand_pose_ros.pipeline.tracking import Track
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, InvalidData, ManoParameters


class Meshes:
    """Fits the hand model to followed hands; each track's shape settles over its frames."""

    def __init__(self, models: Mapping[Side, HandModel]) -> None:
        self.models = dict(models)
        self._fitters = {side: HandFitter(model) for side, model in self.models.items()}

    def fit(self, track: Track, joints: FloatArray) -> tuple[ManoParameters, FloatArray]:
        """Parameters and vertices (V, 3) metres of the track's hand with these joints (21, 3).

        Raises:
            DroppedHand: no hand has such joints ("degenerate").
        """
        if track.fitter is None or track.fitter.model.side is not track.hand.side:
            # A fitter only rebinds what it remembers, so copies share the model's prepared arrays.
            track.fitter = copy.copy(self._fitters[track.hand.side])
        try:
            return track.fitter.fit(joints)
        except (InvalidData, np.linalg.LinAlgError) as error:
            raise DroppedHand("degenerate") from error
