"""What the node says while an engine is built, and that `build_only` ends it afterwards; TensorRT is a double."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from needs import needs_ros
from ros_session import Ros, wait_for

needs_ros()

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fake_cuda import FakeCudart
from fake_tensorrt import FakeTensorRt

from hand_pose_ros.engines.engine_store import EngineStore
from hand_pose_ros.ros.node import HandPoseNode, StartError


@pytest.fixture
def trt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    cudart = FakeCudart()
    fake = FakeTensorRt(cudart)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cudart)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("HAND_POSE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr("hand_pose_ros.engines.tensorrt_build._LOOK_S", 0.05)
    return fake


def test_diagnostics_warn_while_an_engine_is_built(ros: Ros, toy_parameters: dict[str, Any], trt: FakeTensorRt) -> None:
    trt.faults.build_seconds = 0.5
    heard = ros.listen(DiagnosticArray, "/diagnostics")
    node = ros.node(HandPoseNode, parameters={**toy_parameters, "pipeline.engine": "tensorrt"})
    wait_for(lambda: node.count_subscribers("/diagnostics") > 0, "a listener")
    node.build()
    wait_for(lambda: bool(heard), "diagnostics")
    status = heard[0].status[0]
    assert (status.level, status.name) == (DiagnosticStatus.WARN, "hand_pose: hands")
    assert "building the TensorRT engine of" in status.message
    assert len(trt.builds) == 2  # finder and pose model
    assert "TensorRT 10.3.0" in node._facts()["model_engine"]


def test_what_cannot_be_built_ends_the_start(ros: Ros, toy_parameters: dict[str, Any], trt: FakeTensorRt) -> None:
    trt.faults.parse_error = "no importer"
    node = ros.node(HandPoseNode, parameters={**toy_parameters, "pipeline.engine": "tensorrt"})
    with pytest.raises(StartError, match="configure failed"):
        node.build()


_PROGRAM = "import fake_tensorrt; fake_tensorrt.install(); from hand_pose_ros.ros import program; program.main()"


def test_build_only_ends_the_program(toy_parameters: dict[str, Any], tmp_path: Path) -> None:
    given = {**toy_parameters, "pipeline.engine": "tensorrt", "build_only": "true"}
    words = [word for key, value in given.items() for word in ("-p", f"{key}:={value}")]
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "--ros-args", *words],
        env={**os.environ, "PYTHONPATH": path, "HAND_POSE_ENGINES": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0 and "the models load; build_only ends the node" in result.stdout + result.stderr
    assert len(EngineStore(tmp_path).engines()) == 2
