"""Real nodes and real DDS, apart from every other ROS on the machine."""

from __future__ import annotations

import os

# Before any message class is imported: Humble checks every field always, Jazzy and later only when told to.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_models
import toy_scene_models
import toy_scenes
from ros_session import Ros

from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag_writer import BagWriter

TOY_FRAMES = 45


@pytest.fixture
def ros() -> Iterator[Ros]:
    context = Ros()
    yield context
    context.close()


@pytest.fixture
def elsewhere() -> Iterator[Ros]:
    """A second context, which lives on when the first one ends."""
    context = Ros()
    yield context
    context.close()


@pytest.fixture(scope="session")
def toy_parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Parameters that make a node run on the toy models."""
    folder = tmp_path_factory.mktemp("toy_models")
    return {
        "pipeline.model": str(toy_models.hand_model(folder / "hand.onnx")),
        "pipeline.finder.model": str(toy_models.finder_model(folder / "finder.onnx")),
        "pipeline.threads": 1,
        "publish.diagnostics_period": 60.0,
    }


@pytest.fixture(scope="session")
def toy_two_hands(tmp_path_factory: pytest.TempPathFactory, toy_parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that make a node run on a toy model of two hands."""
    path = tmp_path_factory.mktemp("toy_two_hands") / "two_hands.onnx"
    return {**toy_parameters, "pipeline.model": str(toy_scene_models.handformer2t_model(path))}


@pytest.fixture(scope="session")
def toy_keypoints(tmp_path_factory: pytest.TempPathFactory, toy_parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that make a node run on a toy Keypoint Transformer."""
    path = tmp_path_factory.mktemp("toy_keypoints") / "keypoints.onnx"
    return {**toy_parameters, "pipeline.model": str(toy_scene_models.keypoint_transformer_model(path))}


@pytest.fixture(scope="session")
def toy_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a toy hand that moves: PNG colour, raw depth."""
    path = tmp_path_factory.mktemp("toy_bag") / "toy.mcap"
    with BagWriter(path) as writer:
        for index in range(TOY_FRAMES):
            blob = toy_scenes.Blob(Side.RIGHT, (-0.1 + 0.004 * index, 0.02, 0.5 + 0.002 * index))
            writer.write_frame(toy_scenes.toy_frame(blob, stamp=1.7e9 + index / 30), color="png")
    return path
