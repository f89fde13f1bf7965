"""Whether a newly found place is a hand of that side: one probability from all that was seen of it.

The finder, the pose network's score, its standard deviations and the judge of sides each take some other thing for a
hand (a face, an elbow, a cup). Together they rarely do: `HandTrust` is a logistic function of the four, fitted on
rendered frames that none of them was trained on (`hand_pose train hand_trust`). It belongs to one pose network and one
finder, and lies beside the former's file as `<network>.trust.json`. With another finder that one's part is left out; a
pose network without the file is believed by its score alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.zoo import require_made_for, sha256, verify
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.types import InvalidData

SUFFIX: Final = ".trust.json"
FEATURES: Final = ("finder", "score", "deviation", "side")
# Changes whenever `trust_features` does: files of other features are refused.
FEATURES_VERSION: Final = 1

# Probability that a place is a hand of that side: (the finder's score, None where it did not name the place; the hand;
# log-odds of its side) -> 0 to 1.
Trust = Callable[[float | None, NetworkHand, float], float]


def believe(found: float | None, hand: NetworkHand, evidence: float) -> float:
    """The `Trust` of a network without a file: whatever passes the other thresholds is a hand."""
    return 1.0


def trust_features(found: float | None, hand: NetworkHand, evidence: float) -> tuple[float, float, float, float]:
    """What is weighed, in the order of `FEATURES`: log-odds of the finder's score and of the network's, logarithm of
    the joints' mean standard deviation in centimetres, and how clear the side is (log-odds, either way). NaN for the
    first where the finder did not name the place."""
    told = math.nan if found is None else log_odds(found)
    return (told, log_odds(hand.score), math.log(100.0 * float(hand.joint_std.mean())), abs(evidence))


@dataclass(frozen=True)
class HandTrust:
    """A logistic function of `trust_features`.

    Attributes:
        weights: one per feature.
        bias: log-odds where all features are 0.
        usual: mean of the features over true hands; stands in for one that is not known.

    Raises:
        InvalidData: not one finite number per feature.
    """

    weights: tuple[float, ...]
    bias: float
    usual: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.weights, *self.usual, self.bias)
        if (
            len(self.weights) != len(FEATURES)
            or len(self.usual) != len(FEATURES)
            or not all(map(math.isfinite, numbers))
        ):
            raise InvalidData(f"trust: expected {len(FEATURES)} finite weights and means, got {self}")

    def __call__(self, found: float | None, hand: NetworkHand, evidence: float) -> float:
        """Probability that this is a hand, and of this side."""
        features = trust_features(found, hand, evidence)
        known = [usual if math.isnan(value) else value for value, usual in zip(features, self.usual, strict=True)]
        odds = self.bias + sum(weight * value for weight, value in zip(self.weights, known, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))

    def without_finder(self) -> HandTrust:
        """The same where the finder's score means something else: it is taken to be what it is for a true hand."""
        at = FEATURES.index("finder")
        weights = tuple(0.0 if index == at else weight for index, weight in enumerate(self.weights))
        return HandTrust(weights, self.bias + self.weights[at] * self.usual[at], self.usual)

    def save(self, path: Path, model: Path, finder: Path) -> None:
        """Write it, with the sha256 of the networks it was fitted on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"features_version": FEATURES_VERSION, "model_sha256": sha256(model), "finder_sha256": sha256(finder)}
        path.write_text(json.dumps({**about, **asdict(self)}, indent=1) + "\n", encoding="utf-8")


def trust_path(model: Path) -> Path:
    """Where the trust in a pose network's hands lies."""
    return model.with_name(model.stem + SUFFIX)


def open_trust(model: Path, finder: Path | None) -> Trust:
    """The trust beside a pose network's file; `believe` where there is none.

    Args:
        model: the pose network.
        finder: the hand finder's network, None where hands are found in another way.

    Raises:
        EngineError: a file that cannot be read, does not match its card, or belongs to another network or version.
    """
    path = trust_path(model)
    if not path.is_file():
        return believe
    verify(path)
    remedy = f"fit it anew with `hand_pose train hand_trust`, or remove {path.name} to go by the score alone"
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, fitted_on, found_by = (stored[key] for key in ("features_version", "model_sha256", "finder_sha256"))
        trust = HandTrust(
            tuple(map(float, stored["weights"])), float(stored["bias"]), tuple(map(float, stored["usual"]))
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: expected the weights of a trust in hands, got {error!r}; {remedy}") from error
    require_made_for(model, path, (FEATURES_VERSION, version), fitted_on, remedy)
    return trust if finder is not None and found_by == sha256(finder) else trust.without_finder()


def log_odds(probability: float) -> float:
    """Of a probability, which is kept a thousandth away from 0 and 1."""
    inside = min(max(probability, 1e-3), 1 - 1e-3)
    return math.log(inside / (1 - inside))
