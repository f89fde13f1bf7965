"""Hands of a network of two as the pipeline gives them where there is depth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from exact_hands import CAMERA, drawn, hand_at
from fake_scene_network import TruthfulNetwork

from hand_pose_ros.datasets.base import SampleKey
from hand_pose_ros.datasets.two_hands import SceneSample
from hand_pose_ros.evaluation.scene_benchmark import look_at
from hand_pose_ros.evaluation.scene_fit import SceneFit
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.hand_model.model import HandGeometry
from hand_pose_ros.skeleton import WRIST, Side

WHOLE = Window(320.0, 240.0, 700.0)


def scene(seed: int) -> tuple[SceneSample, tuple[HandGeometry, HandGeometry]]:
    hands = hand_at(Side.RIGHT, (-0.02, 0.0, 0.5), seed), hand_at(Side.LEFT, (0.12, 0.0, 0.55), seed + 100)
    joints = np.stack([hand.joints for hand in hands])
    there = np.ones(2, dtype=bool)
    color = np.zeros((CAMERA.height, CAMERA.width, 3), dtype=np.uint8)
    valid = np.repeat(there[:, None], 21, axis=1)
    return SceneSample("toy", SampleKey("toy", str(seed)), CAMERA, color, drawn(*hands), joints, valid, there), hands


def wrong(hand: HandGeometry, seed: int) -> np.ndarray:
    """Each finger a little beside itself, as a network sees it."""
    off = np.random.default_rng(seed).normal(0, 0.009, (6, 3))
    return (hand.joints + off[[5, *np.repeat(np.arange(5), 4)]]).astype(np.float64)


def network(hands: tuple[HandGeometry, HandGeometry], seed: int) -> TruthfulNetwork:
    return TruthfulNetwork(CAMERA, {s: wrong(h, seed + k) for k, (s, h) in enumerate(zip(Side, hands, strict=True))})


def by_side(hands: tuple[HandGeometry, HandGeometry]) -> tuple[HandGeometry, HandGeometry]:
    """In the order of `Side`."""
    return hands if next(iter(Side)) is Side.RIGHT else hands[::-1]


def test_fitted_hands_are_nearer_to_the_truth() -> None:
    before, after = [], []
    for seed in range(6):
        sample, hands = scene(seed)
        eyes = network(by_side(hands), seed)
        seen = eyes.read({}, WHOLE)
        found = SceneFit(eyes)(seen, sample)
        assert sorted(found) == [0, 1]
        for k, side in enumerate((Side.RIGHT, Side.LEFT)):
            before.append(np.linalg.norm(eyes.hands[side] - hands[k].joints, axis=1).mean())
            after.append(np.linalg.norm(found[k] - hands[k].joints, axis=1).mean())
    # Of one hand the other hides so much that its distance is not known: the mean would be that one's.
    assert np.median(after) < 0.75 * np.median(before)


def test_what_is_measured_is_the_fitted_hands_and_both_wrists() -> None:
    sample, hands = scene(3)
    eyes = network(by_side(hands), 3)
    fit = SceneFit(eyes)
    results = look_at([sample], eyes, fit=fit)
    found = fit(eyes.read({}, eyes.windows[-1]), sample)
    for k in (0, 1):
        np.testing.assert_allclose(results.joints[0, k], found[k] - found[k][WRIST], atol=1e-6)
    np.testing.assert_allclose(results.translation[0], found[1][WRIST] - found[0][WRIST], atol=1e-6)
    plain = look_at([sample], eyes)
    assert np.abs(plain.joints - results.joints).max() > 1e-3


def test_without_depth_or_a_hand_nothing_is_fitted() -> None:
    sample, hands = scene(4)
    eyes = network(by_side(hands), 4)
    fit = SceneFit(eyes)
    assert fit(eyes.read({}, WHOLE), dataclasses.replace(sample, depth=None)) == {}
    eyes.hands = {Side.RIGHT: eyes.hands[Side.RIGHT]}
    assert list(fit(eyes.read({}, WHOLE), sample)) == [0]
    empty = dataclasses.replace(sample, depth=np.zeros_like(sample.depth))
    assert fit(eyes.read({}, WHOLE), empty) == {}


@pytest.mark.parametrize("seed", [5])
def test_every_sample_is_another_person(seed: int) -> None:
    sample, hands = scene(seed)
    eyes = network(by_side(hands), seed)
    fit = SceneFit(eyes)
    first, second = (fit(eyes.read({}, WHOLE), sample) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
