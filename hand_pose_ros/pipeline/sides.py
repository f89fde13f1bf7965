"""Left or right: the same place is looked at as it is and mirrored, and the more certain look wins.

The pose network knows right hands only. Shown a left hand as if it were a right one, its pixels' votes scatter: on
held-out synthetic hands the smaller standard deviation tells the side in 79 % of single looks
(`python -m benchmarks.sides`). A hand is looked at
twice when it is found, in a few frames after that, and then now and again; the evidence adds up.
"""

from __future__ import annotations

import math
from typing import Final

from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.types import HandDetection

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


def side_evidence(hand: NetworkHand, other: NetworkHand) -> float:
    """Log-odds that `hand` and not `other`, the look for the other side, has the side right."""
    certainty = CERTAINTY_WEIGHT * math.log(float(other.joint_std.mean()) / float(hand.joint_std.mean()))
    told = 0.5 * (_logit(hand.side_score) - _logit(other.side_score))
    return bounded(certainty + told)


def finder_evidence(detection: HandDetection) -> float:
    """Log-odds for the side a detection names; the finder sees hands small, so that a clear look outweighs it."""
    return min(MAX_FINDER_EVIDENCE, _logit(detection.side_score))


def bounded(evidence: float) -> float:
    """Evidence within what a hand may gather."""
    return max(-MAX_EVIDENCE, min(MAX_EVIDENCE, evidence))


def look_due(age: int) -> bool:
    """Whether a hand found `age` frames ago is to be looked at from both sides."""
    return age in EARLY_LOOKS or age % LATE_PERIOD == 0


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-3), 1 - 1e-3)
    return math.log(inside / (1 - inside))
