#!/usr/bin/env python3
"""What rviz/hands.rviz shows of a recording, as a picture: for the README, on machines where RViz cannot run.

    make demo && .venv-dev/bin/python scripts/rviz_picture.py --out docs/images/rviz.jpg

The displays, their order, topics and colours and the view are read from the .rviz file; what they show are the recorded
messages (markers, TF) of `hand_pose bag`'s output and the images of its input. The drawing is ours (`rviz_scene.py`):
it shows the display, it does not prove that RViz loads it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import yaml
from rviz_scene import DELETE_ALL, Label, Orbit, Scene3D, draw, pose_matrix

from hand_pose_ros.cli.outputs import save_picture
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader, read_scenes
from hand_pose_ros.sources.bag_storage import BagStorage
from hand_pose_ros.sources.message_types import typestore
from hand_pose_ros.sources.scene_messages import stamp_of
from hand_pose_ros.types import ByteArray, Frame, Scene
from hand_pose_ros.visualization.overlay import background, draw_scene

ROOT: Final = Path(__file__).resolve().parents[1]
NODE: Final = "/hand_pose"
PANEL: Final = 400
BAR: Final = 26
_INK: Final = (210, 210, 214)
_PANEL_COLOR: Final = (43, 43, 48)
_BAR_COLOR: Final = (58, 58, 66)
# How an axis of RViz's TF display is long at a marker scale of 1 (m), and its radius.
_TF_LENGTH: Final = 0.2
_TF_RADIUS: Final = 0.02


@dataclass(frozen=True)
class Moment:
    """Everything of one stamp: the images, what was seen, and the messages that say so by topic."""

    frame: Frame
    scene: Scene
    messages: dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "sample" / "hand_sample.mcap", help="images")
    parser.add_argument("--hands", type=Path, default=ROOT / "out" / "demo" / "hands", help="output of `hand_pose bag`")
    parser.add_argument("--frame", type=int, default=75, help="which frame of the images (default: 75)")
    parser.add_argument("--show", nargs="*", default=[], metavar="NAME", help="tick these displays as well")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--out", type=Path, default=Path("out/rviz.jpg"))
    parser.add_argument("--quality", type=int, default=88, help="of a JPEG")
    options = parser.parse_args(arguments)
    display = yaml.safe_load((ROOT / "rviz" / "hands.rviz").read_text())
    picture = compose(display, moment(options.bag, options.hands, options.frame), options.size, options.show)
    if options.out.suffix == ".jpg":
        options.out.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(options.out), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.quality])
    else:
        save_picture(options.out, picture)
    sys.stdout.write(f"{options.out}: {options.out.stat().st_size // 1000} kB\n")
    return 0


def moment(images: Path, hands: Path, number: int) -> Moment:
    """The frame of this number and what is recorded of its stamp.

    Raises:
        ValueError: no such frame, or nothing recorded of it.
    """
    with BagReader(images) as reader:
        frame = next((item for index, item in enumerate(reader) if index == number), None)
    if frame is None:
        raise ValueError(f"{images}: no frame {number}")
    scene = next((item for item in read_scenes(hands) if item.stamp_ns == frame.stamp_ns), None)
    if scene is None:
        raise ValueError(f"{hands}: nothing of the stamp {frame.stamp_ns}; made from other images?")
    messages: dict[str, Any] = {}
    with BagStorage(hands) as storage:
        for topic, msgtype, _, data in storage.messages({f"{NODE}/markers", "/tf"}):
            message = typestore().deserialize_cdr(data, msgtype)
            first = message.markers[0] if topic != "/tf" else message.transforms[0]
            if stamp_of(first.header) == frame.stamp_ns:
                messages[topic] = message
    return Moment(frame, scene, messages)


def compose(display: Any, now: Moment, size: tuple[int, int], show: list[str]) -> ByteArray:
    """The window: displays and overlay at the left, the view at the right."""
    manager = display["Visualization Manager"]
    shown = [item for item in manager["Displays"] if item["Enabled"] or item["Name"] in show]
    view = manager["Views"]["Current"]
    focus = view["Focal Point"]
    orbit = Orbit(view["Distance"], view["Yaw"], view["Pitch"], (focus["X"], focus["Y"], focus["Z"]))
    scene = Scene3D()
    for item in shown:
        _show(scene, item, now)
    color = tuple(int(part) for part in manager["Global Options"]["Background Color"].split(";"))
    width, height = size
    window = np.full((height, width, 3), _PANEL_COLOR, dtype=np.uint8)
    window[:, PANEL:] = draw(scene, orbit, (width - PANEL, height), (color[0], color[1], color[2]))
    bottom = height
    if any(item["Class"].endswith("/Image") for item in shown):
        overlay = _overlay(now)
        bottom = height - overlay.shape[0] - BAR
        window[height - overlay.shape[0] :, :PANEL] = overlay
        _bar(window, bottom, "Overlay")
    _list(window[:bottom, :PANEL], manager, shown)
    return window


def _show(scene: Scene3D, item: Any, now: Moment) -> None:
    """One display; images have a panel of their own."""
    kind = item["Class"].rpartition("/")[2]
    if kind == "Axes":
        scene.add_axes(np.eye(4), item["Length"], item["Radius"])
    elif kind == "Grid":
        _grid(scene, item)
    elif kind == "MarkerArray":
        _markers(scene, item, now)
    elif kind == "TF":
        _frames(scene, item, now)
    elif kind == "DepthCloud":
        _cloud(scene, now.frame)
    elif kind != "Image":
        raise ValueError(f"display {item['Name']}: {item['Class']} is not drawn here")


def _grid(scene: Scene3D, item: Any) -> None:
    if item["Plane"] != "XZ":
        raise ValueError(f"display {item['Name']}: expected the plane XZ, got {item['Plane']}")
    offset, count, cell = item["Offset"], item["Plane Cell Count"], item["Cell Size"]
    middle, half = np.array([offset["X"], offset["Y"], offset["Z"]]), count * cell / 2
    color = (*(int(part) / 255 for part in item["Color"].split(";")), item["Alpha"])
    for place in np.linspace(-half, half, count + 1):
        for begin, end in (((place, 0, -half), (place, 0, half)), ((-half, 0, place), (half, 0, place))):
            scene.add_line(middle + begin, middle + end, color)


def _markers(scene: Scene3D, item: Any, now: Moment) -> None:
    # `hand_pose bag` writes all markers to one topic; the live node has the meshes on their own.
    meshes = item["Topic"]["Value"].endswith("mesh_markers")
    for marker in now.messages[f"{NODE}/markers"].markers:
        if marker.action != DELETE_ALL and marker.ns.endswith("_mesh") == meshes:
            scene.add_marker(marker, np.eye(4))


def _frames(scene: Scene3D, item: Any, now: Moment) -> None:
    scale = item["Marker Scale"]
    for stamped in now.messages["/tf"].transforms:
        pose = pose_matrix(stamped.transform.translation, stamped.transform.rotation)
        if item["Show Axes"]:
            scene.add_axes(pose, _TF_LENGTH * scale, _TF_RADIUS * scale)
        if item["Show Names"]:
            scene.labels.append(Label(pose[:3, 3], 0.06 * scale, stamped.child_frame_id, (1.0, 1.0, 1.0)))


def _cloud(scene: Scene3D, frame: Frame) -> None:
    if frame.depth is None or frame.color is None:
        return
    v, u = np.nonzero(frame.depth)
    pixels = np.stack([u, v], axis=-1).astype(np.float64)
    scene.add_points(back_project(pixels, frame.depth[v, u], frame.intrinsics), frame.color[v, u] / 255)


def _overlay(now: Moment) -> ByteArray:
    """The picture of ~/overlay, as wide as the panel."""
    faces = {side: HandModel.bundled(side).faces for side in Side}
    picture = draw_scene(background(now.frame), now.scene, now.frame.intrinsics, faces)
    height = round(picture.shape[0] * PANEL / picture.shape[1])
    return np.asarray(cv2.resize(picture, (PANEL, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _list(panel: ByteArray, manager: Any, shown: list[Any]) -> None:
    """The tree of displays."""
    _bar(panel, 0, "Displays")
    lines = [(f"Fixed Frame: {manager['Global Options']['Fixed Frame']}", None)]
    for item in manager["Displays"]:
        lines.append((item["Name"], item in shown))
        topic = item.get("Topic", {}).get("Value") or item.get("Depth Map Topic")
        if topic and item in shown:
            lines.append((topic, None))
    for row, (text, ticked) in enumerate(lines):
        y = BAR + 20 + 22 * row
        if y > panel.shape[0] - 6:
            return
        if ticked is not None:
            cv2.rectangle(panel, (12, y - 10), (22, y), _INK, 1, cv2.LINE_AA)
            if ticked:
                cv2.polylines(panel, [np.array([[14, y - 5], [17, y - 2], [21, y - 9]])], False, (110, 200, 255), 2)
        left, ink = (30, _INK) if ticked is not None else (44 if row else 12, (150, 150, 156))
        cv2.putText(panel, text, (left, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)


def _bar(window: ByteArray, top: int, text: str) -> None:
    window[top : top + BAR, :PANEL] = _BAR_COLOR
    cv2.putText(window, text, (10, top + 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)


if __name__ == "__main__":
    sys.exit(main())
