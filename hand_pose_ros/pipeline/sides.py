"""Left or right: the same place is looked at as it is and mirrored, and a judge weighs the two looks.

The pose network knows right hands only. Shown a left hand as if it were a right one, its pixels' votes scatter and its
joints bend as no hand's do. `SideJudge` is a small network that has learnt what two looks of *one* pose network say
(`hand_pose train hand_sides`); its weights lie beside that network's file, as `<network>.sides.npz`. A pose network
without them is judged by the deviations alone, which tell the side less often (`python -m benchmarks.sides` has both).

Evidence is log-odds. Swapping the looks, as a mirror does, changes its sign and nothing else. A hand is looked at twice
when it is found, in a few frames after that, and then now and again; the evidence adds up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol
from zipfile import BadZipFile

import numpy as np

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.zoo import require_made_for, sha256, verify
from hand_pose_ros.geometry.crop import mirror_points
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.side_features import PAIR_FEATURES, pair_features
from hand_pose_ros.pipeline.trust import log_odds
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, HandDetection, InvalidData, check_array

# Log-odds per unit of the logarithm of the standard deviations' ratio.
CERTAINTY_WEIGHT: Final = 10.0
# Looks at one hand are alike: neither one of them nor many decide for ever.
MAX_EVIDENCE: Final = 6.0
MAX_FINDER_EVIDENCE: Final = 1.0
# Evidence (log-odds) against the side from which it is changed.
DOUBT: Final = -1.0
# Evidence that stands for knowing beforehand: that only one side was asked for, or that a person's other hand is known.
PRIOR: Final = 2.0
# Frames after the detection in which a followed hand is looked at from both sides, and the period after those.
EARLY_LOOKS: Final = (1, 2, 4, 7)
LATE_PERIOD: Final = 15

SUFFIX: Final = ".sides.npz"
# Changes whenever `pair_features` does: weights for other features are refused.
FEATURES_VERSION: Final = 1


class Judge(Protocol):
    """Says how far two looks speak for a side."""

    def __call__(self, hand: NetworkHand, other: NetworkHand) -> float:
        """Log-odds that `hand` and not `other`, the look for the other side, has the side right."""
        ...


def side_evidence(hand: NetworkHand, other: NetworkHand) -> float:
    """The judge without weights: the more certain look is right, and what the network itself says counts."""
    certainty = CERTAINTY_WEIGHT * math.log(float(other.joint_std.mean()) / float(hand.joint_std.mean()))
    told = 0.5 * (log_odds(hand.side_score) - log_odds(other.side_score))
    return bounded(certainty + told)


@dataclass(frozen=True)
class SideJudge:
    """K small networks g of two hidden layers, averaged; evidence(a, b) = sharpness * mean(g(a, b) - g(b, a)).

    Attributes:
        mean, scale: (PAIR_FEATURES,) of the features in training.
        weights1, bias1: (K, PAIR_FEATURES, H) and (K, H); weights2, bias2: (K, H, G) and (K, G); weights3: (K, G).
        sharpness: turns the networks' answer into log-odds, fitted on hands that they were not trained on.

    Raises:
        InvalidData: arrays that do not fit each other.
    """

    mean: FloatArray
    scale: FloatArray
    weights1: FloatArray
    bias1: FloatArray
    weights2: FloatArray
    bias2: FloatArray
    weights3: FloatArray
    sharpness: float

    def __post_init__(self) -> None:
        check_array("sides.weights3", self.weights3, (None, None), np.float32)
        check_array("sides.weights1", self.weights1, (len(self.weights3), PAIR_FEATURES, None), np.float32)
        networks, hidden, second = len(self.weights3), self.weights1.shape[2], self.weights3.shape[1]
        check_array("sides.mean", self.mean, (PAIR_FEATURES,), np.float32)
        check_array("sides.scale", self.scale, (PAIR_FEATURES,), np.float32)
        check_array("sides.bias1", self.bias1, (networks, hidden), np.float32)
        check_array("sides.weights2", self.weights2, (networks, hidden, second), np.float32)
        check_array("sides.bias2", self.bias2, (networks, second), np.float32)
        if not (self.scale > 0).all() or not 0 < self.sharpness < math.inf:
            raise InvalidData(f"sides: expected scale and sharpness above 0, got {self.scale.min()}, {self.sharpness}")

    def __call__(self, hand: NetworkHand, other: NetworkHand) -> float:
        """See `Judge`."""
        joints = np.stack([own_joints(hand), own_joints(other)])
        return bounded(float(self.log_odds(joints[None], np.stack([hand.joint_std, other.joint_std])[None])[0]))

    def log_odds(self, joints: FloatArray, std: FloatArray) -> FloatArray:
        """Log-odds (N,) that the first looks are right; arguments as of `side_features.pair_features`."""
        swapped = [np.ascontiguousarray(array[:, ::-1]) for array in (joints, std)]
        both = np.concatenate([pair_features(joints, std), pair_features(*swapped)])
        answers = self._answers(both)
        count = len(joints)
        odds: FloatArray = np.float32(self.sharpness) * (answers[:count] - answers[count:])
        return odds

    def _answers(self, features: FloatArray) -> FloatArray:
        inputs = (features - self.mean) / self.scale
        hidden = np.maximum(np.matmul(inputs, self.weights1) + self.bias1[:, None], 0.0)
        hidden = np.maximum(np.matmul(hidden, self.weights2) + self.bias2[:, None], 0.0)
        answers: FloatArray = np.einsum("knh,kh->n", hidden, self.weights3) / np.float32(len(self.weights3))
        return answers

    def save(self, path: Path, model: Path) -> None:
        """Write the weights, with the sha256 of the pose network they were learnt on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}
        np.savez(path, **arrays, features_version=np.asarray(FEATURES_VERSION), model_sha256=np.asarray(sha256(model)))


def judge_path(model: Path) -> Path:
    """Where the judge of a pose network's looks lies."""
    return model.with_name(model.stem + SUFFIX)


def open_judge(model: Path) -> Judge:
    """The judge for the looks of a pose network's file: the weights beside it, or the deviations where there are none.

    Raises:
        EngineError: weights that cannot be read, do not match their card, or belong to another network or version.
    """
    path = judge_path(model)
    if not path.is_file():
        return side_evidence
    verify(path)
    remedy = f"learn them anew with `hand_pose train hand_sides`, or remove {path.name} to go by the deviations alone"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        version, learnt_on = int(arrays.pop("features_version")), str(arrays.pop("model_sha256"))
        judge = SideJudge(sharpness=float(arrays.pop("sharpness")), **arrays)
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: expected weights that tell sides, got {error!r}; {remedy}") from error
    require_made_for(model, path, (FEATURES_VERSION, version), learnt_on, remedy)
    return judge


def own_joints(hand: NetworkHand) -> FloatArray:
    """The joints (21, 3) as the network sees them, a right hand: in the mirrored camera for a look for a left one."""
    return mirror_points(hand.joints) if hand.side is Side.LEFT else hand.joints


def finder_evidence(detection: HandDetection) -> float:
    """Log-odds for the side a detection names; the finder sees hands small, so that a clear look outweighs it."""
    return min(MAX_FINDER_EVIDENCE, log_odds(detection.side_score))


def bounded(evidence: float) -> float:
    """Evidence within what a hand may gather."""
    return max(-MAX_EVIDENCE, min(MAX_EVIDENCE, evidence))


def look_due(age: int) -> bool:
    """Whether a hand found `age` frames ago is to be looked at from both sides."""
    return age in EARLY_LOOKS or age % LATE_PERIOD == 0
