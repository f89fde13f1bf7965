"""The hand check: what is mirrored is of the other side, and the exported graph lets it speak."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig
from hand_pose_ros.networks.keypoint_fusion.check import HandCheck
from hand_pose_ros.networks.keypoint_fusion.export import example_inputs, export_onnx
from hand_pose_ros.training.check_crops import CheckAugmentation, check_batch

STILL = CheckAugmentation(turn=0.0, center_std=0.0, scale=(1.0, 1.0), mirror=0.0, no_color=0.0, color_gain=0.0)


def raw() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    ramp = np.broadcast_to(np.linspace(5500, 6500, 160).astype(np.uint16), (3, 160, 160))
    return {
        "color": rng.integers(60, 200, (3, 160, 160, 3), dtype=np.uint8),
        "depth": np.ascontiguousarray(ramp),
        "center": np.tile(np.array([0.0, 0.0, 0.6], np.float32), (3, 1)),
        "negative": np.array([False, True, True]),
        "wrong_side": np.array([False, False, True]),
    }


def test_the_crop_is_the_middle_of_the_picture() -> None:
    batch = check_batch(raw(), np.random.default_rng(0), STILL)
    expected = (np.linspace(0.55, 0.65, 160)[16:144] - 0.6) / 0.125
    np.testing.assert_allclose(batch.depth[0, 0, 64], expected, atol=0.01)
    assert batch.is_hand.tolist() == [True, False, True]
    assert batch.expected_side.tolist() == [True, True, False]


def test_a_mirror_changes_the_side_and_a_turn_does_not() -> None:
    plain = check_batch(raw(), np.random.default_rng(0), STILL)
    mirrored = check_batch(raw(), np.random.default_rng(0), dataclasses.replace(STILL, mirror=1.0))
    assert torch.allclose(mirrored.rgb.flip(3), plain.rgb, atol=1e-5)
    assert mirrored.expected_side.tolist() == [False, False, True]
    turned = check_batch(raw(), np.random.default_rng(0), dataclasses.replace(STILL, turn=3.0))
    assert not torch.allclose(turned.depth, plain.depth, atol=0.05)
    assert torch.equal(turned.expected_side, plain.expected_side)


def test_the_exported_graph_takes_score_and_side_from_the_check(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, check = KeypointFusion(KeypointFusionConfig()), HandCheck()
    with torch.no_grad():
        check.logits.weight.zero_()
        check.logits.bias.copy_(torch.tensor([2.0, -1.0]))
    engine = create_engine(export_onnx(network, tmp_path / "hand.onnx", {}, check=check), "onnxruntime", 1)
    got = engine.run({name: value.numpy() for name, value in example_inputs().items()})
    np.testing.assert_allclose([got["score"][0], got["side"][0]], torch.sigmoid(torch.tensor([2.0, -1.0])), atol=1e-6)
