"""Fitting of `hand_pose_ros.pipeline.trust.HandTrust`: which of the places taken for hands are hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from hand_pose_ros import __version__
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.evaluation.detection import Hand, match_hands
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.finders import finder_file, open_finder
from hand_pose_ros.pipeline.models import following_of, open_pose_model
from hand_pose_ros.pipeline.sides import open_judge
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Tracker
from hand_pose_ros.pipeline.trust import FEATURES, HandTrust, trust_features, trust_path
from hand_pose_ros.training.deploy import write_card
from hand_pose_ros.training.errors import TrainingError
from hand_pose_ros.types import BoolArray, DoubleArray, Frame

_RIDGE: Final = 0.1  # pull on the weights of features brought to unit variance
_ROUNDS: Final = 50  # of Newton's method, which needs about ten
_FEWEST: Final = 10  # places of each kind


class SeenHand(Protocol):
    """A true hand of a frame and how much of it is seen."""

    @property
    def truth(self) -> Hand: ...

    @property
    def visible_fraction(self) -> float: ...


class Places(NamedTuple):
    """Of N places taken for hands, `trust_features` (N, 4), and whether each is a hand of the side it was taken for."""

    features: DoubleArray
    right: BoolArray


@dataclass
class _Notes:
    """A `Trust` that believes everything and remembers what it was shown, by hand."""

    seen: dict[int, tuple[float, ...]]

    def __call__(self, found: float | None, hand: NetworkHand, evidence: float) -> float:
        self.seen[id(hand)] = trust_features(found, hand, evidence)
        return 1.0


def collect_places(
    config: PipelineConfig, frames: Iterable[tuple[Frame, Sequence[SeenHand]]], min_visible: float = 0.25
) -> Places:
    """What the pipeline takes for hands in single frames, with what the truth says of it.

    Hands of which less than `min_visible` is seen count neither way.

    Raises:
        EngineError: a network cannot be loaded.
        TrainingError: hardly a hand, or hardly anything but hands, was taken for one.
    """
    found = [pair for frame, hands in _frames(config, frames) for pair in _judged(frame, hands, min_visible)]
    right = np.array([good for _, good in found], dtype=bool)
    if min(right.sum(), (~right).sum()) < _FEWEST:
        raise TrainingError(
            f"expected at least {_FEWEST} hands and {_FEWEST} other things among the places taken for hands, got "
            f"{right.sum()} and {(~right).sum()}; use more frames"
        )
    return Places(np.array([features for features, _ in found]), right)


def fit_trust(places: Places) -> HandTrust:
    """The logistic function under which these places are most likely (Newton's method, small ridge)."""
    mean, scale = places.features.mean(axis=0), np.maximum(places.features.std(axis=0), 1e-6)
    inputs = np.c_[(places.features - mean) / scale, np.ones(len(places.right))]
    weights = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-inputs @ weights))
        curvature = inputs.T @ (inputs * (chance * (1.0 - chance))[:, None]) + _RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, inputs.T @ (places.right - chance) - _RIDGE * weights)
    own = weights[:-1] / scale
    usual = places.features[places.right].mean(axis=0)
    return HandTrust(tuple(own.tolist()), float(weights[-1] - own @ mean), tuple(usual.tolist()))


def figures(places: Places, levels: Sequence[float] = (0.1, 0.3, 0.5)) -> dict[str, str]:
    """What a trust does to hands it was not fitted on: each half is judged by the other half's fit."""
    odd = np.arange(len(places.right)) % 2 == 1
    trust = np.empty(len(places.right))
    for half in (odd, ~odd):
        fitted = fit_trust(Places(places.features[~half], places.right[~half]))
        trust[half] = fitted.bias + places.features[half] @ np.array(fitted.weights)
    right = int(places.right.sum())
    alone = [area_under_roc(values, places.right) for values in places.features.T]
    about = {
        "places": f"{right} hands, {len(trust) - right} others",
        "area_under_roc": f"{area_under_roc(trust, places.right):.3f}",
        # Smaller deviations speak for a hand: what counts is how far from a coin it is.
        "area_under_roc_alone": ", ".join(
            f"{name} {max(area, 1 - area):.3f}" for name, area in zip(FEATURES, alone, strict=True)
        ),
    }
    for level in levels:
        kept = trust >= np.log(level / (1.0 - level))
        share = kept[places.right].mean(), 1.0 - kept[~places.right].mean()
        about[f"at_{level:g}"] = (
            f"{100 * share[0]:.1f} % of the hands kept, {100 * share[1]:.1f} % of the others refused"
        )
    return about


def area_under_roc(values: DoubleArray, right: BoolArray) -> float:
    """How often a value (N,) of a right place is larger than one of another place (Mann and Whitney 1947); equal values
    count half."""
    _, rank, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    good = int(right.sum())
    above = middle[rank.reshape(-1)][right].sum() - good * (good + 1) / 2
    return float(above / (good * (len(right) - good)))


def run_trust(
    network: str, out: Path, frames: Iterable[tuple[Frame, Sequence[SeenHand]]], threads: int, command: str
) -> tuple[Path, dict[str, str]]:
    """Fit the trust in the hands of a pose network and of the default finder; writes it with its card.

    Returns:
        The file, and what the card says.

    Raises:
        TrainingError, EngineError: see `collect_places`.
    """
    config = PipelineConfig(model=network, threads=threads)
    model, finder = find_model(network), finder_file(config)
    assert finder is not None  # the default finder is a network
    places = collect_places(config, frames)
    trust = fit_trust(places)
    about = {
        "what": f"probability that a place is a hand, for {model.stem} and {finder.stem} alone",
        "command": command,
        "version": __version__,
        **figures(places),
        "weights": ", ".join(f"{name} {weight:+.2f}" for name, weight in zip(FEATURES, trust.weights, strict=True)),
    }
    path = out / trust_path(model).name
    trust.save(path, model, finder)
    write_card(path, about)
    return path, about


def _frames(
    config: PipelineConfig, frames: Iterable[tuple[Frame, Sequence[SeenHand]]]
) -> Iterator[tuple[list[tuple[NetworkHand, tuple[float, ...]]], Sequence[SeenHand]]]:
    """Per frame the hands that are taken, with their features, and the true ones."""
    notes = _Notes({})
    judge = open_judge(find_model(config.model))
    following = following_of(open_finder(config), open_pose_model(config), Tracker(config.tracking), judge, notes)
    for frame, hands in frames:
        following.reset()
        notes.seen.clear()
        tracks = following.observe(frame, StageTimer(), Counter()).tracks
        yield [(track.hand, notes.seen[id(track.hand)]) for track in tracks], hands


def _judged(
    taken: Sequence[tuple[NetworkHand, tuple[float, ...]]], hands: Sequence[SeenHand], min_visible: float
) -> Iterator[tuple[tuple[float, ...], bool]]:
    true_of = dict(match_hands([hand for hand, _ in taken], [hand.truth for hand in hands]).pairs)
    for index, (hand, features) in enumerate(taken):
        true = hands[true_of[index]] if index in true_of else None
        if true is None or true.visible_fraction >= min_visible:
            yield features, true is not None and true.truth.side is hand.side
