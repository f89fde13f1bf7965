from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import toy_models

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.estimator import KeypointFusionEstimator
from hand_pose_ros.pipeline.finder import HandFinder
from hand_pose_ros.pipeline.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toy_models.hand_model(folder / "hand.onnx")
    toy_models.hand_model(folder / "broken.onnx", spoil=float("nan"))
    toy_models.hand_model(folder / "doubtful.onnx", std=0.2)
    toy_models.finder_model(folder / "finder.onnx")
    toy_models.finder_model(folder / "broken_finder.onnx", spoil=float("nan"))
    return folder


@pytest.fixture(scope="session")
def engines(toy_folder: Path) -> Mapping[str, OnnxRuntimeEngine]:
    return {path.stem: OnnxRuntimeEngine(path, threads=1) for path in toy_folder.glob("*.onnx")}


@pytest.fixture
def make_pipeline(engines: Mapping[str, OnnxRuntimeEngine]) -> MakePipeline:
    """A pipeline on the toy models; keywords name the pose model and dotted options ("tracking__min_score")."""

    def make(model: str = "hand", **changes: Any) -> Pipeline:
        values = {
            "mesh": False,
            "depth_fit": False,
            **{name.replace("__", "."): value for name, value in changes.items()},
        }
        config = replace(PipelineConfig(), values)
        finder = HandFinder(engines["finder"], config)
        return Pipeline(config, finder, KeypointFusionEstimator(engines[model], config))

    return make
