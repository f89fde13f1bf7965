"""The published network's estimator: millimetres, mirrored hands and joint order, with a stand-in for the network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_datasets as toy

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.datasets.authors_crop import mirror_points_authors
from hand_pose_ros.evaluation.networks import AuthorsEstimator
from hand_pose_ros.pipeline.estimator import DroppedHand
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import CANONICAL_TO_KPT_FUSION, Side
from hand_pose_ros.types import Frame


@pytest.mark.parametrize("side", list(Side))
def test_joints_come_back_in_metres_in_the_real_camera(side: Side) -> None:
    joints = toy.toy_hand(3)
    seen = mirror_points_authors(joints, toy.CAMERA) if side is Side.LEFT else joints
    asked: list[dict[str, Any]] = []

    def network(**arrays: Any) -> Any:
        asked.append(arrays)
        return seen * 1000

    frame = Frame(0, "c", toy.CAMERA, toy.toy_color(), toy.toy_depth(joints).astype(np.float32))
    estimator = AuthorsEstimator(network, PipelineConfig(), "dexycb")
    hand = estimator.estimate(frame, joints.mean(axis=0), side, StageTimer())
    np.testing.assert_allclose(hand.joints, joints, atol=1e-6)
    assert hand.side is side and hand.score == 1.0
    np.testing.assert_allclose(asked[0]["center"], seen.mean(axis=0) * 1000, atol=1e-3)
    assert asked[0]["cube"].tolist() == [250, 250, 250]
    with pytest.raises(DroppedHand, match="behind_camera"):
        estimator.estimate(frame, -joints.mean(axis=0), side, StageTimer())


def test_a_broken_network_is_dropped() -> None:
    joints = toy.toy_hand(3)
    frame = Frame(0, "c", toy.CAMERA, toy.toy_color(), toy.toy_depth(joints).astype(np.float32))
    estimator = AuthorsEstimator(lambda **_: joints * np.nan, PipelineConfig(), "ho3d")
    with pytest.raises(DroppedHand, match="non_finite"):
        estimator.estimate(frame, joints.mean(axis=0), Side.RIGHT, StageTimer())


def test_the_torch_engine_decodes_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from hand_pose_ros.engines import torch_authors

    joints = toy.toy_hand(5)
    center, cube = joints.mean(axis=0) * 1000, np.full(3, 250, np.float32)
    normalised = (joints[CANONICAL_TO_KPT_FUSION] * 1000 - center) / (cube / 2)

    class Published(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, *given: Any) -> Any:
            assert [tuple(tensor.shape) for tensor in given][:3] == [(1, 3, 128, 128), (1, 1, 128, 128), (1, 1024, 3)]
            return SimpleNamespace(joints=torch.from_numpy(normalised[None].astype(np.float32)))

    monkeypatch.setattr(torch_authors, "load_checkpoint", lambda path: Published())
    network = torch_authors.AuthorsNetwork("any.pth")  # type: ignore[arg-type]
    frame = Frame(0, "c", toy.CAMERA, toy.toy_color(), toy.toy_depth(joints).astype(np.float32))
    hand = AuthorsEstimator(network, PipelineConfig(), "dexycb").estimate(
        frame, joints.mean(axis=0), Side.RIGHT, StageTimer()
    )
    np.testing.assert_allclose(hand.joints, joints, atol=1e-6)
