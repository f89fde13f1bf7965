"""The bundled recording of two hands and what they hold is what the documents say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader

SAMPLE = Path(__file__).resolve().parents[2] / "sample" / "two_hands_sample.mcap"


def test_both_hands_and_the_box_are_in_every_frames_truth() -> None:
    assert SAMPLE.stat().st_size <= 3_000_000
    with BagReader(SAMPLE) as bag:
        truths, frame = list(bag.truths.values()), next(iter(bag))
        assert bag.expected_frames == len(truths) == 60
    assert frame.color is not None and frame.depth is not None and frame.color.shape == (480, 640, 3)
    assert truths[0].stamp_ns == frame.stamp_ns
    palms = []
    for scene in truths:
        assert {hand.side for hand in scene.hands} == set(Side)
        (box,) = scene.objects
        assert box.name == "box"
        np.testing.assert_allclose(box.extent, [0.1728, 0.0423, 0.0636], atol=1e-4)
        wrists = np.stack([hand.joints[0] for hand in sorted(scene.hands, key=lambda hand: hand.side.value)])
        palms.append((wrists - box.translation) @ box.rotation)
    # Both wrists go with the box, while it turns.
    assert np.ptp(np.stack(palms), axis=0).max() < 1e-4
    turned = truths[0].objects[0].rotation.T @ truths[-1].objects[0].rotation
    assert np.degrees(np.arccos((np.trace(turned) - 1) / 2)) > 10
