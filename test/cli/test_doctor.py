"""`hand_pose doctor`: what it prints, and how it ends."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import toy_models
from fake_cuda import CudaError, FakeCudart
from fake_tensorrt import FakeTensorRt

from hand_pose_ros.cli import doctor
from hand_pose_ros.cli import main as cli
from hand_pose_ros.config import NodeConfig
from hand_pose_ros.engines.tensorrt_engine import TensorRtEngine
from hand_pose_ros.options import replace
from hand_pose_ros.sources.survey import Finding, Level


@pytest.fixture
def without_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "hand_pose_ros.cli.doctor.importlib.util.find_spec",
        lambda name, *rest: None if name == "rclpy" else find(name, *rest),
    )


@pytest.mark.usefixtures("without_ros")
def test_without_ros_it_tells_of_models_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--seconds", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "ok    model        model: onnxruntime" in out and "ms a run" in out
    assert "rclpy is not found" in out and "→ source /opt/ros" in out
    assert out.endswith("0 problem(s), 1 warning(s)\n")


@pytest.mark.usefixtures("without_ros")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "no_such_model"], "no_such_model"),
        (["--finder.roi", "left half"], "finder.roi"),
        (["--no-topics.use-depth"], "sees nothing without topics.use_depth"),
    ],
)
def test_what_will_not_work_is_a_problem(options: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *options]) == 1
    out = capsys.readouterr().out
    assert any(line.startswith("FAIL") and text in line for line in out.splitlines())


@pytest.mark.parametrize("asked", ["auto", "tensorrt"])
def test_tells_of_tensorrt_where_it_is_installed(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cudart = FakeCudart()
    trt = FakeTensorRt(cudart)
    config = replace(
        NodeConfig(), {"pipeline.engine": asked, "pipeline.model": str(toy_models.hand_model(tmp_path / "m.onnx"))}
    )
    monkeypatch.setenv("HAND_POSE_ENGINES", str(tmp_path / "engines"))
    assert list(doctor.tensorrt(config)) == []
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cudart)
    (finding,) = doctor.tensorrt(config)
    assert finding.level is Level.WARNING and finding.remedy == "hand_pose engine build"
    TensorRtEngine(config.pipeline.model)
    (finding,) = doctor.tensorrt(config)
    assert finding.level is Level.OK and finding.text.endswith("is built")
    cudart.fail("cudaGetDeviceCount", CudaError.cudaErrorNoDevice)
    (finding,) = doctor.tensorrt(config)
    assert finding.level is (Level.WARNING if asked == "auto" else Level.PROBLEM) and "no GPU" in finding.text


def test_ros_packages_that_do_not_load_are_problems_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"no {name}")

    monkeypatch.setattr("hand_pose_ros.cli.doctor.importlib.import_module", absent)
    found = {item.text.split()[0]: item for item in doctor.ros_packages() if item.level is Level.PROBLEM}
    assert "hand_pose_ros.msg" in found and "colcon build" in found["hand_pose_ros.msg"].remedy
    assert all(item.remedy for item in found.values())
    optional = [item for item in doctor.ros_packages() if item.level is Level.OK]
    assert any("vision-msgs" in item.text for item in optional)


def test_a_line_has_its_remedy_below() -> None:
    text = doctor.line(Finding(Level.WARNING, "clock", "late", "chrony"))
    assert text.splitlines() == ["warn  clock        late", "                   → chrony"]


def test_negative_seconds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--seconds", "-1"]) == 2
    assert "--seconds" in capsys.readouterr().err
