"""`hand_pose camera`: synthetic frames through the RealSense SDK to hands in a browser and in a recording."""

# ruff: noqa: E402  (after `needs`)

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs

needs("pyrealsense2", remedy="pip install pyrealsense2; apt install libusb-1.0-0")

import toy_models
import toy_scenes
from software_camera import SoftwareCamera

from hand_pose_ros.cli.main import main
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader

CENTER = (-0.05, 0.02, 0.5)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftwareCamera]:
    """A camera that sees a toy hand."""
    frame = toy_scenes.toy_frame(toy_scenes.Blob(Side.RIGHT, CENTER))
    camera = SoftwareCamera(toy_scenes.CAMERA)
    assert frame.color is not None and frame.depth is not None
    camera.play(frame.color, np.round(frame.depth * 1000).astype(np.uint16))
    monkeypatch.setattr("hand_pose_ros.sources.realsense.connected", camera.devices)
    yield camera
    camera.stop()


@pytest.fixture
def toys(tmp_path: Path) -> list[str]:
    hand, finder = tmp_path / "hand.onnx", tmp_path / "finder.onnx"
    toy_models.hand_model(hand), toy_models.finder_model(finder)
    return ["--model", str(hand), "--finder.model", str(finder), "--threads", "1"]


def test_hands_are_seen_and_recorded(
    plugged: SoftwareCamera, toys: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "desk.mcap"
    assert main(["camera", "--view", "none", "--frames", "6", "--record", str(bag), *toys]) == 0
    told = capsys.readouterr().out
    assert "Synthetic RealSense 0001, USB 3.2: color and depth, 640x480 at 30 Hz" in told
    assert re.search(r"frames +6", told) and re.search(r"hands +6", told)
    with BagReader(bag) as reader:
        frames = list(reader)
    assert len(frames) == 6 and frames[0].frame_id == "camera_color_optical_frame"
    assert frames[0].depth is not None and frames[0].depth.max() == pytest.approx(0.5)


def test_a_browser_sees_them(
    plugged: SoftwareCamera, toys: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    shown = threading.Event()

    def browse(text: str, **more: Any) -> None:
        if text.startswith("look at "):
            thread.append(threading.Thread(target=watch, args=(text.removeprefix("look at "),)))
            thread[0].start()

    def watch(url: str) -> None:
        while not seen or not seen[-1].get("hands"):
            seen.append(json.loads(urllib.request.urlopen(f"{url}facts.json", timeout=20).read()))
        seen.append(urllib.request.urlopen(f"{url}picture.jpg", timeout=20).read())
        shown.set()

    thread: list[threading.Thread] = []
    monkeypatch.setattr("hand_pose_ros.cli.camera.print", browse, raising=False)
    # Ctrl-C, once the browser has what it wants.
    monkeypatch.setattr("hand_pose_ros.cli.camera.compose", composing_until(shown))
    assert main(["camera", "--port", "0", *toys]) == 0
    thread[0].join()
    facts, picture = seen[-2:]
    assert facts["hands"][0]["side"] == "right" and "right" in facts["text"]
    assert facts["hands"][0]["wrist_m"][2] == pytest.approx(0.5, abs=0.1)
    assert picture[:2] == b"\xff\xd8"


def composing_until(end: threading.Event) -> Any:
    from hand_pose_ros.cli.camera import compose

    def composed(*arguments: Any) -> Any:
        if end.is_set():
            raise KeyboardInterrupt
        return compose(*arguments)

    return composed


def test_what_is_wrong_is_said_before_the_models_load(
    plugged: SoftwareCamera, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hand_pose_ros.cli.camera.Pipeline", None)
    assert main(["camera", "--width", "1280"]) == 2
    assert "offers 640x480 at 30" in capsys.readouterr().err
    plugged.unplug()
    assert main(["camera"]) == 2
    assert "no RealSense camera is connected" in capsys.readouterr().err
    assert main(["camera", "--frames", "0"]) == 2


def test_the_doctor_tells_of_the_camera(
    plugged: SoftwareCamera, toys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["doctor", "--camera.source", "pyrealsense2", "--seconds", "0.5", *toys]
    main(asked)
    told = capsys.readouterr().out
    assert "ok    camera       Synthetic RealSense 0001, USB 3.2" in told
    assert re.search(r"camera +\d+\.\d frames/s of 30 with all streams", told)
    plugged.unplug()
    assert main(asked) == 1
    assert "FAIL  camera       no RealSense camera is connected: plug it in" in capsys.readouterr().out


def test_a_window_needs_an_opencv_with_windows(
    plugged: SoftwareCamera, toys: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    def refuse(*arguments: Any) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr("cv2.imshow", refuse)
    assert main(["camera", "--view", "window", *toys]) == 2
    assert "use --view web" in capsys.readouterr().err


def test_a_taken_port_is_said(plugged: SoftwareCamera, toys: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from hand_pose_ros.visualization.web_view import WebView

    with WebView(port=0) as other:
        port = other.url.rstrip("/").rpartition(":")[2]
        assert main(["camera", "--port", port, *toys]) == 2
    assert "--port 0 takes a free one" in capsys.readouterr().err
