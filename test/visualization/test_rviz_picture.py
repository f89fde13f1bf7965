"""The picture of the RViz display shows what the messages say, in the view that the file names."""

# ruff: noqa: E402  (after the path)

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import rviz_picture
from rviz_scene import Orbit, Scene3D, draw

from hand_pose_ros.cli.main import main

DARK = (30, 32, 38)
# From the camera, one metre before what it looks at: x to the right, y down, as in rviz/hands.rviz.
FRONT = Orbit(1.0, -np.pi / 2, -np.pi / 2 + 1e-4, (0.0, 0.0, 1.0))


def at(picture: Any, x: float, y: float) -> Any:
    """The pixel of a point (x, y, 1 m) of the camera's frame in a picture of 200 x 200."""
    focal = 100 / np.tan(np.pi / 8)
    return picture[round(100 + focal * y), round(100 + focal * x)].astype(int)


def test_the_orbit_view_looks_as_rviz_does() -> None:
    """A red ball to the right, a green one above; the nearer of two hides the other."""
    scene = Scene3D()
    scene.add_sphere((0.2, 0.0, 1.0), 0.1, (1.0, 0.0, 0.0, 1.0))
    scene.add_sphere((0.0, -0.2, 1.0), 0.1, (0.0, 1.0, 0.0, 1.0))
    scene.add_sphere((0.0, 0.0, 1.2), 0.1, (0.0, 1.0, 0.0, 1.0))
    scene.add_sphere((0.0, 0.0, 1.0), 0.1, (0.0, 0.0, 1.0, 1.0))
    picture = draw(scene, FRONT, (200, 200), DARK)
    assert at(picture, 0.2, 0.0).argmax() == 0 and at(picture, 0.0, -0.2).argmax() == 1
    assert at(picture, 0.0, 0.0).argmax() == 2
    assert at(picture, -0.2, 0.1).tolist() == list(DARK)


def test_what_is_translucent_lets_what_is_behind_be_seen() -> None:
    pictures = []
    for inside in (False, True):
        scene = Scene3D()
        scene.add_sphere((0.0, 0.0, 1.0), 0.2, (0.0, 0.0, 1.0, 0.4))
        if inside:
            scene.add_sphere((0.0, 0.0, 1.0), 0.05, (1.0, 0.0, 0.0, 1.0))
        pictures.append(draw(scene, FRONT, (200, 200), DARK))
    assert at(pictures[1], 0.0, 0.0)[0] > at(pictures[0], 0.0, 0.0)[0] + 50


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `hand_pose bag` on the first frames of the sample."""
    folder = tmp_path_factory.mktemp("demo")
    sample = str(ROOT / "sample" / "hand_sample.mcap")
    options = ["--max-frames", "6", "--film", "none", "--pictures", "0", "--quiet", "--threads", "1"]
    assert main(["bag", sample, "--out", str(folder), *options]) == 0
    return folder / "hands"


def test_the_shipped_display_shows_the_sample(hands: Path) -> None:
    """Each display that is switched off takes something away."""
    display = yaml.safe_load((ROOT / "rviz" / "hands.rviz").read_text())
    now = rviz_picture.moment(ROOT / "sample" / "hand_sample.mcap", hands, 5)
    assert now.scene.hands and "/tf" in now.messages
    size = (700, 400)
    whole = rviz_picture.compose(display, now, size, [])
    displays = display["Visualization Manager"]["Displays"]
    for item in [item for item in displays if item["Enabled"] and item["Name"] != "Camera"]:
        item["Enabled"] = False
        assert (rviz_picture.compose(display, now, size, [])[30:] != whole[30:]).any(), item["Name"]
        item["Enabled"] = True
    (cloud,) = (item["Name"] for item in displays if item["Class"].endswith("DepthCloud"))
    with_points = rviz_picture.compose(display, now, size, [cloud])[:, rviz_picture.PANEL :]
    assert (with_points != whole[:, rviz_picture.PANEL :]).any(axis=2).mean() > 0.2


def test_a_display_that_is_not_drawn_is_an_error(hands: Path) -> None:
    now = rviz_picture.moment(ROOT / "sample" / "hand_sample.mcap", hands, 5)
    with pytest.raises(ValueError, match="rviz_default_plugins/Map is not drawn here"):
        rviz_picture._show(Scene3D(), {"Name": "map", "Class": "rviz_default_plugins/Map"}, now)


def test_a_frame_without_results_says_so(hands: Path) -> None:
    with pytest.raises(ValueError, match="made from other images"):
        rviz_picture.moment(ROOT / "sample" / "hand_sample.mcap", hands, 50)
